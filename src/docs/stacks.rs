//! The layer among other layers: a good order, and why.
//!
//! [`AuthLayer`](crate::AuthLayer) can stand anywhere in a tower stack. Where it stands decides
//! what its neighbours see: a layer **above** it (nearer to the caller) sees one request and its
//! final answer; a layer **below** it (nearer to the client) sees what is sent, with the token on
//! it, and after a 401 it sees it twice.
//!
//! For most programs:
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use tower::ServiceBuilder;
//! use tower_http::decompression::DecompressionLayer;
//! use tower_http::follow_redirect::FollowRedirectLayer;
//! use tower_http::trace::TraceLayer;
//! use tower_teamup_auth::{AuthLayer, Credentials};
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//!
//! # async fn stack(credentials: Credentials) {
//! let client: HyperClient = hyper_client();
//! let api = ServiceBuilder::new()
//!     .layer(TraceLayer::new_for_http())
//!     .timeout(Duration::from_secs(60)) // for all of a call
//!     .layer(FollowRedirectLayer::new())
//!     .layer(AuthLayer::new(credentials))
//!     .layer(DecompressionLayer::new())
//!     .buffer(64)
//!     .rate_limit(250, Duration::from_secs(60)) // TeamUp's own limit
//!     .concurrency_limit(20)
//!     .timeout(Duration::from_secs(30)) // for each send
//!     .service(client);
//! # let _: &dyn tower::Service<http::Request<Full<Bytes>>, Response = _, Error = _, Future = _> = &api;
//! # }
//! ```
//!
//! | layer | above | below | better |
//! | --- | --- | --- | --- |
//! | `FollowRedirect` | each hop is judged by itself: the token goes to allowed origins only, and a 401 repeats that hop | the layer sees the first hop only; where the others go with the token is the redirecting layer's affair, and a 401 from elsewhere costs a refresh | **above** |
//! | `Trace` | one span for each call | one for each send; the token is marked sensitive and not shown | above, unless you look for the sends |
//! | `Timeout` (tower's, tower-http's) | covers the wait for a refresh too; a call that it ends leaves the refresh running and its token kept | each send has the whole time, and a wait for a refresh costs none of it | both, with different times |
//! | `SetRequestHeader` | sets what the request chooses: a mode or a business that it sets is respected, an `Authorization` makes the request pass untouched | stands on both sends | either |
//! | `Decompression` | decodes what the caller gets | decodes every answer, the 401 as well | either |
//! | `Retry` | each attempt takes the newest token and may be repeated once after a 401 | each of the two sends is tried again, with the same token | above, unless attempts are cheap |
//! | `Buffer` | one queue for all; whoever waits for a token blocks nobody | the same | either |
//! | `ConcurrencyLimit` | counts calls, those included that wait for a refresh | counts what is under way; nothing of it is held while a refresh is awaited, so a refresh through the same limit gets its turn | **below** |
//! | `RateLimit` | counts calls; a repeat after 401 goes unseen | counts what is sent, as the server does | **below** |
//! | `BoxCloneSyncService` | the whole stack in a type that can be named | a client like any other | above all |
//! | [`ReplayBodyLayer`](crate::body::ReplayBodyLayer) | gives streams their second chance | the layer would not know of it | **above**, always |
//!
//! # With redirects
//!
//! - tower-http 0.7 keeps a request's extensions on a redirect within the origin, and drops them on
//!   one that leaves it. Between two origins that are both
//!   [allowed](crate::CredentialsBuilder::allow_origin), a [`RequestMode`](crate::RequestMode) or
//!   [`Credentials`](crate::Credentials) in the extensions is therefore gone after the hop, unless
//!   its policy is told to [keep them][allow].
//! - Do not put tower-http **0.6**'s `FollowRedirect` below the layer. It takes the token off the
//!   redirect that leaves the origin, and puts it back on the next one. reqwest 0.13 follows its
//!   redirects with it: see `client::redirects_within_origin`.
//!
//! [allow]: https://docs.rs/tower-http/0.7/tower_http/follow_redirect/policy/struct.FilterCredentials.html
//!
//! # With limits
//!
//! The exchange itself does not pass through the stack, unless the stack's own client is handed to
//! [`refresh_over`](crate::CredentialsBuilder::refresh_over). It may be, limits included: a request
//! that waits for a token has given back what it had reserved. TeamUp counts exchanges by IP
//! address and requests by user.
