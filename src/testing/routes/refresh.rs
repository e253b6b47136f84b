//! `POST /api/v2/auth/refresh_access_token`: the refresh request.

use std::collections::BTreeMap;

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::Value;

use super::super::answer::Answer;
use super::super::entry::{Received, RefreshOutcome};
use super::super::families::{Minting, Spending};
use super::super::format::{Format, NoFormat};
use super::super::login;
use super::super::open_entry::OpenEntry;
use super::super::receive::KEPT;
use super::super::settings::Settings;
use super::super::shared::Shared;
use super::fields;
use crate::headers::RequestMode;

/// What a valid refresh request asks for.
struct ValidRequest {
    refresh_token: String,
    mode: RequestMode,
}

pub(in super::super) async fn refresh(
    shared: &Shared,
    entry: &OpenEntry,
    minting: Minting,
    head: &Parts,
    body: &Received,
) -> Answer {
    let fields = read(head, body).await;
    let presented = fields.as_ref().ok().and_then(|fields| fields.get("refresh_token"));
    if let Some(token) = presented.and_then(Value::as_str) {
        entry.update(|state, place| {
            let login = state.families.login_of(token);
            let account = login.map(|login| state.families.account(login));
            let entry = state.journal.entry(place);
            (entry.login, entry.account) = (login, account);
            entry.refresh_token = Some(token.into());
        });
    }
    let asked = fields.and_then(|fields| {
        validate(&fields).map_err(|errors| Box::new(Answer::field_errors(&errors)))
    });
    entry.update(|state, place| {
        let now = shared.now();
        let asked = match asked {
            Ok(asked) if state.refused_modes.contains(&asked.mode) => Err(mode_not_allowed()),
            Ok(asked) => Ok(asked),
            Err(answer) => Err(*answer),
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(answer) => {
                state.journal.set_outcome(place, RefreshOutcome::Rejected);
                return answer;
            }
        };
        let spending =
            state.families.rotate(&asked.refresh_token, asked.mode, minting, &state.settings, now);
        let (outcome, answer) = match spending {
            Spending::Rotated { access_token, refresh_token } => (
                RefreshOutcome::Rotated(asked.mode),
                login::tokens(&access_token, &refresh_token, &state.settings),
            ),
            Spending::DoubleSpent => (
                RefreshOutcome::DoubleSpent,
                refused(&state.settings, "The refresh token was used before; log in again."),
            ),
            Spending::Expired => (
                RefreshOutcome::Rejected,
                refused(&state.settings, "The refresh token has expired; log in again."),
            ),
            Spending::Revoked => (
                RefreshOutcome::Rejected,
                refused(&state.settings, "The refresh token was revoked; log in again."),
            ),
            Spending::Unknown => (
                RefreshOutcome::Rejected,
                refused(&state.settings, "The refresh token is unknown; log in again."),
            ),
        };
        state.journal.set_outcome(place, outcome);
        answer
    })
}

fn mode_not_allowed() -> Answer {
    Answer::error(
        StatusCode::FORBIDDEN,
        "mode_not_allowed",
        "The user can't act in the mode of new_access_token_type.",
    )
}

/// The request's fields, if it has the right method and form.
async fn read(head: &Parts, body: &Received) -> Result<Value, Box<Answer>> {
    let refused = match Format::negotiate(head) {
        Err(NoFormat::Unknown) => super::not_found(),
        Err(NoFormat::NotAcceptable) => Answer::error(
            StatusCode::NOT_ACCEPTABLE,
            "not_acceptable",
            "There is no answer in a format that Accept allows.",
        ),
        Ok(_) if head.method != Method::POST => super::method_not_allowed("POST"),
        Ok(_) if body.size() > KEPT as u64 => Answer::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "The request's body is too large.",
        ),
        Ok(_) => match fields::read(head, body.bytes()).await {
            Ok(fields) => return Ok(fields),
            Err(error) => error.answer(),
        },
    };
    Err(Box::new(refused))
}

fn validate(fields: &Value) -> Result<ValidRequest, BTreeMap<&'static str, Vec<String>>> {
    let mut errors: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let Some(fields) = fields.as_object() else {
        errors.insert("non_field_errors", vec!["An object is expected.".to_owned()]);
        return Err(errors);
    };
    let mut refuse = |field, message: &str| {
        errors.insert(field, vec![message.to_owned()]);
    };

    let refresh_token = match fields.get("refresh_token") {
        None => {
            refuse("refresh_token", "This field is required.");
            String::new()
        }
        Some(Value::String(token)) if token.is_empty() => {
            refuse("refresh_token", "This field must not be empty.");
            String::new()
        }
        Some(Value::String(token)) => token.clone(),
        Some(_) => {
            refuse("refresh_token", "A string is expected.");
            String::new()
        }
    };
    match fields.get("scope") {
        None => {}
        Some(Value::Array(scopes)) if scopes.iter().all(is_scope) => {}
        Some(Value::Array(_)) => refuse("scope", "Every item must be a string that is not empty."),
        Some(_) => refuse("scope", "A list of strings is expected."),
    }
    let mode = match fields.get("new_access_token_type") {
        None => RequestMode::Customer,
        Some(value) => value.as_str().and_then(|mode| mode.parse().ok()).unwrap_or_else(|| {
            refuse("new_access_token_type", "Expected `customer` or `provider`.");
            RequestMode::Customer
        }),
    };
    if errors.is_empty() { Ok(ValidRequest { refresh_token, mode }) } else { Err(errors) }
}

fn is_scope(value: &Value) -> bool {
    value.as_str().is_some_and(|scope| !scope.is_empty())
}

fn refused(settings: &Settings, message: &str) -> Answer {
    Answer::error(settings.refused_refresh, &settings.refused_refresh_code, message)
}
