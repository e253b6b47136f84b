//! What the server does at each of its places.

pub(super) mod application;
mod events;
pub(super) mod fields;
pub(super) mod guard;
mod profiles;
pub(super) mod refresh;

use http::header::{ALLOW, LOCATION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use super::answer::{Answer, Content};
use super::entry::Received;
use super::route::Route;
use super::settings::Settings;
use super::shared::Shared;

/// The answer to an API request whose token was accepted.
pub(super) fn api(shared: &Shared, route: Route, head: &Parts, body: &Received) -> Answer {
    let path = head.uri.path().strip_prefix("/api/v2").unwrap_or_default();
    if let Some(redirect) = redirect(shared, head.method.clone(), path) {
        return redirect;
    }
    match route {
        Route::Profiles => profiles::list(shared, head),
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
            let page = shared.lock().pages.get(path).cloned();
            page.map_or_else(not_found, Answer::ok)
        }
    }
}

/// Where the test sent requests of this kind.
fn redirect(shared: &Shared, method: Method, path: &str) -> Option<Answer> {
    let (status, location) = shared.lock().redirects.get(&(method, path.to_owned())).cloned()?;
    let location = HeaderValue::try_from(&location)
        .unwrap_or_else(|_| panic!("{location:?} can't be the value of a header"));
    Some(Answer::new(status, Content::Empty).with_header(LOCATION, location))
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

pub(super) fn too_many_requests(settings: &Settings, seconds: u64) -> Answer {
    let answer = Answer::error(StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many requests.");
    if settings.rate_limit_retry_after {
        answer.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    } else {
        answer
    }
}
