//! How the refresh endpoint answers.

use std::io;

use http::{Response, StatusCode};
use tower::BoxError;
use tower_teamup_auth::RequestMode;

use super::server::{Seen, Shared};
use super::{Body, SECRET, locked};

/// How a refresh request is answered.
#[derive(Clone, Debug)]
pub(crate) enum RefreshAnswer {
    /// With a new pair, if the refresh token is alive, else with 400.
    Granted,
    /// With this status, these headers and this body; nothing is rotated.
    Answered(u16, Vec<(&'static str, String)>, String),
    /// The connection is refused.
    Refused,
    /// The connection is lost, and the refresh token is not spent.
    LostBefore,
    /// The connection is lost after the refresh token was spent: the new one is lost with it.
    LostAfter,
    /// The client fails, and its error quotes what it was to send.
    Quoted,
    /// No answer ever comes, and the refresh token is not spent.
    Unanswered,
    /// Another process spends the refresh token before this refresh request is looked at.
    Late,
}

impl RefreshAnswer {
    /// An answer in JSON; nothing is rotated.
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        let content_type = ("content-type", "application/json".to_owned());
        RefreshAnswer::Answered(status, vec![content_type], body.into())
    }

    /// 429, and how long to wait.
    pub(crate) fn too_many(retry_after: impl Into<String>) -> Self {
        RefreshAnswer::Answered(429, vec![("retry-after", retry_after.into())], String::new())
    }

    /// A refusal in TeamUp's words.
    pub(crate) fn rejected(status: u16) -> Self {
        let body = r#"{"code":"invalid_grant","message":"no","type":"invalid_request_error"}"#;
        RefreshAnswer::json(status, body)
    }
}

/// Counts a refresh request as under way for as long as it lives.
struct UnderWay<'a>(&'a Shared);

impl<'a> UnderWay<'a> {
    fn new(shared: &'a Shared) -> Self {
        let mut state = locked(&shared.state);
        state.under_way += 1;
        state.most_under_way = state.most_under_way.max(state.under_way);
        UnderWay(shared)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        locked(&self.0.state).under_way -= 1;
    }
}

pub(crate) async fn answer_refresh_request(
    shared: &Shared,
    index: usize,
    seen: &Seen,
) -> Result<Response<Body>, BoxError> {
    let _under_way = UnderWay::new(shared);
    shared.refresh_requests.pass().await;
    let refresh_request = {
        let mut state = locked(&shared.state);
        let next = state.next_answers.pop_front();
        next.unwrap_or_else(|| state.every_answer.clone())
    };
    let (status, headers, body) = match refresh_request {
        RefreshAnswer::Granted => grant(shared, seen),
        RefreshAnswer::Answered(status, headers, body) => (status, headers, body),
        RefreshAnswer::Refused => {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        RefreshAnswer::LostBefore => {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
        RefreshAnswer::LostAfter => {
            grant(shared, seen);
            return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
        RefreshAnswer::Quoted => {
            let sent = String::from_utf8_lossy(&seen.body);
            return Err(format!("could not send `{sent}`, that is {:?}", sent).into());
        }
        RefreshAnswer::Unanswered => std::future::pending().await,
        RefreshAnswer::Late => {
            locked(&shared.state).refresh_token = format!("{SECRET}-refresh-of-another");
            grant(shared, seen)
        }
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let response = response.body(Body::from(body))?;
    shared.note_answer(index, StatusCode::from_u16(status)?);
    Ok(response)
}

fn grant(shared: &Shared, seen: &Seen) -> (u16, Vec<(&'static str, String)>, String) {
    let content_type = vec![("content-type", "application/json".to_owned())];
    let mut state = locked(&shared.state);
    let sent = seen.field("refresh_token");
    if sent != state.refresh_token {
        state.double_spent += usize::from(state.spent.contains(&sent));
        return (400, content_type, r#"{"code":"invalid_grant"}"#.to_owned());
    }
    state.spent.insert(sent);
    state.granted += 1;
    let mode: RequestMode = seen.field("new_access_token_type").parse().expect("a mode");
    let access_token = format!("{SECRET}-{mode}-{}", state.granted);
    state.alive.insert(access_token.clone(), mode);
    state.refresh_token = format!("{SECRET}-refresh-{}", state.granted);
    let body = serde_json::json!({
        "access_token": access_token,
        "expires_in": state.lifetime,
        "refresh_token": state.refresh_token,
    });
    (200, content_type, body.to_string())
}
