//! First tokens: a person logs in.
//!
//! | way | for | type |
//! | --- | --- | --- |
//! | OAuth's authorization code flow, in the person's browser | every program; the default choice | [`OAuthLogin`] |
//! | the same, with the callback on this machine | desktop and command-line programs | [`LoopbackReceiver`] |
//! | user name and password, with a second factor | applications that hold a `direct_auth_key` | [`PasswordLogin`] |
//!
//! Each of them ends with a [`TokenSet`](crate::TokenSet). Hand it to
//! [`CredentialsBuilder::tokens`](crate::CredentialsBuilder::tokens) for a new credential, or to
//! [`Credentials::log_in`](crate::Credentials::log_in) for one that is in use.
//!
//! # Quick start
//!
//! A web server sends the person to TeamUp, and remembers the pending login in a cookie. When the
//! person comes back, any host of the service finishes the login: nothing else is shared.
//!
//! ```
//! # use http_body_util::Full;
//! # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! # use tower_teamup_auth::testing::{FakeTeamUp, login as fake};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
//! # let server = FakeTeamUp::start().await;
//! # let base_url = server.base_url();
//! # let http_client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
//! # let browser = http_client.clone();
//! use tower_teamup_auth::login::{OAuthLogin, PendingAuthorization};
//!
//! let login = OAuthLogin::new("fake-application", http_client)
//!     .base_url(base_url)
//!     .redirect_uri("http://127.0.0.1:8080/callback");
//!
//! // GET /login: redirect the person to `url`, and set the cookie.
//! let (url, pending) = login.begin()?;
//! let (cookie_name, cookie_value) = (pending.cookie_name(), pending.to_cookie_value());
//! # let approval = http::Request::post(url).body(Full::from("decision=approve"))?;
//! # let answer = browser.request(approval).await?;
//! # let location: http::Uri = answer.headers()["location"].to_str()?.parse()?;
//! # let query = location.query().unwrap();
//!
//! // GET /callback?…: find the cookie by the query, and finish.
//! assert_eq!(PendingAuthorization::cookie_name_for(query), Some(cookie_name));
//! let pending = PendingAuthorization::from_cookie_value(&cookie_value)?;
//! let tokens = login.finish(pending, query).await?;
//! # let _ = tokens;
//! # Ok(())
//! # }
//! ```
//!
//! The examples `login`, `axum_login` and `password_login` are whole programs.
//!
//! # What is checked
//!
//! - The callback's `state` must be there once and be the one that was sent (RFC 6749 section
//!   10.12). Otherwise its code is not used.
//! - The code is bound to this login by PKCE (RFC 7636, method `S256`), also where there is a
//!   client secret.
//! - A code is good for one use. A second use is [told](LoginError::is_code_refused).
//! - Secrets go to the API's base alone: over https, or to loopback.
//!
//! # Timeouts
//!
//! Each request to TeamUp has 60 s. [`LoopbackReceiver`] waits ten minutes for the person unless it
//! is told otherwise.
//!
//! # Limitations
//!
//! The protocol is TeamUp's public documentation of `auth/oauth` and `auth/password_login`. TeamUp
//! documents neither the mode of a login's first access token nor the codes of its refusals. So the
//! first access token is not used, and [`LoginError`] falls back to the status.

mod answer;
mod callback;
mod error;
mod http;
mod loopback;
mod oauth;
mod password;
mod pending;

pub use error::LoginError;
#[cfg(feature = "open-browser")]
#[cfg_attr(docsrs, doc(cfg(feature = "open-browser")))]
pub use loopback::open_browser;
pub use loopback::{Callback, LoopbackReceiver};
pub use oauth::OAuthLogin;
pub use password::{
    PasswordLogin, PasswordResponse, PendingLogin, VerificationKey, VerificationStarted,
};
pub use pending::PendingAuthorization;
