//! Where the layer stands in a stack, and why.
//!
//! In a [`ServiceBuilder`] the first layer is the outermost: requests pass it first, answers last.
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
//!     .layer(AuthLayer::new(credentials))
//!     .concurrency_limit(64)                 // of what is truly sent
//!     .service(http_client);
//! # }
//! ```
//!
//! | layer | stand it | because |
//! | --- | --- | --- |
//! | `FollowRedirect` (tower-http) | outside | each hop passes the origin check, so the token stays at home and comes back when a redirect leads back. Inside, a followed redirect is out of the layer's sight; tower-http then strips `Authorization` where the origin changes, and other clients may not |
//! | `Trace` | outside for one span a call; inside for one a send, with the repeat and its token's mode | the value of `Authorization` is marked sensitive either way |
//! | `Timeout` | outside, as the limit of the call; another inside, as the limit of each send | a caller that gives up never interrupts the refresh, so no rotated token is lost |
//! | `Retry` (tower) | outside | each attempt takes the newest token, and a refresh is never retried by a policy that knows nothing of rotation |
//! | `SetRequestHeader` | either side | inside, it also sees the repeat; one that sets `Authorization` outside makes the request the caller's own, and the layer leaves it alone |
//! | `Decompression` | outside | the layer reads no answer's body, save a small 401 that it throws away |
//! | [`ReplayBodyLayer`](crate::body::ReplayBodyLayer) | directly outside | it wraps a stream before the layer asks for a copy |
//! | `ConcurrencyLimit`, `RateLimit` | inside | they count what is sent, and a request that waits for a refresh holds none of their capacity. Outside, waiting requests would hold it |
//! | `Buffer` | inside, where the client can't be cloned | the layer clones the service below it when a request waits or is repeated; a clone of a buffer is the same buffer |
//! | `BoxCloneSyncService` | outside, to name the type of a stack | |
//!
//! Each row is a test of the project, over real sockets. Any other order works too: the promises on
//! tokens, repeats and bodies hold in every one of them.
//!
//! # Redirects
//!
//! - tower-http **0.6** (reqwest 0.13 follows its redirects with it) takes `Authorization` off the
//!   redirect that leaves the origin, and puts it back on the next one: below the layer, it loses
//!   the token to whoever redirects twice. tower-http 0.7 does not. For reqwest there is
//!   `client::redirects_within_origin`.
//! - tower-http 0.7 keeps a request's extensions on a redirect within the origin, and drops them on
//!   one that leaves it. Between two origins that are both
//!   [allowed](crate::CredentialsBuilder::allow_origin), a [`RequestMode`](crate::RequestMode) or
//!   [`Credentials`](crate::Credentials) in the extensions is gone after the hop, unless its policy
//!   is told to [keep them][filter].
//! - With `FollowRedirect` below, a 401 from another origin looks like one from the API, and costs
//!   a refresh. Above, it does not; over reqwest it doesn't either.
//!
//! # The exchange
//!
//! The client that is handed to [`refresh_client`](crate::CredentialsBuilder::refresh_client) carries
//! the refresh token. It should follow no redirects (the endpoint gives none) and write no bodies to
//! a log. It may share its limits with the API's client, or be the very stack with the layer in it:
//! an exchange passes through untouched, and no waiting request holds what it needs.
//!
//! [filter]: https://docs.rs/tower-http/0.7/tower_http/follow_redirect/policy/struct.FilterCredentials.html
//! [`ServiceBuilder`]: https://docs.rs/tower/0.5/tower/struct.ServiceBuilder.html
