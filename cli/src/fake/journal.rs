//! The journal as JSON. No token is in it.

use serde_json::{Value, json};
use tower_teamup_auth::testing::{Entry, Journal};

pub(super) fn counts(journal: &Journal) -> Value {
    json!({
        "connections": journal.connections(),
        "refresh_requests": journal.refresh_requests(),
        "rotations": journal.rotations(),
        "rejected_refresh_requests": journal.rejected_refresh_requests(),
        "double_spends": journal.double_spends(),
        "api_requests": journal.api_requests(),
        "authorized": journal.authorized(),
        "unauthorized": journal.unauthorized(),
        "unauthorized_to_caller": journal.unauthorized_to_caller(),
        "retries": journal.retries(),
        "mixed_logins": journal.mixed_logins(),
        "under_way": journal.under_way(),
    })
}

pub(super) fn entries(journal: &Journal) -> Value {
    journal.entries().iter().map(entry).collect()
}

fn entry(entry: &Entry) -> Value {
    // Those that hold tokens stay out, whatever a client calls them.
    let headers = entry.headers().iter().filter(|(name, _)| {
        let name = name.as_str();
        !["authorization", "cookie", "secret", "token"].iter().any(|word| name.contains(word))
    });
    let headers = headers
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]));
    json!({
        "number": entry.number(),
        "connection": entry.connection(),
        "method": entry.method().as_str(),
        "path": entry.path(),
        "query": entry.query(),
        "headers": headers.collect::<Vec<_>>(),
        "mode": entry.mode(),
        "provider_id": entry.provider(),
        "login": entry.login(),
        "authorized": entry.is_authorized(),
        "refusal": entry.refusal().map(|refusal| format!("{refusal:?}")),
        "refresh": entry.refresh_outcome().map(|outcome| format!("{outcome:?}")),
        "fault": entry.fault(),
        "is_retry": entry.is_retry(),
        "body": entry.body().map(|body| json!({ "size": body.size(), "sha256": body.sha256() })),
        "status": entry.status().map(|status| status.as_u16()),
        "aborted": entry.is_aborted(),
    })
}
