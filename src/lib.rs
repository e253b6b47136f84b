//! A client-side tower [`Layer`](tower_layer::Layer) for programs that call the TeamUp API.
//!
//! It puts the bearer token and the `TeamUp-Request-Mode` header on every outgoing request, renews
//! the token before it expires or when the API answers 401, repeats that one request once, and lets
//! any number of concurrent callers share a single refresh.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_teamup_auth::{AuthLayer, BoxError, Credentials, RequestMode, TokenSet};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let http_client = service_fn(|request: Request<Full<Bytes>>| async move {
//! #     Ok::<_, BoxError>(Response::new(match request.headers().get("authorization") {
//! #         Some(token) => token.to_str()?.to_owned(),
//! #         None => r#"{"access_token":"a1","expires_in":7200,"refresh_token":"r2"}"#.to_owned(),
//! #     }))
//! # });
//! # let http_client = tower::util::MapResponse::new(http_client, |mut response: Response<String>| {
//! #     response.headers_mut().insert("content-type", "application/json".parse().unwrap());
//! #     response
//! # });
//! let credentials = Credentials::builder(RequestMode::Provider)
//!     .provider_id(54664)
//!     .tokens(TokenSet::new("a-refresh-token".parse()?))
//!     .refresh_client(http_client.clone()) // any tower HTTP client; carries the exchange only
//!     .build()
//!     .await?;
//!
//! let api = ServiceBuilder::new()
//!     .layer(AuthLayer::new(credentials.clone()))
//!     .service(http_client);
//!
//! let request = Request::get("https://goteamup.com/api/v2/events").body(Full::<Bytes>::default())?;
//! let response = api.oneshot(request).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "Bearer a1");
//! # Ok::<(), BoxError>(())
//! # })?;
//! # Ok::<(), BoxError>(())
//! ```
//!
//! # The way of one request
//!
//! 1. **Is it ours?** A token goes to the origin of the API's base URL, and to others that were
//!    [allowed by name](CredentialsBuilder::allow_origin). A request to anywhere else passes
//!    through untouched, as does one that brings its own `Authorization`, and a refresh exchange
//!    that happens to run through the same stack.
//! 2. **Which token?** That of the request's mode: its own `TeamUp-Request-Mode` header, else a
//!    [`RequestMode`] in its extensions, else the credential's.
//! 3. **Is it good?** A fresh token is put on and the request sent at once. In the last part of the
//!    token's life the same happens, and a refresh starts beside it. With an expired token, or none
//!    yet, the request waits for the refresh, while nothing of the inner stack's capacity is held.
//! 4. **401?** The token is renewed, unless it has been replaced since, or the challenge says
//!    `insufficient_scope`; then the request is repeated, once, if its [body] can be sent again.
//!    Everything else goes to the caller as it came.
//! 5. **No new token?** After a 401 the caller gets that 401, with the reason, an [`Error`], in the
//!    response's extensions. Where nothing could be sent, the call fails with it.
//!
//! # Where to go from here
//!
//! | to | see |
//! | --- | --- |
//! | make credentials | [`Credentials::builder`], [`Credentials::m2m`] |
//! | serve many users over one client | [`AuthLayer::per_request`] |
//! | keep one credential for each user of a service | [`manager`] |
//! | keep tokens between runs and processes | [`store`] |
//! | run many processes on one credential | [`docs::fleet`] |
//! | send streams | [`body`] |
//! | put the layer in its place among others | [`docs::ordering`] |
//! | log a person in, by OAuth or by password | `login`, with the feature of that name |
//! | use an M2M token that is replaced while the program runs | [`m2m`] |
//! | stay below the API's rate limit | [`limit`] |
//! | use hyper-util, reqwest or reqwest-middleware | [`client`] |
//! | use another client, or another language | [`Credentials::access_token`], [`docs::command`] |
//! | refresh in a way of your own | [`refresh::Refresh`] |
//! | know what an error asks of you | [`Error`] |
//! | know what is promised, and how that is proved | [`docs::guarantees`] |
//! | watch credentials at work | [`docs::metrics`] |
//! | show how things are, and follow it | [`Credentials::status`], [`Credentials::subscribe`] |
//! | log in again when that is required | [`docs::reauthorization`] |
//! | test your own program | [`docs::testing`] |
//! | come from code that refreshes by hand | [`docs::migration`] |
//! | anything else | the index in [`docs`] |
//!
//! # What it tells
//!
//! Events of `tracing` under the target `tower_teamup_auth`; a refresh runs in a span
//! `teamup_refresh` with the fields `mode` and `reason`. With the feature `metrics`, the metrics that
//! [`docs::metrics`] lists. No secret is in any of them.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod body;
pub mod client;
mod credentials;
pub mod docs;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
pub mod limit;
#[cfg(feature = "login")]
#[cfg_attr(docsrs, doc(cfg(feature = "login")))]
pub mod login;
pub mod m2m;
pub mod manager;
mod middleware;
mod observe;
mod origin;
pub mod refresh;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
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
pub use observe::describe_metrics;
pub use token::TokenSet;
