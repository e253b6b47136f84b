//! Ordering: the place of the layer in a stack.
//!
//! In a [`ServiceBuilder`] the first layer is the outermost: requests pass it first, responses last.
//! The recommended order, from the caller to the client:
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use tower::ServiceBuilder;
//! use tower_http::trace::TraceLayer;
//! use tower_teamup_auth::body::ReplayBodyLayer;
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::body::ReplayBody;
//! use tower_teamup_auth::{AuthLayer, Credentials};
//!
//! # async fn stack(credentials: Credentials) {
//! let http_client: HyperClient<ReplayBody<Full<Bytes>>> = hyper_client();
//! let api = ServiceBuilder::new()
//!     .layer(TraceLayer::new_for_http())     // what the caller asked and got
//!     .timeout(Duration::from_secs(60))      // of the whole call, a wait for a refresh included
//!     .layer(ReplayBodyLayer::new())         // only where bodies are streams
//!     .layer(AuthLayer::new(credentials))    // limits of what is truly sent stand below
//!     .service(http_client);
//! # }
//! ```
//!
//! Each row is a test of the project, over real sockets (`tests/stacks/`), and each example is compiled and
//! run there as it stands here. `auth` stands for `AuthLayer::new(credentials)`, `builder` for
//! `ServiceBuilder::new()`, and `api` for `builder.layer(auth).service(client)`.
//!
//! Outside of the layer:
//!
//! | neighbour | example | reason |
//! | --- | --- | --- |
//! | `FollowRedirect` (tower-http) | `builder.layer(FollowRedirectLayer::new()).layer(auth)` | [below](#redirects) |
//! | `Trace` | `builder.layer(TraceLayer::new_for_http()).layer(auth)` | one span for each call |
//! | `Timeout` | `builder.timeout(limit).layer(auth)` | inside it works too, see [`timeouts`](super::timeouts) |
//! | `Retry` | `builder.retry(policy).layer(auth)` | each attempt takes the newest token |
//! | `Hedge` | `Hedge::new(api, policy, 100, 0.9, period)` | attempts share a refresh |
//! | `Decompression` | `builder.layer(DecompressionLayer::new()).layer(auth)` | the layer reads no body but a small 401's |
//! | `ReplayBodyLayer` | `builder.layer(ReplayBodyLayer::new()).layer(auth)` | directly outside: it wraps a stream before the layer asks for a copy |
//! | `SendOnceLayer` | `builder.layer(SendOnceLayer::new()).layer(auth)` | directly outside, for `axum::body::Body` and tonic's bodies |
//! | `BoxCloneSyncService` | `builder.layer(BoxCloneSyncService::layer()).layer(auth)` | names the type of a stack |
//!
//! Inside:
//!
//! | neighbour | example | reason |
//! | --- | --- | --- |
//! | `FollowRedirect` | `builder.layer(auth).layer(FollowRedirectLayer::new())` | needs the feature `follow-redirect` |
//! | `Trace` | `builder.layer(auth).layer(TraceLayer::new_for_http())` | one span for each send |
//! | `SetRequestHeader` | `builder.layer(auth).layer(set_header)` | it also sees the retry; outside it works too |
//! | `ConcurrencyLimit` | `builder.layer(auth).concurrency_limit(64)` | waiting requests hold no permit |
//! | `RateLimit` | `builder.layer(auth).buffer(8).rate_limit(10, second)` | behind `Buffer`: it can't be cloned |
//! | `LoadShed` | `builder.layer(auth).load_shed().concurrency_limit(64)` | its `Overloaded` reaches the caller as it is |
//! | `Buffer` | `builder.layer(auth).buffer(8).service(client)` | for a client that can't be cloned |
//!
//! Any other order works too: the guarantees on tokens, retries and bodies hold in every one of them.
//! A `SetRequestHeader` outside that sets `Authorization` makes the request authorize itself, and the
//! layer leaves it alone. The value that the layer sets is marked sensitive, so `Trace` does not show it.
//!
//! # Body types
//!
//! A response has the body [`ResponseBody`](crate::ResponseBody) of the inner one. Its `Error` is
//! [`BoxError`](crate::BoxError), whatever the client's is. To give a stack a type that can be written
//! down, box it:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::util::BoxCloneSyncService;
//! use tower::{BoxError, ServiceBuilder};
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::{AuthLayer, Credentials, ResponseBody};
//!
//! type Body = Full<Bytes>;
//! type Api = BoxCloneSyncService<
//!     Request<Body>,
//!     Response<ResponseBody<hyper::body::Incoming>>,
//!     BoxError,
//! >;
//!
//! fn api(credentials: Credentials) -> Api {
//!     let client: HyperClient = hyper_client();
//!     ServiceBuilder::new()
//!         .layer(BoxCloneSyncService::layer())
//!         .layer(AuthLayer::new(credentials))
//!         .service(client)
//! }
//! ```
//!
//! # Redirects
//!
//! - Outside the layer, `FollowRedirect` has each hop pass the origin check. A hop to another origin
//!   carries no token; a hop back to the API does. Each hop is retried by itself after a 401.
//! - Inside the layer, a followed redirect is out of its sight. With the feature `follow-redirect` it
//!   knows at least that tower-http 0.7's `FollowRedirect` stands there. It then retries no unsafe
//!   request (RFC 9110 section 9.2.1), because that may have been carried out before a redirect.
//!   Without the feature, it can't know.
//! - tower-http **0.6** (reqwest 0.13 follows its redirects with it) takes `Authorization` off the
//!   redirect that leaves the origin, and puts it back on the next one: below the layer, it loses
//!   the token to whoever redirects twice. tower-http 0.7 does not. For reqwest there is
//!   `client::redirects_within_origin`.
//! - tower-http 0.7 keeps a request's extensions on a redirect within the origin, and drops them on
//!   one that leaves it. Between two origins that are both
//!   [allowed](crate::CredentialsBuilder::allow_origin), a [`RequestMode`](crate::RequestMode) or
//!   [`Credentials`](crate::Credentials) in the extensions is gone after the hop, unless its policy
//!   is told to [keep them][filter]. A hop to any other origin passes
//!   [`AuthLayer::per_request`](crate::AuthLayer::per_request) through without them.
//! - With `FollowRedirect` inside, a 401 from another origin looks like one from the API, and costs
//!   a refresh. Outside, it does not; over reqwest it doesn't either.
//!
//! # The refresh client
//!
//! The client that is handed to [`refresh_client`](crate::CredentialsBuilder::refresh_client) carries
//! the refresh token. It should follow no redirects (the endpoint gives none) and write no bodies to
//! a log. It may share its limits with the API's client, or be the very stack with the layer in it:
//! a refresh request passes through untouched, and no waiting request holds what it needs.
//!
//! [filter]: https://docs.rs/tower-http/0.7/tower_http/follow_redirect/policy/struct.FilterCredentials.html
//! [`ServiceBuilder`]: https://docs.rs/tower/0.5/tower/struct.ServiceBuilder.html
