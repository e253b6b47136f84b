//! A TeamUp-like server on loopback, for tests: this crate's and yours.
//!
//! [`FakeTeamUp`] is a real HTTP server on 127.0.0.1, HTTP/1.1 and HTTP/2 alike, that does what
//! TeamUp's documentation says of the refresh endpoint and of authorization: tokens that grow old,
//! are bound to a mode and rotate; a spent refresh token that kills its whole family when it is
//! sent again; TeamUp's error bodies. A test can break it on purpose, hold requests at the worst
//! moment, and ask it afterwards what it saw.
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
//! | `POST /api/v2/auth/refresh_access_token` | the exchange, with all of its validation; JSON, urlencoded and multipart in, JSON and XML out |
//! | `/api/v2/auth/oauth/…`, `/api/v2/auth/password_login` | how a user's first tokens are issued: see [`login`] |
//! | `GET /api/v2/events` | a list in pages, with absolute `next` and `previous` |
//! | `POST`, `PUT /api/v2/uploads` | takes a body of any size, answers its size and SHA-256 digest |
//! | any method, `/api/v2/echo` and under it | 200, and what arrived |
//! | your own | what [`serve_json`](FakeTeamUp::serve_json) put there |
//!
//! Where TeamUp's documentation is silent (which status refuses a refresh token, say) the server
//! does the likeliest thing, and a [setting](FakeTeamUpBuilder) changes it.
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
//! - **The journal wakes you**: [`wait_for`](FakeTeamUp::wait_for) returns as soon as the server
//!   has seen what you wait for.
//!
//! # Breaking it
//!
//! A [`Fault`] is handed to [`fail_refresh`](FakeTeamUp::fail_refresh) or
//! [`fail_api`](FakeTeamUp::fail_api) and meets the next request of that kind:
//!
//! ```
//! use http::StatusCode;
//! use tower_teamup_auth::testing::{FakeTeamUp, Fault};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let server = FakeTeamUp::start().await;
//! server.fail_refresh(Fault::status(StatusCode::BAD_GATEWAY)); // once
//! server.fail_every_api(Fault::unauthorized()); // until `clear_faults`
//! # }
//! ```
//!
//! # Asserting on what it saw
//!
//! [`Journal`] keeps every request with what came of it, and counts. Mark each call with a
//! [`CALLER`] header, and it tells repeats from new calls:
//!
//! ```
//! # use tower_teamup_auth::testing::FakeTeamUp;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let server = FakeTeamUp::start().await;
//! // … after the program under test ran …
//! assert_eq!(server.double_spends(), 0, "{}", server.journal());
//! assert_eq!(server.unauthorized_to_caller(), 0, "{}", server.journal());
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
