//! `POST /api/v2/auth/oauth/token`: the code for tokens.

use http::request::Parts;
use http::{Method, StatusCode};

use super::super::answer::{Answer, Content};
use super::super::entry::Received;
use super::super::routes::fields::{self, NoFields};
use super::super::routes::method_not_allowed;
use super::super::shared::Shared;
use super::codes::Refused;
use super::{CLIENT_ID, log_in};

pub(in super::super) fn redeem_code(shared: &Shared, head: &Parts, body: &Received) -> Answer {
    if head.method != Method::POST {
        return method_not_allowed("POST");
    }
    let form = match fields::form(head, body.bytes()) {
        Ok(form) => form,
        Err(NoFields::Unsupported | NoFields::Malformed) => {
            return Answer::error(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The request must be form-encoded.",
            );
        }
    };
    let field =
        |name| form.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());

    // Documented without it; clients send it, as RFC 6749 section 4.1.3 asks.
    if field("grant_type").is_some_and(|grant_type| grant_type != "authorization_code") {
        return refuse("unsupported_grant_type", "grant_type must be authorization_code.");
    }
    if field("client_id") != Some(CLIENT_ID) {
        return refuse("invalid_client", "client_id is missing or unknown.");
    }
    let (Some(code), Some(redirect_uri)) = (field("code"), field("redirect_uri")) else {
        return refuse("invalid_request", "code and redirect_uri are required.");
    };

    let now = shared.now();
    shared.update(|state| {
        let verifier = field("code_verifier");
        let secret = field("client_secret");
        match state.codes.check(code, redirect_uri, verifier, secret, now) {
            Ok(()) => {
                let (family, answer) = log_in(&mut state.families, &state.settings, now);
                state.codes.spend(code, family);
                answer
            }
            Err(Refused::Grant(message)) => refuse("invalid_grant", message),
            Err(Refused::Client(message)) => refuse("invalid_client", message),
            Err(Refused::Reused(family)) => {
                state.families.revoke_login(family);
                refuse("invalid_grant", "The code was redeemed before; its tokens are revoked.")
            }
        }
    })
}

/// TeamUp's error body, and beside it the two fields of RFC 6749 section 5.2 that OAuth clients
/// read.
fn refuse(error: &str, message: &str) -> Answer {
    let status = match error {
        "invalid_client" => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut answer = Answer::error(status, error, message);
    if let Content::Data(body) = &mut answer.content {
        body["error"] = error.into();
        body["error_description"] = message.into();
    }
    answer
}
