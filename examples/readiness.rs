//! A worker that takes no job before TeamUp can be called: warm-up, a gate that speaks tower's
//! `poll_ready`, and a banner that follows the credential's state.
//!
//! ```text
//! cargo run -p examples --example readiness
//! ```
//!
//! The layer itself is ready as soon as the client below it is: a request may wait for a refresh, and
//! no capacity is held meanwhile. A program that would rather not begin can ask the credential.
//! Against a TeamUp-like server on loopback whose refresh endpoint is down at first, and which revokes
//! the login later; prints the banner's lines and the worker's, and ends.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::Full;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::{AuthLayer, Credentials, RequestMode, ResponseBody};

const MODE: RequestMode = RequestMode::Provider;

/// How often a gate that is shut tries by itself. A login that another process was handed shows only
/// to those who try.
const PAUSE: Duration = Duration::from_millis(500);

/// Puts a [`Gate`] before a service.
struct GateLayer(Credentials);

/// Is ready once its credential is, and the service behind it.
struct Gate<S> {
    inner: S,
    credentials: Credentials,
    /// The wait at the shut gate.
    opening: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner, credentials: self.0.clone(), opening: None }
    }
}

impl<S, R> Service<R> for Gate<S>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        loop {
            if let Some(opening) = &mut self.opening {
                ready!(opening.as_mut().poll(cx));
                self.opening = None;
            }
            if self.credentials.status().is_ready() {
                return self.inner.poll_ready(cx);
            }
            self.opening = Some(Box::pin(warm_up(self.credentials.clone())));
        }
    }

    fn call(&mut self, request: R) -> S::Future {
        self.inner.call(request)
    }
}

/// Returns when there is a token: tries, and tries again whenever something has changed, or after a
/// pause.
async fn warm_up(credentials: Credentials) {
    let mut changes = credentials.subscribe();
    while credentials.refresh(MODE).await.is_err() {
        let _ = tokio::time::timeout(PAUSE, changes.next()).await;
    }
}

/// Follows the credential, as a banner in a program's window would.
async fn banner(credentials: Credentials) {
    let mut changes = credentials.subscribe();
    drop(credentials); // or it would wait for itself
    let mut shown = String::new();
    while let Some(state) = changes.next().await {
        let text = if state.is_login_required() {
            "please log in to TeamUp again".to_owned()
        } else if state.is_ready() {
            "(no banner: all is well)".to_owned()
        } else if let Some(failure) = state.failure() {
            format!("TeamUp is out of reach: {}", failure.error())
        } else {
            format!("one moment ({state})")
        };
        if text != shown {
            println!("    banner: {text}");
            shown = text;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let server = FakeTeamUp::start().await;
    server.fail_every_refresh(Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    let http_client: HyperClient = hyper_client();
    let credentials = Credentials::builder(MODE)
        .base_url(server.base_url())
        .tokens(server.issue_tokens(&[]))
        .wait_timeout(Duration::from_secs(1))
        .build()
        .await?;
    let mut api = ServiceBuilder::new()
        .layer(GateLayer(credentials.clone()))
        .layer(AuthLayer::new(credentials.clone()))
        .service(http_client);
    let banner = tokio::spawn(banner(credentials.clone()));

    println!("The refresh endpoint is down. The worker waits at the gate, before it takes a job.");
    let mut failing = credentials.subscribe();
    tokio::join!(
        async {
            // Somebody mends the endpoint once the first refresh has failed.
            while failing.next().await.is_some_and(|state| state.failure().is_none()) {}
            server.clear_faults();
        },
        work(&mut api, &server),
    )
    .1?;

    println!(
        "The login is revoked. The request that meets it is answered 401, and the gate shuts."
    );
    server.revoke_everything();
    anyhow::ensure!(work(&mut api, &server).await? == StatusCode::UNAUTHORIZED);
    anyhow::ensure!(credentials.status().is_login_required());

    println!("The person logs in again. The worker, who waits at the gate, goes on.");
    let (logged_in, worked) =
        tokio::join!(credentials.log_in(server.issue_tokens(&[MODE])), work(&mut api, &server));
    logged_in?;
    anyhow::ensure!(worked? == StatusCode::OK);

    credentials.shutdown().await?;
    drop((api, credentials, failing));
    banner.await?;
    println!("All jobs are done.");
    Ok(())
}

/// One job: taken when the stack is ready for it, not before.
async fn work<S>(api: &mut S, server: &FakeTeamUp) -> anyhow::Result<StatusCode>
where
    S: Service<
            Request<Full<bytes::Bytes>>,
            Response = http::Response<ResponseBody<hyper::body::Incoming>>,
        >,
    S::Error: Into<BoxError>,
{
    let boxed = |error: S::Error| anyhow::Error::from_boxed(error.into());
    let api = api.ready().await.map_err(boxed)?;
    println!("    the worker takes a job");
    let request = Request::get(server.url("/events?page_size=1")).body(Full::default())?;
    let status = api.call(request).await.map_err(boxed)?.status();
    println!("    the job was answered {status}");
    Ok(status)
}
