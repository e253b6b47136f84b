//! What to do when a login is required.
//!
//! An error or a 401's reason of which [`Error::is_login_required`] is true says that only a person
//! can help: TeamUp has rejected the refresh token, and nobody else has a newer one.
//!
//! # What it looks like
//!
//! - Every call that needs a new token fails at once and locally. TeamUp is not asked again: its
//!   refresh endpoint counts requests by IP address, and a spent token does not come back.
//! - A token that is still valid is used until it expires.
//! - [`Status::is_login_required`] is true, [`Status::failure`] tells since when and why, and
//!   whoever has [subscribed](crate::Credentials::subscribe) hears of it at once.
//! - The event "re-authorization is required" is logged, once, as an error.
//!
//! TeamUp does not document which code rejects a refresh token. A refusal in TeamUp's words that
//! nobody knows is [probably](crate::refresh::FailureClass::ProbablyRejected) one: a login is asked
//! for, and the refresh token is tried again all the same, after a minute at first. A page that a
//! firewall or a proxy sends is none, whatever its status: see [how responses are
//! read](crate::refresh#what-a-response-means).
//!
//! # How it comes about
//!
//! | what happened | how to tell | how to prevent it |
//! | --- | --- | --- |
//! | the person, or TeamUp, withdrew the authorization | [`Error::api_error`] has TeamUp's words | – |
//! | the refresh token was spent by somebody else: a second program with the same login, a copy of the token file, code that refreshes by hand beside this crate | it happens soon after a refresh | one login for each program, or one [store](crate::store) for all |
//! | the response to a refresh was lost after TeamUp had rotated the token: a connection broke, or something between cut it off | it follows a failure of the class [outcome unknown](crate::refresh::FailureClass::OutcomeUnknown) | give the refresh [a client of its own](crate::CredentialsBuilder::refresh_client), without a time-out; it can't be ruled out |
//! | the program started with a token that an earlier run has spent | it happens at the first refresh | give it a store; tokens in a configuration are a seed and no more |
//! | a process died between the rotation and the write | it happens at the first refresh after a crash | [`Credentials::shutdown`] at the end; see [`fleet`](super::fleet#what-is-lost-and-when) |
//! | the user signed out | the text says "signed out" | – |
//! | the store is empty | [`CredentialsBuilder::build`] says so | – |
//!
//! # What to do
//!
//! Send the person through a login, as the examples `login` and `password_login` do, and hand the
//! tokens to [`Credentials::log_in`]. Nothing needs to be restarted or built anew: clients, layers
//! and clones go on with the new tokens, and every failure of the past is forgotten.
//!
//! ```
//! use http::StatusCode;
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
//!     .refresh_client(http_client.clone())
//!     .build()
//!     .await?;
//! let mut api = ServiceBuilder::new()
//!     .layer(AuthLayer::new(credentials.clone()))
//!     .service(http_client);
//! let request = || http::Request::get(teamup.url("/events")).body(Full::default());
//!
//! teamup.revoke_everything(); // the person has withdrawn the authorization
//! let error = api.ready().await?.call(request()?).await.unwrap_err();
//! let error = error.downcast_ref::<Error>().expect("ours: nothing could be sent");
//! assert!(error.is_login_required());
//!
//! // … the person logs in again …
//! credentials.log_in(teamup.issue_tokens(&[])).await?;
//! assert_eq!(api.ready().await?.call(request()?).await?.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! | kind of program | do |
//! | --- | --- |
//! | on a person's desktop | show a banner that leads to the login, for as long as the state says so; see [`status`](crate::status) |
//! | a service with users | answer that user's calls with what leads to the login, and leave the others alone; the example `axum_service` does |
//! | a job without a person | end with an error, and tell whoever runs it. Do not retry |
//! | a fleet | hand the new tokens to one process; the others look at the store while their calls fail, every 5 seconds at most, and go on by themselves |
//!
//! A health check that restarts the process does not help here: a new process finds the same store.
//! [`Status::is_healthy`] is false, so tell the two apart where a restart would follow.
//!
//! # What is not a lost login
//!
//! | you see | it is |
//! | --- | --- |
//! | a 403 from the API | a permission that the person lacks; no token helps |
//! | a 401 with [`Error::is_refresh_limited`] | fresh tokens are refused: mode, provider id or permissions don't fit |
//! | [`Error::is_transient`] | a bad moment; the tokens are as good as before |
//! | [`Error::is_protocol`] | something answers in place of TeamUp: a firewall, a captive portal, a wrong base URL; the tokens are as good as before |
//! | [`Error::is_configuration`] | TeamUp refuses the scopes or the mode that were asked for; [`RefreshError::field`] names the field |
//! | [`Error::is_outcome_unknown`] | a response was lost; the next refresh finds out whether the refresh token is spent |
//!
//! [`Credentials::log_in`]: crate::Credentials::log_in
//! [`Credentials::shutdown`]: crate::Credentials::shutdown
//! [`CredentialsBuilder::build`]: crate::CredentialsBuilder::build
//! [`Error::api_error`]: crate::Error::api_error
//! [`Error::is_configuration`]: crate::Error::is_configuration
//! [`Error::is_login_required`]: crate::Error::is_login_required
//! [`Error::is_outcome_unknown`]: crate::Error::is_outcome_unknown
//! [`Error::is_protocol`]: crate::Error::is_protocol
//! [`Error::is_refresh_limited`]: crate::Error::is_refresh_limited
//! [`Error::is_transient`]: crate::Error::is_transient
//! [`RefreshError::field`]: crate::refresh::RefreshError::field
//! [`Status::failure`]: crate::status::Status::failure
//! [`Status::is_healthy`]: crate::status::Status::is_healthy
//! [`Status::is_login_required`]: crate::status::Status::is_login_required
