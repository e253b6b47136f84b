//! What reqwest did with redirects, and the policy that notes it.
//!
//! reqwest keeps no history of redirects, and a 303 may lead back to the URL that it came from. So only a
//! redirect policy can tell that one was followed. reqwest asks its policy while the future of a request is
//! polled, so the policy notes a redirect for whichever future this thread is polling.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use http::StatusCode;
use pin_project_lite::pin_project;
use reqwest::{Response, Url, redirect};

use crate::middleware::decision::{AnsweredElsewhere, Redirected};

thread_local! {
    /// Whether the future that this thread is polling followed a redirect; `None` outside of any.
    static FOLLOWED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// What an adapter knows of the redirect policy of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Redirects {
    /// Nothing: an unsafe request may have been answered with a redirect that was followed.
    #[default]
    Unknown,
    /// It is [`redirects_within_origin`].
    Recorded,
    /// It is [`Policy::none`](redirect::Policy::none).
    NotFollowed,
}

pin_project! {
    /// A future of reqwest, and whether it followed a redirect.
    pub(super) struct Recorded<F> {
        #[pin]
        future: F,
        followed: bool,
    }
}

impl<F> Recorded<F> {
    pub(super) fn new(future: F) -> Self {
        Recorded { future, followed: false }
    }
}

/// Restores what was there before, for a future that polls another one and panics.
struct Restore(Option<bool>);

impl Drop for Restore {
    fn drop(&mut self) {
        FOLLOWED.set(self.0);
    }
}

impl<F: Future> Future for Recorded<F> {
    type Output = (F::Output, bool);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let restore = Restore(FOLLOWED.replace(Some(*this.followed)));
        let output = this.future.poll(cx);
        *this.followed = FOLLOWED.get() == Some(true);
        drop(restore);
        output.map(|output| (output, *this.followed))
    }
}

/// A redirect policy for reqwest: up to 10 redirects are followed, as long as they stay within the
/// origin (scheme, host and port) of the request. The first that leads elsewhere is the answer.
///
/// ```
/// use tower_teamup_auth::client::{ReqwestService, redirects_within_origin};
///
/// # fn main() -> reqwest::Result<()> {
/// let client = reqwest::Client::builder().redirect(redirects_within_origin()).build()?;
/// let service: ReqwestService = ReqwestService::new(client).records_redirects();
/// # Ok(())
/// # }
/// ```
///
/// It also notes each redirect that is followed, which reqwest itself forgets. A `POST` that was carried
/// out and answered with a redirect must not be sent again when the page after it is answered 401. So tell
/// the adapter of it, with `records_redirects`; without, no unsafe request (RFC 9110 section 9.2.1) is
/// retried.
///
/// Use it, or [`Policy::none`](redirect::Policy::none), in every client that carries tokens. With
/// its own default policy, reqwest (0.13.5 as well as those before it) takes `Authorization` off a
/// redirect that leads to another origin, **but a second redirect, from there to there, carries it
/// again**: an open redirect of an allowed origin is enough to lose a token.
///
/// To follow redirects between origins that are all [allowed](crate::CredentialsBuilder::allow_origin),
/// turn reqwest's off and put tower-http's `FollowRedirect` above [`AuthLayer`](crate::AuthLayer):
/// then each of them is judged like any request.
pub fn redirects_within_origin() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let stays = attempt.previous().iter().all(|url| is_same_origin(url, attempt.url()));
        if !stays {
            return attempt.stop();
        }
        // Even if the default policy then refuses to follow: too many were followed by then.
        if FOLLOWED.get().is_some() {
            FOLLOWED.set(Some(true));
        }
        redirect::Policy::default().redirect(attempt)
    })
}

/// What reqwest says of a response that was made without a URL, as a mock or a cache makes them.
static NO_URL: LazyLock<Url> =
    LazyLock::new(|| Response::from(http::Response::new("")).url().clone());

/// Notes on a 401, for whoever judges it, how it came about.
pub(super) fn note_redirects(
    asked: &Url,
    response: &mut Response,
    followed: bool,
    known: Redirects,
) {
    if response.status() != StatusCode::UNAUTHORIZED {
        return;
    }
    let has_url = *response.url() != *NO_URL;
    if has_url && !is_same_origin(asked, response.url()) {
        response.extensions_mut().insert(AnsweredElsewhere);
    }
    if followed || has_url && !is_same_document(asked, response.url()) {
        response.extensions_mut().insert(Redirected::Followed);
    } else if known == Redirects::Unknown {
        response.extensions_mut().insert(Redirected::Unknown);
    }
}

fn is_same_document(one: &Url, other: &Url) -> bool {
    is_same_origin(one, other) && one.path() == other.path() && one.query() == other.query()
}

fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}
