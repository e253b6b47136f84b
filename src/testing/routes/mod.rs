//! What the server does at each of its places.

mod events;
pub(super) mod fields;
pub(super) mod guard;
pub(super) mod refresh;

use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use super::answer::Answer;
use super::entry::Received;
use super::route::Route;
use super::shared::Shared;

/// The answer to an API request whose token was taken.
pub(super) fn api(shared: &Shared, route: Route, head: &Parts, body: &Received) -> Answer {
    match route {
        Route::Events => events::list(shared, head),
        Route::Uploads if head.method == Method::POST || head.method == Method::PUT => {
            Answer::ok(json!({ "size": body.size(), "sha256": body.sha256() }))
        }
        Route::Uploads => method_not_allowed("POST, PUT"),
        Route::Echo => Answer::ok(json!({
            "method": head.method.as_str(),
            "path": head.uri.path(),
            "query": head.uri.query(),
            "size": body.size(),
            "sha256": body.sha256(),
        })),
        _ => {
            let path = head.uri.path().trim_start_matches("/api/v2");
            let page = shared.lock().pages.get(path).cloned();
            page.map_or_else(not_found, Answer::ok)
        }
    }
}

pub(super) fn not_found() -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "not_found", "There is nothing here.")
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Answer {
    Answer::error(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "The method is not one of those in the Allow header.",
    )
    .with_header(ALLOW, HeaderValue::from_static(allowed))
}

pub(super) fn too_many_requests(seconds: u64) -> Answer {
    Answer::error(
        StatusCode::TOO_MANY_REQUESTS,
        "throttled",
        "Too many requests; wait as long as Retry-After says.",
    )
    .with_header(http::header::RETRY_AFTER, HeaderValue::from(seconds))
}
