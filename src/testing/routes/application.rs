//! `GET /api/v2/auth/application`: which application a client id belongs to, and the providers that
//! it reaches.
//!
//! Documented are the header and `scoped_providers`; the rest of the object is the server's own.

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::answer::Answer;
use super::super::login::CLIENT_ID;
use super::super::shared::Shared;

const TEAMUP_CLIENT_ID: &str = "teamup-client-id";

pub(in super::super) fn application(shared: &Shared, head: &Parts) -> Answer {
    if head.method != Method::GET && head.method != Method::HEAD {
        return super::method_not_allowed("GET, HEAD");
    }
    let Some(id) = head.headers.get(TEAMUP_CLIENT_ID) else {
        return Answer::error(
            StatusCode::BAD_REQUEST,
            "parameter_missing",
            "The TeamUp-Client-ID header is required.",
        );
    };
    if id != CLIENT_ID {
        return Answer::unauthorized("TeamUp-Client-ID is unknown.");
    }
    let providers: Vec<Value> = super::profiles::providers(shared)
        .into_iter()
        .map(|id| json!({ "object": "provider", "id": id, "name": format!("Provider {id}") }))
        .collect();
    Answer::ok(json!({
        "object": "application",
        "client_id": CLIENT_ID,
        "name": "Fake application",
        "scoped_providers": providers,
    }))
}
