//! Programs that exit or are frozen: command-line tools, cron jobs, serverless functions.
//!
//! Such a program may end at a bad moment: after TeamUp has rotated the refresh token, and before the
//! new one is in the store. The crate keeps that moment short, and the calls below close it.
//!
//! # What to call
//!
//! | program | call | when |
//! | --- | --- | --- |
//! | command-line tool, cron job | [`shutdown`](crate::Credentials::shutdown) | before `main` returns |
//! | function that is frozen after its handler | [`flush`](crate::Credentials::flush) | before the handler returns |
//! | program with a runtime for each call | [`flush`](crate::Credentials::flush) | before the runtime is dropped |
//! | server | [`shutdown`](crate::Credentials::shutdown) | on SIGTERM, after the last request |
//!
//! Both wait for a refresh request under way, make one attempt to save, and release the lease. `Ok`
//! means that nothing is in memory alone. `shutdown` also starts no further refresh.
//!
//! # A command-line tool
//!
//! ```
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::store::FileStore;
//! # use tower_teamup_auth::testing::FakeTeamUp;
//! use tower_teamup_auth::{AuthLayer, BoxError, Credentials, RequestMode};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), BoxError> {
//! #   let teamup = FakeTeamUp::start().await;
//! #   let folder = tempfile::tempdir()?;
//! #   let (base_url, path) = (teamup.base_url(), folder.path().join("teamup.json"));
//!     let credentials = Credentials::builder(RequestMode::Customer)
//! #       .base_url(&base_url)
//! #       .tokens(teamup.issue_tokens(&[]))
//!         .store(FileStore::new(path))
//!         .build()
//!         .await?;
//!     let client: HyperClient = hyper_client();
//!     let api = ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(client);
//!
//!     let request = Request::get(format!("{base_url}/events")).body(Full::default())?;
//!     let outcome = api.oneshot(request).await;
//!     credentials.shutdown().await?; // also after a failure
//!     println!("{}", outcome?.status());
//!     Ok(())
//! }
//! ```
//!
//! `std::process::exit` runs no destructor and waits for nothing: call `shutdown` before it.
//!
//! # Without the call
//!
//! A program that forgets it has normally nothing to lose:
//!
//! - A request that waits for a refresh gets its token after the save.
//! - The one request that starts an early refresh waits for it, for [3 s at
//!   most](crate::CredentialsBuilder::early_wait) by default.
//! - So a refresh is left running only when it takes longer than that, or when a caller has given up.
//!
//! A server that never ends right after a request can set `early_wait` to zero, so that nobody waits.
//! Do not set it in a program that this page is about.
//!
//! # A function that is frozen
//!
//! A frozen process keeps its memory and its sockets, and runs nothing. Call `flush` before the
//! handler returns:
//!
//! ```
//! use http::{Request, StatusCode};
//! use http_body_util::Full;
//! use tower::ServiceExt;
//! use tower_teamup_auth::client::HyperClient;
//! use tower_teamup_auth::{Auth, BoxError, Credentials};
//!
//! async fn handler(api: Auth<HyperClient>, credentials: Credentials) -> Result<StatusCode, BoxError> {
//!     let request = Request::get("https://goteamup.com/api/v2/events").body(Full::default())?;
//!     let outcome = api.oneshot(request).await;
//!     credentials.flush().await?;
//!     Ok(outcome?.status())
//! }
//! ```
//!
//! If a process is frozen during a refresh request all the same, the response waits in the socket and is
//! read after the thaw. The [limit](crate::CredentialsBuilder::refresh_request_timeout) counts running
//! time, so a freeze uses up one second of it. The connection must survive; where it does not, the
//! outcome is unknown.
//!
//! - Build the credential once, outside the handler. Instances of the function share a store: Redis or
//!   PostgreSQL, because each instance has a file system of its own.
//! - Do not use [`keep_warm`](crate::CredentialsBuilder::keep_warm): its timer does not run in a frozen
//!   process.
//!
//! # A runtime for each call
//!
//! A synchronous program that makes a runtime for each call keeps one credential in a static. A refresh
//! runs on the runtime of the caller that starts it. If that runtime is dropped while the request is
//! under way, the response is lost. Call `flush` before, or give the credential a runtime that lasts:
//! [`CredentialsBuilder::runtime`](crate::CredentialsBuilder::runtime).
//!
//! # Exit codes
//!
//! | error | code of `sysexits.h`, as a suggestion |
//! | --- | --- |
//! | [`is_login_required`](crate::Error::is_login_required) | 77, `EX_NOPERM`: tell the person to log in |
//! | [`is_transient`](crate::Error::is_transient), [`is_outcome_unknown`](crate::Error::is_outcome_unknown) | 75, `EX_TEMPFAIL`: a later run may succeed |
//! | [`is_configuration`](crate::Error::is_configuration), [`is_invalid_input`](crate::Error::is_invalid_input) | 78, `EX_CONFIG` |
//! | [`is_unsaved`](crate::Error::is_unsaved) of `shutdown` | 74, `EX_IOERR`: mend the store before the next run |
