//! How a user's first tokens are issued: the OAuth pages and the password login.
//!
//! | place | what |
//! | --- | --- |
//! | `GET`, `POST /api/v2/auth/oauth/authorize` | a page with an Approve and a Deny button, and what they do |
//! | `POST /api/v2/auth/oauth/token` | the code for tokens |
//! | `POST /api/v2/auth/password_login` | user name and password for tokens |
//!
//! One application is known to the server and one user. Their names and secrets are the constants
//! of this module.
//!
//! ```
//! use bytes::Bytes;
//! use http_body_util::{BodyExt, Full};
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//! use tower_teamup_auth::testing::{FakeTeamUp, login};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = FakeTeamUp::start().await;
//! let form = form_urlencoded::Serializer::new(String::new())
//!     .append_pair("username", login::USERNAME)
//!     .append_pair("password", login::PASSWORD)
//!     .append_pair("direct_auth_key", login::DIRECT_AUTH_KEY)
//!     .finish();
//! let request = http::Request::post(server.password_login_url())
//!     .header("content-type", "application/x-www-form-urlencoded")
//!     .body(Full::<Bytes>::from(form))?;
//!
//! let client = Client::builder(TokioExecutor::new()).build_http();
//! let answer = client.request(request).await?.into_body().collect().await?.to_bytes();
//! let tokens: serde_json::Value = serde_json::from_slice(&answer)?;
//! assert!(tokens["refresh_token"].is_string());
//! # Ok(())
//! # }
//! ```
//!
//! A person who opens the authorize page in a browser finds two buttons, `#approve` and `#deny`;
//! a page that refuses says why in `#error`. What the documentation leaves open is decided here as
//! OAuth 2.0 decides it (RFC 6749, RFC 7636): a code lives ten minutes and is good once, a second
//! use revokes what the first one brought, and errors carry OAuth's `error` and
//! `error_description` beside TeamUp's own fields.

pub(super) mod authorize;
pub(super) mod codes;
mod page;
pub(super) mod password;
pub(super) mod token;

use http::header::{CACHE_CONTROL, HeaderValue};
use serde_json::{Value, json};

use super::answer::Answer;
use super::families::{Families, Millis};
use super::settings::Settings;

/// The `client_id` of the application that the server knows.
pub const CLIENT_ID: &str = "fake-application";

/// The `client_secret` of that application. A client that sends a PKCE `code_verifier` needs none.
pub const CLIENT_SECRET: &str = "fake-application-secret";

/// The `direct_auth_key` with which that application may log users in by their password.
pub const DIRECT_AUTH_KEY: &str = "fake-direct-auth-key";

/// The `username` of the user that the server knows, and who is asked on the authorize page.
pub const USERNAME: &str = "anna@example.com";

/// The `password` of that user.
pub const PASSWORD: &str = "correct horse battery staple";

/// The three token fields: what every way to tokens answers.
pub(super) fn tokens(access_token: &str, refresh_token: &str, settings: &Settings) -> Answer {
    let expires_in = match (&settings.expires_in, settings.access_token_lifetime) {
        (Some(value), _) => value.clone(),
        (None, Some(lifetime)) => lifetime.as_secs().into(),
        (None, None) => Value::Null,
    };
    Answer::ok(json!({
        "access_token": access_token,
        "expires_in": expires_in,
        "refresh_token": refresh_token,
    }))
    // RFC 6749 section 5.1.
    .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// A new family for the user who has just logged in, and its first tokens.
pub(super) fn log_in(families: &mut Families, settings: &Settings, now: Millis) -> (u64, Answer) {
    let (family, refresh_token) = families.found(settings, now);
    let access_token = families.mint_access(family, settings.login_mode, settings, now);
    (family, tokens(&access_token, &refresh_token, settings))
}
