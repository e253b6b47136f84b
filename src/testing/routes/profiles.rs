//! `GET /api/v2/auth/profiles`: in which modes the user of a token acts, and with which providers.
//!
//! Documented is the place alone; what it answers is the server's own.

use http::Method;
use http::request::Parts;
use serde_json::{Value, json};

use super::super::answer::Answer;
use super::super::shared::Shared;
use crate::headers::RequestMode;

/// The provider of a server that was told of none.
const DEFAULT_PROVIDER: u64 = 1;

pub(super) fn list(shared: &Shared, head: &Parts) -> Answer {
    if head.method != Method::GET && head.method != Method::HEAD {
        return super::method_not_allowed("GET, HEAD");
    }
    let results: Vec<Value> = providers(shared)
        .into_iter()
        .flat_map(|provider| RequestMode::ALL.map(|mode| (provider, mode)))
        .map(|(provider, mode)| {
            json!({ "object": "profile", "provider": provider, "type": mode.as_str() })
        })
        .collect();
    Answer::ok(json!({
        "count": results.len(),
        "next": null,
        "previous": null,
        "results": results,
    }))
}

pub(super) fn providers(shared: &Shared) -> Vec<u64> {
    let providers = shared.lock().settings.providers.clone();
    if providers.is_empty() { vec![DEFAULT_PROVIDER] } else { providers }
}
