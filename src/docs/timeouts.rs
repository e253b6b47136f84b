//! Timeouts: which limit bounds what.
//!
//! The limits of callers end their waiting, and no refresh. A refresh request that was sent ends by its
//! response, by a failed connection, or by its own limit. The response is used whenever it comes.
//!
//! # Limits
//!
//! | limit | default | bounds | when it is reached |
//! | --- | --- | --- | --- |
//! | [`wait_timeout`] | 30 s | one caller's wait: lease, refresh, reading of the 401 | an error, or the 401 with the error |
//! | [`early_wait`] | 3 s | the wait of the one request that starts an early refresh | the old token is sent |
//! | reading a 401 | 1 s | what is read of its body before the wait | the rest is dropped |
//! | [`refresh_request_timeout`] | 2 min | one refresh request, in time that the process runs | outcome unknown; one further try |
//! | [`store_timeout`] | 5 s | one call of the token store | a store error |
//! | tower's `Timeout` outside | none | the whole call, waits included | `Elapsed`; the refresh goes on |
//! | tower's `Timeout` inside | none | each send, not the wait | `Elapsed`, as an error of the client |
//! | reqwest's `ClientBuilder::timeout` | none | each send; not a refresh request | an error of reqwest |
//! | reqwest's `ClientBuilder::read_timeout` | none | each send, a refresh request too | an error of reqwest; the refresh: outcome unknown |
//! | reqwest's `RequestBuilder::timeout` | none | with `AuthMiddleware`, the call with its waits | as `wait_timeout`; then an error of reqwest |
//!
//! Each row is a test of the project: `tests/core/waits.rs`, `tests/stacks/timeouts.rs`,
//! `tests/reqwest/timeouts.rs` and the unit tests of `src/middleware/saved_body.rs`.
//!
//! # Choosing limits
//!
//! A limit of the whole call belongs outside the layer. Make it longer than [`wait_timeout`], or the
//! caller learns less of what took so long. A limit of each send belongs inside, where a retry has its
//! own:
//!
//! ```
//! use std::time::Duration;
//!
//! use tower::{Service, ServiceBuilder};
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::{AuthLayer, BoxError, Credentials};
//!
//! # fn stack(credentials: Credentials) {
//! let client: HyperClient = hyper_client();
//! let api = ServiceBuilder::new()
//!     .timeout(Duration::from_secs(60)) // the call
//!     .layer(AuthLayer::new(credentials))
//!     .timeout(Duration::from_secs(10)) // each send
//!     .service(client);
//! # let _ = api;
//! # }
//! ```
//!
//! Over HTTP/2 the limit inside has one more use. A request that hyper's client takes up at the moment its
//! connection ends can be left without an outcome: it is not sent, and no error comes. The limit ends it.
//!
//! A client for refresh requests should have no time limit of its own: a limit that cuts off a response
//! has spent the token. Over reqwest the crate overrides the client's `timeout`. It can't override
//! `read_timeout`, nor the limits of other clients: build the client for refresh requests without one. An
//! error that `read_timeout` leads to names it.
//!
//! # When a caller's wait ends
//!
//! The error answers [`Error::is_timeout`](crate::Error::is_timeout) and
//! [`Error::is_transient`](crate::Error::is_transient). The refresh goes on, and the next request finds its
//! result.
//!
//! # Running time
//!
//! [`refresh_request_timeout`] counts running time in steps of one second at most. A process that was
//! stopped, or a container that was frozen, has used up one second of it. When the limit is reached, five
//! more seconds are counted before the request is dropped. Its outcome is then unknown.
//!
//! [`wait_timeout`]: crate::CredentialsBuilder::wait_timeout
//! [`early_wait`]: crate::CredentialsBuilder::early_wait
//! [`refresh_request_timeout`]: crate::CredentialsBuilder::refresh_request_timeout
//! [`store_timeout`]: crate::CredentialsBuilder::store_timeout
