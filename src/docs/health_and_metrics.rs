//! Health checks, logging and metrics.
//!
//! # Health checks
//!
//! [`Credentials::status`] tells how a credential is. It asks neither TeamUp nor the store.
//!
//! | question | true when | use |
//! | --- | --- | --- |
//! | [`is_ready`] | a request in the credential's mode is sent at once | readiness, after a warm-up |
//! | [`is_healthy`] | such a request can be expected to be served | an alert |
//! | [`is_login_required`] | only a person can help | a banner, an alert |
//! | [`dirty`] is some | the newest tokens are in memory alone | an alert: mend the store |
//! | [`failure`] is some | the last refresh failed | the reason, with its time |
//! | [`is_refreshing`] | a refresh is under way | a display |
//!
//! `Display` of the status is one line without a secret:
//!
//! ```
//! use http::StatusCode;
//! use tower_teamup_auth::Credentials;
//!
//! /// `GET /healthz`
//! fn healthz(credentials: &Credentials) -> (StatusCode, String) {
//!     let status = credentials.status();
//!     let code = if status.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
//!     (code, status.to_string())
//! }
//! ```
//!
//! Do not let a liveness probe restart the process for it: the new process finds the same store, and a
//! restart loses tokens that are not saved yet.
//!
//! # Warm-up
//!
//! A credential is ready when it has an access token. [`Credentials::refresh`] gets one at start, and
//! shows at the same time that the login is good:
//!
//! ```
//! use tower_teamup_auth::testing::FakeTeamUp;
//! use tower_teamup_auth::{BoxError, Credentials, RequestMode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let teamup = FakeTeamUp::start().await;
//! let credentials = Credentials::builder(RequestMode::Provider)
//!     .base_url(teamup.base_url())
//!     .tokens(teamup.issue_tokens(&[]))
//!     .build()
//!     .await?;
//! assert!(!credentials.status().is_ready());
//!
//! credentials.refresh(RequestMode::Provider).await?;
//! assert!(credentials.status().is_ready());
//! # Ok(())
//! # }
//! ```
//!
//! [`keep_warm`](crate::CredentialsBuilder::keep_warm) refreshes in time without waiting for a request.
//!
//! # Following changes
//!
//! [`Credentials::subscribe`] hands out each new status. Time that passes is no change: a token that
//! expires unused shows when somebody asks.
//!
//! ```
//! use tower_teamup_auth::Credentials;
//!
//! async fn watch(credentials: Credentials) {
//!     let mut changes = credentials.subscribe();
//!     drop(credentials); // a subscription keeps no credential alive
//!     while let Some(status) = changes.next().await {
//!         println!("TeamUp: {status}");
//!     }
//! }
//! ```
//!
//! # Logging
//!
//! Events of `tracing` have the target `tower_teamup_auth`. A refresh has a span `teamup_refresh` with
//! the fields `mode` and `reason`. No event holds a secret.
//!
//! | event | level | asks for |
//! | --- | --- | --- |
//! | login required | error | a login |
//! | newest tokens not saved; they are used and the save is repeated | error | a working store |
//! | newest tokens still not saved | warn | the same |
//! | refresh failed | warn | a look at `error` |
//! | refresh request failed, and is sent again | warn | – |
//! | refresh limit reached | warn | a check of mode, provider id and permissions |
//! | the lease was lost, the lease was not released | warn | a longer lease, a working store |
//! | request passed through without a token | debug, or warn for a `Host` that differs | – |
//! | refresh succeeded | info | – |
//! | record adopted: another process has refreshed or logged in | info | – |
//! | newest tokens saved after all | info | – |
//! | logged in, signed out, signed out by another process | info | – |
//! | refresh started, refresh request answered | debug | – |
//! | request retried with a new token, request not retried | debug | – |
//!
//! # Metrics
//!
//! The feature `metrics` adds counters, gauges and histograms through the `metrics` facade.
//! [`metrics`](super::metrics) lists them, with what to alert on.
//!
//! [`Credentials::refresh`]: crate::Credentials::refresh
//! [`Credentials::status`]: crate::Credentials::status
//! [`Credentials::subscribe`]: crate::Credentials::subscribe
//! [`dirty`]: crate::status::Status::dirty
//! [`failure`]: crate::status::Status::failure
//! [`is_healthy`]: crate::status::Status::is_healthy
//! [`is_login_required`]: crate::status::Status::is_login_required
//! [`is_ready`]: crate::status::Status::is_ready
//! [`is_refreshing`]: crate::status::Status::is_refreshing
