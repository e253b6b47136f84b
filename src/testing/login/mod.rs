//! How a user's first tokens are issued: the OAuth pages and the password login.
//!
//! | place | what |
//! | --- | --- |
//! | `GET`, `POST /api/v2/auth/oauth/authorize` | a page with an Approve and a Deny button, and what they do |
//! | `POST /api/v2/auth/oauth/token` | the code for tokens |
//! | `POST /api/v2/auth/password_login` | user name and password for tokens, or for a pending login |
//! | `GET /api/v2/auth/two_factor/requirements` | whether a business asks for a second factor |
//! | `POST /api/v2/auth/two_factor/start_verification` | sends the code of [`two_factor`](super::FakeTeamUpBuilder::two_factor) |
//! | `POST /api/v2/auth/two_factor/verify` | the code for a `verification_key` |
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
pub(super) mod two_factor;
pub(super) mod verification;

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

/// The id of that user.
pub const USER_ID: u64 = 1001;

/// The business that asks for a second factor, unless the server was given
/// [others](super::FakeTeamUpBuilder::require_provider).
pub const PROVIDER: u64 = 54664;

/// A date and time as Django REST Framework writes it: `2026-01-31T23:59:59Z`.
fn date_time(wall_millis: u64) -> String {
    let seconds = wall_millis / 1000;
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of the year 0, in cycles of 400 years.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = cycle * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

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
    let (family, refresh_token) = families.new_login(settings, now);
    let access_token = families.mint_access(family, settings.login_mode, settings, now);
    (family, tokens(&access_token, &refresh_token, settings))
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(super::date_time(seconds * 1000), written);
        }
    }
}
