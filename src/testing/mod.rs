//! A TeamUp-like server on loopback, for tests: this crate's and yours.
//!
//! [`FakeTeamUp`] is a real HTTP server on 127.0.0.1 that does what TeamUp's documentation says of
//! the refresh endpoint and of authorization. It speaks HTTP/1.1, and HTTP/2 with the feature
//! `testing-http2`. Tokens expire, are bound to a mode and rotate; a spent refresh token revokes its
//! whole login when it is sent again; errors have TeamUp's codes and bodies. A test can break the server on purpose, hold requests at
//! the worst moment, and ask afterwards what it saw.
//!
//! ```
//! use bytes::Bytes;
//! use http_body_util::{BodyExt, Empty};
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//! use tower_teamup_auth::testing::FakeTeamUp;
//! use tower_teamup_auth::{REQUEST_MODE, RequestMode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = FakeTeamUp::start().await;
//! let tokens = server.issue_tokens(&[RequestMode::Customer]);
//! let token = tokens.access_token(RequestMode::Customer).unwrap();
//!
//! let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
//! let request = || {
//!     http::Request::get(server.url("/events"))
//!         .header("authorization", format!("Bearer {}", token.expose()))
//!         .header(REQUEST_MODE, "customer")
//!         .body(Empty::new())
//! };
//! assert_eq!(client.request(request()?).await?.status(), 200);
//!
//! server.expire_access_tokens();
//! let answer = client.request(request()?).await?;
//! assert_eq!(answer.status(), 401);
//! let error: serde_json::Value = serde_json::from_slice(&answer.collect().await?.to_bytes())?;
//! assert_eq!(error["code"], "authentication_failed");
//!
//! assert_eq!((server.authorized(), server.unauthorized()), (1, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # What it serves
//!
//! | place | what |
//! | --- | --- |
//! | `POST /api/v2/auth/refresh_access_token` | the refresh request, with all of its validation; JSON, urlencoded and multipart in, JSON and XML out |
//! | `/api/v2/auth/oauth/…`, `/api/v2/auth/password_login` | how a user's first tokens are issued: see [`login`] |
//! | `GET /api/v2/auth/application` | the application of a client id, and its `scoped_providers` |
//! | `GET /api/v2/auth/profiles` | the modes and providers of a token's user |
//! | `GET /api/v2/events` | a list in pages, with absolute `next` and `previous` |
//! | `POST`, `PUT /api/v2/uploads` | takes a body of any size, answers its size and SHA-256 digest |
//! | any method, `/api/v2/echo` and under it | 200, and what arrived |
//! | your own | what [`serve_json`](FakeTeamUp::serve_json) and [`redirect`](FakeTeamUp::redirect) put there |
//!
//! Where TeamUp's documentation is silent (which status refuses a refresh token, for instance) the
//! server does the likeliest thing, and a [setting](FakeTeamUpBuilder) changes it.
//!
//! # How unkind it is
//!
//! By default the server goes on with a request whose client has hung up: the refresh token
//! rotates, and the answer is lost. It sends no `WWW-Authenticate` and no `Retry-After`, because
//! TeamUp documents neither. These settings make it less kind:
//!
//! | setting | what a program meets |
//! | --- | --- |
//! | [`workers`](FakeTeamUpBuilder::workers) | idle connections occupy the workers |
//! | [`request_workers`](FakeTeamUpBuilder::request_workers) | requests wait for those before them |
//! | [`idle_timeout`](FakeTeamUpBuilder::idle_timeout) | a pooled connection is closed |
//! | [`close_after_answer`](FakeTeamUpBuilder::close_after_answer) | every connection is closed, without an announcement |
//! | [`spent_tokens`](FakeTeamUpBuilder::spent_tokens) | what a spent refresh token does to its login |
//! | [`accept_scheme`](FakeTeamUpBuilder::accept_scheme) | other schemes are refused |
//! | [`rate_limit`](FakeTeamUpBuilder::rate_limit) | 429 |
//! | [`http2_stream_window`](FakeTeamUpBuilder::http2_stream_window) | request bodies wait for the server |
//!
//! # Without sleeping
//!
//! A test that waits for time to pass is slow or wrong. Three things make it unnecessary:
//!
//! - **Time moves on demand**: [`expire_access_tokens`](FakeTeamUp::expire_access_tokens),
//!   [`advance`](FakeTeamUp::advance), and a [clock](FakeTeamUpBuilder::clock) that follows
//!   `tokio::time::pause`. Paused time jumps to the next timer whenever every task waits, for a
//!   socket too, so keep the server and the client in one runtime, as `#[tokio::test]` does.
//! - **Requests are held**: [`hold_refresh`](FakeTeamUp::hold_refresh) and its like stop requests
//!   at a chosen point until the test lets them go, and tell how many have arrived.
//! - **The journal wakes the test**: [`wait_for`](FakeTeamUp::wait_for) returns as soon as the
//!   server has seen what the test waits for. It panics after a
//!   [limit](FakeTeamUpBuilder::wait_limit) of real time and shows the journal.
//!
//! A test without a runtime, or one that drops its runtime, runs the server on a thread of its own
//! with [`start_blocking`](FakeTeamUp::start_blocking).
//!
//! # Faults
//!
//! A [`Fault`] is handed to [`fail_refresh`](FakeTeamUp::fail_refresh) or
//! [`fail_api`](FakeTeamUp::fail_api) and meets the next request of that kind, or every request for
//! one path with [`fail_path`](FakeTeamUp::fail_path):
//!
//! ```
//! use http::StatusCode;
//! use tower_teamup_auth::testing::{FakeTeamUp, Fault};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let server = FakeTeamUp::start().await;
//! server.fail_refresh(Fault::status(StatusCode::BAD_GATEWAY)); // once
//! server.fail_path("/reports", Fault::unauthorized()); // until `clear_faults`
//! # }
//! ```
//!
//! # Asserting on what it saw
//!
//! [`Journal`] keeps every request with what came of it, and counts. Mark each call with a
//! [`CALLER`] header, and it tells retries from new calls. It knows the
//! [login](Entry::login) of every token, and so whether a retry [mixed](Journal::mixed_logins) two
//! of them:
//!
//! ```
//! # use tower_teamup_auth::testing::FakeTeamUp;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let server = FakeTeamUp::start().await;
//! // … after the program under test ran …
//! assert_eq!(server.double_spends(), 0, "{}", server.journal());
//! assert_eq!(server.unauthorized_to_caller(), 0, "{}", server.journal());
//! assert_eq!(server.mixed_logins(), 0, "{}", server.journal());
//! # }
//! ```

mod accept;
mod answer;
mod body;
mod builder;
pub mod conformance;
mod connection;
mod control;
mod entry;
mod families;
mod faults;
mod format;
mod hold;
mod journal;
mod limit;
pub mod login;
mod open_entry;
mod protocols;
mod receive;
mod route;
mod routes;
mod serve;
mod server;
mod settings;
mod shared;
mod subscription;

pub use builder::FakeTeamUpBuilder;
pub use entry::{CALLER, Entry, Received, RefreshOutcome, Refusal};
pub use faults::Fault;
pub use hold::Hold;
pub use journal::Journal;
pub use route::Route;
pub use server::FakeTeamUp;
pub use settings::SpentTokens;
pub use subscription::{Lagged, Subscription};
