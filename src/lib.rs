//! A client-side [tower](https://docs.rs/tower) [`Layer`](tower_layer::Layer) for programs that call
//! the [TeamUp](https://goteamup.com) API.
//!
//! It adds the bearer token and the `TeamUp-Request-Mode` header to each request. It refreshes the
//! token before it expires or when the API answers 401, and retries that request once. All callers,
//! and all processes that share a [store], share one refresh.
//!
//! # Quick start
//!
//! A complete program, with the features `hyper` and `testing`. [`FakeTeamUp`] is a TeamUp-like server
//! on loopback. For the real API, leave out that line and `base_url`, and bring the tokens of a
//! [login](docs::quick_start#first-tokens).
//!
//! ```
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::testing::FakeTeamUp;
//! use tower_teamup_auth::{AuthLayer, BoxError, Credentials, RequestMode};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let teamup = FakeTeamUp::start().await;
//!     let credentials = Credentials::builder(RequestMode::Provider)
//!         .base_url(teamup.base_url())
//!         .tokens(teamup.issue_tokens(&[]))
//!         .build()
//!         .await?;
//!
//!     let client: HyperClient = hyper_client();
//!     let mut api = ServiceBuilder::new()
//!         .layer(AuthLayer::new(credentials.clone()))
//!         .service(client);
//!
//!     let request = Request::get(teamup.url("/events")).body(Full::default())?;
//!     let response = api.ready().await?.call(request).await?;
//!     let page = response.into_body().collect().await?.to_bytes();
//!     println!("{}", String::from_utf8_lossy(&page));
//!
//!     // Waits for a refresh under way, and saves its tokens.
//!     credentials.shutdown().await?;
//!     Ok(())
//! }
//! ```
//!
//! A clone of `credentials` is the same credential. Without a [store], tokens are lost when the
//! program ends.
//!
//! # How a request is handled
//!
//! 1. **Origin.** A token goes to the origin of the base URL, and to those that were
//!    [allowed](CredentialsBuilder::allow_origin). A request to any other origin passes through
//!    untouched. So does one with its own `Authorization`, and so does a refresh request.
//! 2. **Mode.** The request's `TeamUp-Request-Mode` header takes precedence, then a [`RequestMode`] in
//!    its extensions, then the mode of the credential.
//! 3. **Token.** With a fresh token the request is sent at once. In the last part of the token's life
//!    one request starts a refresh and waits for it, [3 s at
//!    most](CredentialsBuilder::early_wait). Others go on with the valid token. Without a valid token
//!    a request waits, and holds nothing of the inner service meanwhile.
//! 4. **401.** The token is refreshed, unless it was replaced since or the challenge says
//!    `insufficient_scope`. Then the request is retried once, if its [body] can be sent again.
//! 5. **No retry.** The caller gets the 401, with an [`Error`] in the response's extensions that says
//!    why. Where nothing could be sent, the call fails with that error.
//!
//! # Configuration
//!
//! | to | see |
//! | --- | --- |
//! | set up credentials | [`Credentials::builder`], [`Credentials::m2m`] |
//! | change mode or provider for one request | [`RequestMode`], [`ProviderId`] |
//! | serve many users | [`manager`], [`AuthLayer::per_request`] |
//! | choose a client | [`client`] |
//! | use another client, or another language | [`Credentials::access_token`], [`docs::command`] |
//! | keep tokens | [`store`], [`docs::token_stores`] |
//! | send streams | [`body`] |
//! | stay below the API's rate limit | [`limit`] |
//! | refresh in another way | [`refresh::Refresh`] |
//! | log a person in | `login`, with the feature of that name |
//! | place the layer among others | [`docs::ordering`] |
//! | run a fleet | [`docs::fleet`] |
//! | test your program | [`docs::testing`] |
//!
//! [`docs`] is the index of all guide pages.
//!
//! # Error handling
//!
//! [`Error`] has a question for each thing that a program can do. Find it with [`Error::find`]. Errors
//! of the inner service pass through unchanged. When [`Error::is_login_required`] is true, only a
//! person can help: see [`docs::login_required`].
//!
//! # Timeouts
//!
//! A caller waits 30 s at most for a token, unless [set](CredentialsBuilder::wait_timeout). The refresh
//! goes on, and its result is used by the next caller. [`docs::timeouts`] lists every limit.
//!
//! # Health checks
//!
//! [`Credentials::status`] is a snapshot for a health check, and [`Credentials::subscribe`] follows each
//! change. See [`docs::health_and_metrics`].
//!
//! # Logging and metrics
//!
//! Events of `tracing` have the target `tower_teamup_auth`. A refresh has a span `teamup_refresh` with
//! the fields `mode` and `reason`. The feature `metrics` adds the metrics that [`docs::metrics`]
//! lists. None of them holds a secret.
//!
//! # Features and MSRV
//!
//! No feature is on by default. The MSRV is Rust 1.85 where the table names no other.
//!
//! | feature | adds | MSRV |
//! | --- | --- | --- |
//! | `hyper` | a client over hyper-util and rustls; the client for refresh requests | |
//! | `hyper-plain` | the same client for plain HTTP/1.1: loopback, a sidecar that does the TLS | |
//! | `reqwest` | `ReqwestService` | |
//! | `reqwest-middleware` | `AuthMiddleware` | |
//! | `login` | OAuth code flow with PKCE, password login with two-factor | |
//! | `open-browser` | opens the login page | |
//! | `encryption` | encrypted records in files, Redis and SQL | |
//! | `keyring` | `KeyringStore` | 1.88 |
//! | `redis`, `redis-tls` | `RedisStore` | 1.88 |
//! | `postgres` | `PostgresStore` | 1.94 |
//! | `sqlite` | `SqliteStore` | 1.94 |
//! | `metrics` | metrics through the `metrics` facade | |
//! | `follow-redirect` | knows tower-http's `FollowRedirect` below the layer | |
//! | `multipart` | the refresh request as `multipart/form-data` | |
//! | `xml` | XML responses of the refresh endpoint | 1.86 |
//! | `testing` | `FakeTeamUp`, a test suite for stores | 1.86 |
//! | `testing-http2` | `FakeTeamUp` speaks HTTP/2, too | 1.86 |
//! | `full` | all of them | 1.94 |
//!
//! # Examples
//!
//! Complete programs, in the folder `examples/` of the repository. Each runs without an account.
//!
//! | source | shows |
//! | --- | --- |
//! | `quickstart.rs` | expiry and 401 under 100 callers |
//! | `login/`, `axum_login/`, `password_login.rs` | first tokens |
//! | `reqwest.rs`, `reqwest_middleware.rs` | reqwest below the layer |
//! | `users/`, `axum_service.rs` | services with many users |
//! | `any_client.rs` | a client without an adapter |
//! | `m2m.rs` | an M2M token that is replaced |
//! | `readiness.rs` | warm-up and a health check |
//! | `uploads.rs` | streams that are sent again |
//! | `custom_store.rs` | a token store of your own |
//! | `fleet/` | twenty processes over one store |
//!
//! [`FakeTeamUp`]: testing/struct.FakeTeamUp.html
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Its examples need all features between them.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod body;
pub mod client;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
mod credentials;
pub mod docs;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
pub mod limit;
#[cfg(feature = "login")]
#[cfg_attr(docsrs, doc(cfg(feature = "login")))]
pub mod login;
pub mod m2m;
pub mod manager;
mod middleware;
mod observe;
mod origin;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
pub mod refresh;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
pub mod token;

#[cfg(feature = "testing")]
pub use credentials::RefreshStep;
pub use credentials::{Credentials, CredentialsBuilder, status};
pub use error::{BoxError, Error, MayHoldError};
pub use headers::{
    AuthScheme, PROVIDER_ID, ParseHeaderError, ProviderId, REQUEST_MODE, RequestMode,
};
pub use middleware::{Auth, AuthLayer, ResponseBody, ResponseFuture};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use observe::{HISTOGRAM_BUCKETS, describe_metrics};
pub use token::TokenSet;
