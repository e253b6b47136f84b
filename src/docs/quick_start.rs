//! Quick start: from an empty folder to a program that keeps its login.
//!
//! # Install
//!
//! ```text
//! cargo add tower-teamup-auth --features hyper
//! cargo add http http-body-util
//! cargo add tokio --features full
//! cargo add tower --features util
//! ```
//!
//! reqwest and reqwest-middleware have adapters: see [`client`](crate::client).
//!
//! # First tokens
//!
//! TeamUp gives an application its first refresh token when a person logs in.
//!
//! | program | way |
//! | --- | --- |
//! | desktop, command line | `login::LoopbackReceiver`, or the command `teamup-auth login` |
//! | web server | `login::OAuthLogin`, the example `axum_login` |
//! | holder of a `direct_auth_key` | `login::PasswordLogin`, two-factor included |
//! | server without a person | an M2M token: [`Credentials::m2m`](crate::Credentials::m2m) |
//!
//! With the feature `login`, a program on a person's desktop needs three lines:
//!
//! ```no_run
//! # #[cfg(all(feature = "hyper-plain", feature = "login"))] {
//! use tower_teamup_auth::TokenSet;
//! use tower_teamup_auth::client::HyperClient;
//! use tower_teamup_auth::login::{LoginError, LoopbackReceiver, OAuthLogin};
//!
//! async fn log_in(client: HyperClient) -> Result<TokenSet, LoginError> {
//!     let login = OAuthLogin::new("your-client-id", client);
//!     let receiver = LoopbackReceiver::bind().await?;
//!     receiver.log_in(&login, |url| println!("Open {url} in a browser")).await
//! }
//! # }
//! ```
//!
//! # First request
//!
//! The program below uses [`FakeTeamUp`], a TeamUp-like server on loopback, so it runs as it stands.
//! For the real API, leave out `FakeTeamUp` and `base_url`.
//!
//! ```
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::testing::FakeTeamUp;
//! use tower_teamup_auth::{AuthLayer, BoxError, Credentials, RequestMode};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let teamup = FakeTeamUp::start().await;
//!     let credentials = Credentials::builder(RequestMode::Customer)
//!         .base_url(teamup.base_url())
//!         .tokens(teamup.issue_tokens(&[]))
//!         .build()
//!         .await?;
//!     let client: HyperClient = hyper_client();
//!     let api = ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(client);
//!
//!     let request = Request::get(teamup.url("/events")).body(Full::default())?;
//!     assert_eq!(api.oneshot(request).await?.status(), 200);
//!     credentials.shutdown().await?;
//!     Ok(())
//! }
//! ```
//!
//! # A store
//!
//! Refresh tokens rotate with every use. A program that runs more than once therefore needs a store,
//! and the tokens of the login are a seed for an empty one:
//!
//! ```
//! use tower_teamup_auth::store::FileStore;
//! use tower_teamup_auth::testing::FakeTeamUp;
//! use tower_teamup_auth::{BoxError, Credentials, RequestMode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let teamup = FakeTeamUp::start().await;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("teamup.json");
//!
//! // The first run brings the tokens of a login.
//! let first = Credentials::builder(RequestMode::Customer)
//!     .base_url(teamup.base_url())
//!     .store(FileStore::new(&path))
//!     .tokens(teamup.issue_tokens(&[]))
//!     .build()
//!     .await?;
//! first.refresh(RequestMode::Customer).await?;
//! first.shutdown().await?;
//!
//! // Each later run finds them in the store.
//! let second = Credentials::builder(RequestMode::Customer)
//!     .base_url(teamup.base_url())
//!     .store(FileStore::new(&path))
//!     .build()
//!     .await?;
//! second.refresh(RequestMode::Customer).await?;
//! second.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`token_stores`](super::token_stores) has the other stores.
//!
//! # Next steps
//!
//! | to | see |
//! | --- | --- |
//! | see 100 callers through an expiry | `cargo run --example quickstart`, in a clone of the repository |
//! | place other layers | [`ordering`](super::ordering) |
//! | handle a login that ended | [`login_required`](super::login_required) |
//! | answer a health check | [`health_and_metrics`](super::health_and_metrics) |
//! | end a program | [`command_line_and_serverless`](super::command_line_and_serverless) |
//!
//! [`FakeTeamUp`]: ../../testing/struct.FakeTeamUp.html
