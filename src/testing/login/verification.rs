//! `/api/v2/auth/two_factor`: how the second factor of a password login is proved.
//!
//! The paths, the fields and the answers are TeamUp's documentation's, save two: what
//! `requirements` answers and which error codes refuse are this server's own, for TeamUp documents
//! neither.

use std::collections::{BTreeMap, HashMap};

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::answer::Answer;
use super::super::entry::Received;
use super::super::routes::fields;
use super::super::routes::method_not_allowed;
use super::super::shared::Shared;
use super::two_factor::{LIFETIME, providers};
use super::{DIRECT_AUTH_KEY, date_time};

/// TeamUp's documented limits, in characters.
const PHONE_NUMBER_LIMIT: usize = 20;
const CODE_LIMIT: usize = 6;

/// `GET requirements?provider=<int>`.
pub(in super::super) fn requirements(shared: &Shared, head: &Parts) -> Answer {
    if head.method != Method::GET {
        return method_not_allowed("GET");
    }
    let query = head.uri.query().unwrap_or_default();
    let provider = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "provider")
        .and_then(|(_, id)| id.parse::<u64>().ok());
    let Some(provider) = provider else {
        return invalid("provider", "A valid integer is required.");
    };
    let required = providers(&shared.lock().settings).contains(&provider);
    Answer::ok(json!({ "provider": provider, "two_factor_required": required }))
}

/// `POST start_verification`.
pub(in super::super) async fn start_verification(
    shared: &Shared,
    head: &Parts,
    body: &Received,
) -> Answer {
    let names = ["phone_number", "provider", "direct_auth_key", "pending_login"];
    let fields = match read(head, body, &names).await {
        Ok(fields) => fields,
        Err(answer) => return *answer,
    };
    if fields["direct_auth_key"] != DIRECT_AUTH_KEY {
        return Answer::error(
            StatusCode::FORBIDDEN,
            "permission_denied",
            "direct_auth_key does not allow this application to log users in.",
        );
    }
    let phone_number = &fields["phone_number"];
    if phone_number.chars().count() > PHONE_NUMBER_LIMIT {
        return invalid("phone_number", "Ensure this field has no more than 20 characters.");
    }
    let now = shared.now();
    let wall_millis = shared.wall_millis();
    shared.update(|state| {
        let provider = fields["provider"].parse::<u64>().ok();
        if !provider.is_some_and(|id| providers(&state.settings).contains(&id)) {
            return invalid("provider", "This provider asks for no second factor.");
        }
        if !state.two_factor.pending.contains(&fields["pending_login"]) {
            return invalid("pending_login", "There is no such pending login.");
        }
        let expires_at = now.saturating_add(LIFETIME);
        state.two_factor.codes.insert(phone_number.clone(), expires_at);
        Answer::ok(json!({
            "success": true,
            "message": "A verification code has been sent.",
            "expires_at": date_time(wall_millis.saturating_add(LIFETIME)),
        }))
    })
}

/// `POST verify`.
pub(in super::super) async fn verify(shared: &Shared, head: &Parts, body: &Received) -> Answer {
    let fields = match read(head, body, &["phone_number", "verification_code"]).await {
        Ok(fields) => fields,
        Err(answer) => return *answer,
    };
    let code = &fields["verification_code"];
    if code.chars().count() > CODE_LIMIT {
        return invalid("verification_code", "Ensure this field has no more than 6 characters.");
    }
    let now = shared.now();
    shared.update(|state| {
        let sent = state.two_factor.codes.get(&fields["phone_number"]);
        let is_current = sent.is_some_and(|expires_at| now < *expires_at);
        if !is_current || state.settings.verification_code.as_ref() != Some(code) {
            return invalid("verification_code", "The code is wrong or has expired.");
        }
        state.two_factor.codes.remove(&fields["phone_number"]);
        let key = format!("{:032x}", fastrand::u128(..));
        state.two_factor.keys.insert(key.clone(), now.saturating_add(LIFETIME));
        Answer::ok(json!({
            "success": true,
            "message": "The phone number is verified.",
            "verification_key": key,
        }))
    })
}

/// The required fields of a POST, as texts.
async fn read(
    head: &Parts,
    body: &Received,
    names: &[&'static str],
) -> Result<HashMap<&'static str, String>, Box<Answer>> {
    if head.method != Method::POST {
        return Err(Box::new(method_not_allowed("POST")));
    }
    let fields =
        fields::read(head, body.bytes()).await.map_err(|error| Box::new(error.answer()))?;
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let mut found = HashMap::new();
    let mut errors = BTreeMap::new();
    for &name in names {
        match text(name) {
            Some(text) => drop(found.insert(name, text)),
            None => drop(errors.insert(name, vec!["This field is required.".to_owned()])),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(Box::new(Answer::field_errors(&errors))) }
}

fn invalid(field: &str, message: &str) -> Answer {
    Answer::field_errors(&BTreeMap::from([(field, vec![message.to_owned()])]))
}
