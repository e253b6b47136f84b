//! Clients, credentials over a fake server, and many callers at once.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::{Layer, Service, ServiceExt};
use tower_teamup_auth::testing::{CALLER, FakeTeamUp};
use tower_teamup_auth::{
    Auth, AuthLayer, BoxError, Credentials, CredentialsBuilder, Error, RequestMode, ResponseBody,
    TokenSet,
};

use crate::readiness::Checked;
use crate::witness;

pub(crate) type Body = Full<Bytes>;
/// A client, below which every breach of the readiness contract ends the program.
pub(crate) type Http<B = Body> = Checked<Client<HttpConnector, B>>;

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

    /// A client with a pool of its own.
    pub(crate) fn client<B>(self) -> Http<B>
    where
        B: http_body::Body + Send,
        B::Data: Send,
    {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut client = Client::builder(TokioExecutor::new());
        Checked::new(client.http2_only(self == Protocol::Http2).build(connector))
    }
}

/// Credentials in provider mode whose refresh request goes to `server` over `client`; the tokens are
/// still to be chosen.
pub(crate) fn credentials(server: &FakeTeamUp, client: &Http) -> CredentialsBuilder {
    witness::watch();
    Credentials::builder(RequestMode::Provider)
        .base_url(server.base_url())
        .refresh_client(client.clone())
}

/// The layer with credentials of `tokens` around `client`, which carries the refresh request too.
pub(crate) async fn api(server: &FakeTeamUp, client: &Http, tokens: TokenSet) -> Auth<Http> {
    layered(credentials(server, client).tokens(tokens).build().await.unwrap(), client.clone())
}

pub(crate) fn layered<S: Clone>(credentials: Credentials, client: S) -> Auth<S> {
    AuthLayer::new(credentials).layer(client)
}

/// A login whose access token for provider mode expired long ago by the client's clocks. The
/// server would still take it, so an answer of 200 to it would show.
pub(crate) fn expired_tokens(server: &FakeTeamUp) -> TokenSet {
    let tokens = server.issue_tokens(&[RequestMode::Provider]);
    let token = tokens.access_token(RequestMode::Provider).unwrap().clone();
    TokenSet::new(tokens.refresh_token().clone()).with_access_token_until(
        RequestMode::Provider,
        token,
        Some(SystemTime::UNIX_EPOCH),
    )
}

/// `GET` of a path under the API's base, marked as the call of `caller`.
pub(crate) fn get(server: &FakeTeamUp, path: &str, caller: impl ToString) -> Request<Body> {
    Request::get(server.url(path)).header(CALLER, caller.to_string()).body(Body::default()).unwrap()
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Why there is no new token, where the layer says so.
    pub(crate) reason: Option<Error>,
}

/// Sends one request through a clone of `service` and reads the answer.
pub(crate) async fn call<S, B, R>(service: &S, request: Request<B>) -> Result<Answer, BoxError>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: http_body::Body<Error: Into<BoxError>>,
{
    let response = service.clone().oneshot(request).await.map_err(Into::into);
    let response = response.inspect_err(|error| witness::look_at_error(&**error))?;
    let (head, body) = response.into_parts();
    witness::look_at(&head);
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    let reason: Option<Error> = head.extensions.get().cloned();
    reason.iter().for_each(|reason| witness::look_at_error(reason));
    Ok(Answer { status: head.status, headers: head.headers, body, reason })
}

/// The status of one `GET` of `/echo`.
pub(crate) async fn status<S>(service: &S, server: &FakeTeamUp, caller: impl ToString) -> u16
where
    S: Service<Request<Body>, Response = Response<ResponseBody<Incoming>>> + Clone,
    S::Error: Into<BoxError>,
{
    call(service, get(server, "/echo", caller)).await.unwrap().status.as_u16()
}

/// Many callers at once, each a task of its own.
pub(crate) struct Crowd<T> {
    calls: Vec<JoinHandle<T>>,
    /// How many of them have been polled once.
    asked: watch::Receiver<usize>,
}

impl<T: Send + 'static> Crowd<T> {
    /// Starts `size` callers; `call` makes the call of each from its number.
    pub(crate) fn of<F>(size: usize, call: impl Fn(usize) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let counter = watch::Sender::new(0);
        let asked = counter.subscribe();
        let calls = (0..size)
            .map(|number| {
                let (call, counter) = (call(number), counter.clone());
                tokio::spawn(async move {
                    let mut call = pin!(call);
                    let first = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
                    counter.send_modify(|asked| *asked += 1);
                    match first {
                        Poll::Ready(output) => output,
                        Poll::Pending => call.await,
                    }
                })
            })
            .collect();
        Crowd { calls, asked }
    }

    /// Every caller has gone as far as it can without another's help: a request that needs a token
    /// has asked for it.
    pub(crate) async fn called(&self) {
        let size = self.calls.len();
        self.asked.clone().wait_for(|asked| *asked == size).await.unwrap();
    }

    pub(crate) async fn outputs(self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.calls.len());
        for call in self.calls {
            outputs.push(call.await.unwrap());
        }
        outputs
    }

    /// Drops every call where it stands.
    pub(crate) async fn abort(self) {
        self.calls.iter().for_each(JoinHandle::abort);
        for call in self.calls {
            assert!(call.await.is_err_and(|end| end.is_cancelled()), "a call had ended before");
        }
    }
}

impl Crowd<u16> {
    /// Callers of `/echo` through clones of `service`, and the status that each gets.
    pub(crate) fn calling<S>(size: usize, service: &S, server: &FakeTeamUp) -> Self
    where
        S: Service<Request<Body>, Response = Response<ResponseBody<Incoming>>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        Crowd::of(size, |number| {
            let (service, request) = (service.clone(), get(server, "/echo", number));
            async move { call(&service, request).await.unwrap().status.as_u16() }
        })
    }

    /// How many callers got which status.
    pub(crate) async fn statuses(self) -> BTreeMap<u16, usize> {
        let mut counts = BTreeMap::new();
        for status in self.outputs().await {
            *counts.entry(status).or_default() += 1;
        }
        counts
    }
}

/// Lets `by` pass on Tokio's clock, and no more than that: time stands still only inside.
///
/// For a runtime of one thread.
pub(crate) async fn pass(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

/// The same in steps of a second: what counts running time counts each of them.
pub(crate) async fn pass_running(seconds: u64) {
    for _ in 0..seconds {
        pass(Duration::from_secs(1)).await;
        // Whoever waited for that second starts to wait for the next one.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

/// Why a call without a valid token has failed: in place of an answer, or beside a 401.
pub(crate) fn why(outcome: Result<Answer, BoxError>) -> tower_teamup_auth::Error {
    match outcome {
        Ok(answer) => {
            assert_eq!(answer.status, 401);
            answer.reason.expect("the reason beside the 401")
        }
        Err(error) => *error.downcast().expect("an error of this crate"),
    }
}

/// Everything that an error says: its own words, its `Debug`, and those of what lies behind it.
pub(crate) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(|error| format!("{error} {error:?} {error:#?}\n")).collect()
}

/// Asserts that `text` holds none of the tokens that a fake server issues, known to the test or
/// not.
#[track_caller]
pub(crate) fn assert_no_token(text: &str) {
    for kind in ["refresh", "customer", "provider", "m2m"] {
        assert!(!text.contains(&format!("fake-{kind}-")), "{text}");
    }
}
