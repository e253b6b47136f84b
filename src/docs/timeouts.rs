//! Which time limit bounds what.
//!
//! A limit ends the waiting of a caller. None of them ends a refresh request that was sent, but its own:
//! the answer is used whenever it comes.
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
//! A client for refresh requests should have no time limit of its own: one that cuts off an answer has
//! spent the token. Over reqwest the crate overrides the client's limit; over other clients it can't.
//!
//! [`wait_timeout`]: crate::CredentialsBuilder::wait_timeout
//! [`early_wait`]: crate::CredentialsBuilder::early_wait
//! [`refresh_request_timeout`]: crate::CredentialsBuilder::refresh_request_timeout
//! [`store_timeout`]: crate::CredentialsBuilder::store_timeout
