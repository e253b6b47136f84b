//! Login required: what to do when a person has to log in again.
//!
//! An error, or the error beside a 401, of which [`Error::is_login_required`] is true says that only a
//! person can help. TeamUp has rejected the refresh token and no newer one is known, or the user has
//! signed out, or nothing is stored.
//!
//! # What happens then
//!
//! - A call that needs a new token fails at once, and sends nothing.
//! - An access token that is still valid is used until it expires.
//! - [`Status::is_login_required`] is true, and [`Status::failure`] tells since when and why.
//!   [Subscribers](crate::Credentials::subscribe) are told at once.
//! - The event "login required" is logged once, as an error.
//!
//! TeamUp does not document which codes reject a refresh token. A refusal in TeamUp's format with an unknown
//! code is [probably](crate::refresh::FailureClass::ProbablyRejected) a rejection. A login is then required,
//! and the refresh token is tried again all the same, after a minute at first. A page of a firewall or a
//! proxy is no rejection, whatever its status: see [how responses are
//! read](crate::refresh#what-a-response-means).
//!
//! # Causes
//!
//! | cause | sign | prevention |
//! | --- | --- | --- |
//! | the person or TeamUp withdrew the authorization | [`Error::api_error`] has TeamUp's words | – |
//! | another program spent the refresh token | soon after a refresh | one login for each program, or one [store](crate::store) |
//! | a response was lost after the rotation | follows [outcome unknown](crate::refresh::FailureClass::OutcomeUnknown) | [a client](crate::CredentialsBuilder::refresh_client) without a time-out |
//! | the program started with a spent token | at the first refresh | a store; tokens in a configuration are a seed |
//! | a process died before the save | at the first refresh after a crash | [`Credentials::shutdown`] |
//! | the user signed out | the text says "signed out" | – |
//! | the store is empty | the text says so | – |
//!
//! # What to do
//!
//! Send the person through a login, as the examples `login`, `axum_login` and `password_login` do. Hand the
//! tokens to [`Credentials::log_in`]. Nothing has to be restarted or built again.
//!
//! ```
//! use http::{Request, StatusCode};
//! use http_body_util::Full;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::testing::FakeTeamUp;
//! use tower_teamup_auth::{AuthLayer, BoxError, Credentials, Error, RequestMode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let teamup = FakeTeamUp::start().await;
//! let http_client: HyperClient = hyper_client();
//! let credentials = Credentials::builder(RequestMode::Customer)
//!     .base_url(teamup.base_url())
//!     .tokens(teamup.issue_tokens(&[]))
//!     .build()
//!     .await?;
//! let mut api = ServiceBuilder::new()
//!     .layer(AuthLayer::new(credentials.clone()))
//!     .service(http_client);
//! let request = || Request::get(teamup.url("/events")).body(Full::default());
//!
//! teamup.revoke_everything(); // the person has withdrawn the authorization
//! let error = api.ready().await?.call(request()?).await.unwrap_err();
//! assert!(Error::find(&error).is_some_and(Error::is_login_required));
//!
//! // … the person logs in again …
//! credentials.log_in(teamup.issue_tokens(&[])).await?;
//! assert_eq!(api.ready().await?.call(request()?).await?.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! | program | do |
//! | --- | --- |
//! | desktop | show a banner that leads to the login; see [`status`](crate::status) |
//! | service with users | answer this user with 401 and the way to the login; leave others alone |
//! | job without a person | end with an error, and do not retry |
//! | fleet | log in in one process; the others read the store every 5 s while calls fail |
//!
//! A restart does not help: the new process finds the same store. [`Status::is_healthy`] is false, so do not
//! connect it to a liveness probe.
//!
//! # What is no lost login
//!
//! | you see | it is |
//! | --- | --- |
//! | a 403 of the API | a permission that the person lacks |
//! | [`Error::is_refresh_limited`], [`Error::is_route_refused`] | the API refuses fresh tokens: check mode, provider id, permissions |
//! | [`Error::is_transient`] | a failure that passes |
//! | [`Error::is_protocol`] | something answers in place of TeamUp: a firewall, a captive portal, a wrong base URL |
//! | [`Error::is_configuration`] | TeamUp refuses the scopes or the mode; [`RefreshError::field`] names the field |
//! | [`Error::is_outcome_unknown`] | a response was lost; the next refresh finds out |
//! | [`Error::is_login_changed`] | another login took its place while the request waited |
//!
//! [`Credentials::log_in`]: crate::Credentials::log_in
//! [`Credentials::shutdown`]: crate::Credentials::shutdown
//! [`Error::api_error`]: crate::Error::api_error
//! [`Error::is_configuration`]: crate::Error::is_configuration
//! [`Error::is_login_changed`]: crate::Error::is_login_changed
//! [`Error::is_login_required`]: crate::Error::is_login_required
//! [`Error::is_outcome_unknown`]: crate::Error::is_outcome_unknown
//! [`Error::is_protocol`]: crate::Error::is_protocol
//! [`Error::is_refresh_limited`]: crate::Error::is_refresh_limited
//! [`Error::is_route_refused`]: crate::Error::is_route_refused
//! [`Error::is_transient`]: crate::Error::is_transient
//! [`RefreshError::field`]: crate::refresh::RefreshError::field
//! [`Status::failure`]: crate::status::Status::failure
//! [`Status::is_healthy`]: crate::status::Status::is_healthy
//! [`Status::is_login_required`]: crate::status::Status::is_login_required
