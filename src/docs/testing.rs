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
//! # The test that everybody should have
//!
//! The token expires while callers are at work, and nobody notices:
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
//! // Here stands your program: all it needs to know is where TeamUp is.
//! # async fn program(base_url: String, tokens: tower_teamup_auth::TokenSet) -> Result<Auth<HyperClient>, BoxError> {
//! # let http_client: HyperClient = hyper_client();
//! # let credentials = Credentials::builder(RequestMode::Provider)
//! #     .base_url(base_url).tokens(tokens).refresh_client(http_client.clone()).build().await?;
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
//! A journal prints as a trace of what the server saw, without a token in it: put it into the message
//! of an assertion, and a failed test explains itself.
//!
//! # What to test
//!
//! | what your users will meet | how to bring it about |
//! | --- | --- |
//! | a token that expires early | [`expire_access_tokens`](../../testing/struct.FakeTeamUp.html#method.expire_access_tokens) |
//! | two hours that pass | [`advance`](../../testing/struct.FakeTeamUp.html#method.advance), and a [`Clock::tokio`] that is [shifted](crate::token::Clock::shift_wall) or whose time is paused |
//! | a login that is withdrawn | [`revoke_everything`](../../testing/struct.FakeTeamUp.html#method.revoke_everything) |
//! | a new login | [`issue_tokens`](../../testing/struct.FakeTeamUp.html#method.issue_tokens), [`Credentials::log_in`](crate::Credentials::log_in) |
//! | the refresh endpoint is down, slow, limited, or answers nonsense | [`fail_refresh`](../../testing/struct.FakeTeamUp.html#method.fail_refresh) with a [`Fault`](../../testing/struct.Fault.html) |
//! | the answer of an exchange is lost on its way back | [`fail_refresh`](../../testing/struct.FakeTeamUp.html#method.fail_refresh) with `Fault::drop_connection().after_rotation()` |
//! | the API answers 401, 429, 5xx, or not at all | [`fail_api`](../../testing/struct.FakeTeamUp.html#method.fail_api) |
//! | a `next` link to another host | [`link_pages_to`](../../testing/struct.FakeTeamUp.html#method.link_pages_to) |
//! | a request without the business that it needs | [`require_provider`](../../testing/struct.FakeTeamUpBuilder.html#method.require_provider) |
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
//! # Without a server
//!
//! Where a socket is too much, the layer takes any tower service: `tower::service_fn` for the API,
//! [`refresh_with`](crate::CredentialsBuilder::refresh_with) for the exchange, and `tower_test::mock`
//! where readiness matters. The example on the [front page](crate) has no network in it.
//!
//! # That no secret is logged
//!
//! The tokens of a [`TokenSet`](crate::TokenSet) are known to the test: collect what your program logs
//! and assert that neither [`AccessToken::expose`](crate::token::AccessToken::expose) nor
//! [`RefreshToken::expose`](crate::token::RefreshToken::expose) is in it.
//!
//! [`Clock::tokio`]: crate::token::Clock::tokio
//! [`FakeTeamUp`]: ../../testing/struct.FakeTeamUp.html
