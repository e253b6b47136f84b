//! `POST /api/v2/auth/password_login`: user name and password for tokens, for applications that
//! hold a key for it. With two factors, the first answer is a pending login.

use std::collections::BTreeMap;

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::Value;

use super::super::answer::Answer;
use super::super::entry::Received;
use super::super::routes::fields::{self, NoFields};
use super::super::routes::method_not_allowed;
use super::super::shared::Shared;
use super::{DIRECT_AUTH_KEY, PASSWORD, USERNAME, log_in};

pub(in super::super) async fn log_in_by_password(
    shared: &Shared,
    head: &Parts,
    body: &Received,
) -> Answer {
    if head.method != Method::POST {
        return method_not_allowed("POST");
    }
    let fields = match fields::read(head, body.bytes()).await {
        Ok(fields) => fields,
        Err(error @ (NoFields::Unsupported | NoFields::Malformed)) => return error.answer(),
    };
    let field =
        |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());

    let mut errors = BTreeMap::new();
    for name in ["username", "password", "direct_auth_key"] {
        if field(name).is_none() {
            errors.insert(name, vec!["This field is required.".to_owned()]);
        }
    }
    if !errors.is_empty() {
        return Answer::field_errors(&errors);
    }
    if field("direct_auth_key") != Some(DIRECT_AUTH_KEY) {
        return Answer::error(
            StatusCode::FORBIDDEN,
            "permission_denied",
            "direct_auth_key does not allow this application to log users in.",
        );
    }
    if field("username") != Some(USERNAME) || field("password") != Some(PASSWORD) {
        return Answer::error(
            StatusCode::UNAUTHORIZED,
            "authentication_failed",
            "The user name or the password is wrong.",
        );
    }

    let now = shared.now();
    let wall_millis = shared.wall_millis();
    shared.update(|state| {
        let state = &mut *state;
        match field("verification_key") {
            None if state.settings.verification_code.is_some() => {
                Answer::ok(state.two_factor.begin(&state.settings, wall_millis))
            }
            Some(key) if !state.two_factor.spend(key, now) => {
                let message = "The verification key is wrong or has expired.".to_owned();
                Answer::field_errors(&BTreeMap::from([("verification_key", vec![message])]))
            }
            _ => log_in(&mut state.families, &state.settings, now).1,
        }
    })
}
