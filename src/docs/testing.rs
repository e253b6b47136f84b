//! Testing your own program.
//!
//! The feature `testing` brings [`FakeTeamUp`], a TeamUp-like server on loopback. Your program talks
//! to it over real sockets, as it would to TeamUp, and needs no test double of its own. Only the base
//! URL differs:
//!
//! ```toml
//! [dev-dependencies]
//! tower-teamup-auth = { version = "0.1", features = ["testing"] }
//! tokio = { version = "1", features = ["macros", "rt", "test-util"] }
//! ```
//!
//! # An expired token
//!
//! The test that every program needs: the token expires while callers are at work, and no caller
//! gets a 401.
//!
//! ```
//! use http::StatusCode;
//! use http_body_util::Full;
//! use tokio::task::JoinSet;
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::testing::{CALLER, FakeTeamUp};
//! use tower_teamup_auth::{Auth, AuthLayer, Credentials, RequestMode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let teamup = FakeTeamUp::start().await;
//! teamup.serve_json("/memberships", r#"{"results": []}"#); // what your program asks for
//!
//! // Your program: all it needs to know is where TeamUp is.
//! # async fn program(base_url: String, tokens: tower_teamup_auth::TokenSet) -> Result<Auth<HyperClient>, BoxError> {
//! # let http_client: HyperClient = hyper_client();
//! # let credentials = Credentials::builder(RequestMode::Provider)
//! #     .base_url(base_url).tokens(tokens).build().await?;
//! # Ok(ServiceBuilder::new().layer(AuthLayer::new(credentials)).service(http_client))
//! # }
//! let api = program(teamup.base_url(), teamup.issue_tokens(&[RequestMode::Provider])).await?;
//!
//! teamup.expire_access_tokens();
//! let mut callers = JoinSet::new();
//! for caller in 0..10 {
//!     let request = http::Request::get(teamup.url("/memberships"))
//!         .header(CALLER, format!("caller {caller}"))
//!         .body(Full::default())?;
//!     callers.spawn(api.clone().oneshot(request));
//! }
//! for answer in callers.join_all().await {
//!     assert_eq!(answer?.status(), StatusCode::OK);
//! }
//!
//! let journal = teamup.journal();
//! assert_eq!(journal.rotations(), 1, "{journal}");
//! assert_eq!(journal.unauthorized_to_caller(), 0, "{journal}");
//! assert_eq!(journal.double_spends(), 0, "{journal}");
//! # Ok(())
//! # }
//! ```
//!
//! A journal prints as a trace of what the server saw, without a token in it. Put it into the message
//! of an assertion, so that a failed test shows what happened.
//!
//! # A lost answer
//!
//! A real server goes on when a client hangs up: the refresh token rotates, and the answer is lost.
//! So does `FakeTeamUp`. This test holds an answer until the caller has given up, and asserts that no
//! spent token is sent:
//!
//! ```
//! use http_body_util::Full;
//! use std::time::Duration;
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::testing::FakeTeamUp;
//! use tower_teamup_auth::{AuthLayer, Credentials, RequestMode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let teamup = FakeTeamUp::start().await;
//! let http_client: HyperClient = hyper_client();
//! let credentials = Credentials::builder(RequestMode::Provider)
//!     .base_url(teamup.base_url())
//!     .tokens(teamup.issue_tokens(&[RequestMode::Provider]))
//!     .build()
//!     .await?;
//! let api = ServiceBuilder::new().layer(AuthLayer::new(credentials)).service(http_client);
//! let request = || http::Request::get(teamup.url("/events")).body(Full::default());
//!
//! teamup.expire_access_tokens();
//! let answer = teamup.hold_refresh_answer();
//! let caller = tokio::spawn(api.clone().oneshot(request()?));
//! answer.arrived(1).await; // the refresh token has rotated, and the program does not know
//! caller.abort();
//! answer.release();
//!
//! assert_eq!(api.oneshot(request()?).await?.status(), 200);
//! assert_eq!((teamup.rotations(), teamup.double_spends()), (1, 0), "{}", teamup.journal());
//! # Ok(())
//! # }
//! ```
//!
//! # What to test
//!
//! | what users meet | how a test causes it |
//! | --- | --- |
//! | a token that expires early | [`expire_access_tokens`](../../testing/struct.FakeTeamUp.html#method.expire_access_tokens) |
//! | two hours that pass | [`advance`](../../testing/struct.FakeTeamUp.html#method.advance), and a [`Clock::tokio`] that is [shifted](crate::token::Clock::shift_wall) or whose time is paused |
//! | a login that is revoked | [`revoke_login`](../../testing/struct.FakeTeamUp.html#method.revoke_login), [`revoke_everything`](../../testing/struct.FakeTeamUp.html#method.revoke_everything) |
//! | two users in one program | [`issue_tokens_to`](../../testing/struct.FakeTeamUp.html#method.issue_tokens_to) for each, then [`mixed_logins`](../../testing/struct.FakeTeamUp.html#method.mixed_logins) is 0 |
//! | an M2M token that is replaced | [`issue_m2m_of`](../../testing/struct.FakeTeamUp.html#method.issue_m2m_of), [`revoke`](../../testing/struct.FakeTeamUp.html#method.revoke) |
//! | a new login | [`issue_tokens`](../../testing/struct.FakeTeamUp.html#method.issue_tokens), [`Credentials::log_in`](crate::Credentials::log_in) |
//! | the refresh endpoint is down, slow, limited, or answers nonsense | [`fail_refresh`](../../testing/struct.FakeTeamUp.html#method.fail_refresh) with a [`Fault`](../../testing/struct.Fault.html) |
//! | the answer to a refresh request is lost | [`fail_refresh`](../../testing/struct.FakeTeamUp.html#method.fail_refresh) with `Fault::drop_connection().after_rotation()` |
//! | the API answers 401, 429, 5xx, or not at all | [`fail_api`](../../testing/struct.FakeTeamUp.html#method.fail_api) |
//! | a `next` link to another host | [`link_pages_to`](../../testing/struct.FakeTeamUp.html#method.link_pages_to) |
//! | a mode that the user may not use | [`refuse_mode`](../../testing/struct.FakeTeamUp.html#method.refuse_mode) |
//! | a route that answers 401 to every token | [`fail_path`](../../testing/struct.FakeTeamUp.html#method.fail_path) |
//! | a firewall's page, an answer without an end, a closed connection | `Fault::firewall()`, `Fault::last_chunk_missing()`, [`idle_timeout`](../../testing/struct.FakeTeamUpBuilder.html#method.idle_timeout) |
//! | a request without the provider that it needs | [`require_provider`](../../testing/struct.FakeTeamUpBuilder.html#method.require_provider) |
//! | a login in the browser | the [`login`](../../testing/login/index.html) pages, which this project drives with a headless Chromium |
//!
//! # Without sleeping
//!
//! A test that waits for time to pass is slow, or wrong on a busy machine. Move the
//! [time](../../testing/index.html#without-sleeping), hold requests at the worst moment with a
//! [`Hold`](../../testing/struct.Hold.html), and [wait for](../../testing/struct.FakeTeamUp.html#method.wait_for) what the server sees. For your
//! own side there is [`Credentials::subscribe`](crate::Credentials::subscribe), which wakes a test as
//! soon as a refresh has begun or ended.
//!
//! # Without a runtime
//!
//! [`start_blocking`](../../testing/struct.FakeTeamUp.html#method.start_blocking) runs the server on a
//! thread of its own, for synchronous tests and for tests that pause or drop their runtime. The waits
//! have blocking forms: `wait_for_blocking`, `arrived_blocking`, `shutdown_blocking`.
//!
//! # Without a server
//!
//! Where a socket is too much, the layer takes any tower service: `tower::service_fn` for the API,
//! [`refresh_with`](crate::CredentialsBuilder::refresh_with) for the refresh request, and `tower_test::mock`
//! where readiness matters. The example on the [front page](crate) has no network in it.
//!
//! # Secrets in logs
//!
//! The tokens of a [`TokenSet`](crate::TokenSet) are known to the test: collect what your program logs
//! and assert that neither [`AccessToken::expose`](crate::token::AccessToken::expose) nor
//! [`RefreshToken::expose`](crate::token::RefreshToken::expose) is in it.
//!
//! [`Clock::tokio`]: crate::token::Clock::tokio
//! [`FakeTeamUp`]: ../../testing/struct.FakeTeamUp.html
