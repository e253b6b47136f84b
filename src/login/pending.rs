//! What a program has to remember between the two halves of a login.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::callback::Parameters;
use super::error::LoginError;

/// A login that has begun: the `state` that was sent, the PKCE verifier, and the redirect URI.
///
/// It is serializable, so that a login can begin on one host and [finish](super::OAuthLogin::finish)
/// on another. A web server keeps it in the person's own browser, in a cookie: it belongs to that
/// browser and to no other.
///
/// The verifier is a secret until the login is over. `Debug` shows none of it; the cookie needs the
/// attributes `HttpOnly`, `SameSite=Lax` and, outside of tests, `Secure`. Encrypt the value where
/// others can read or write the cookies of your domain, as a program on a sibling domain can.
///
/// ```
/// # use http::{Request, Response};
/// # use http_body_util::Full;
/// # let client = tower::service_fn(|_: Request<Full<bytes::Bytes>>| async {
/// #     Ok::<_, tower_teamup_auth::BoxError>(Response::new(String::new()))
/// # });
/// use tower_teamup_auth::login::{OAuthLogin, PendingAuthorization};
///
/// let login = OAuthLogin::new("client-id", client).redirect_uri("https://app.example/callback");
/// let (_url, pending) = login.begin()?;
/// let cookie = format!("{}={}", pending.cookie_name(), pending.to_cookie_value());
///
/// // … on the way back, on any host …
/// let (_name, value) = cookie.split_once('=').unwrap();
/// let pending = PendingAuthorization::from_cookie_value(value)?;
/// assert_eq!(format!("{pending:?}"), "PendingAuthorization { .. }");
/// # Ok::<(), tower_teamup_auth::login::LoginError>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingAuthorization {
    pub(super) state: String,
    /// `None` for an application that proves itself by its secret alone.
    pub(super) verifier: Option<String>,
    pub(super) redirect_uri: String,
}

impl PendingAuthorization {
    /// A cookie name of this login's own, so that two tabs can log in at the same time.
    pub fn cookie_name(&self) -> String {
        cookie_name_of(&self.state)
    }

    /// The name under which the cookie of the login was set that this callback ends.
    ///
    /// `None` if the query holds no `state`, or more than one.
    pub fn cookie_name_for(callback_query: &str) -> Option<String> {
        Parameters::read(callback_query).state().map(cookie_name_of)
    }

    /// The whole as one word of letters, digits, `-` and `_`: a cookie's value.
    pub fn to_cookie_value(&self) -> String {
        let mut json = serde_json::to_vec(self).expect("three texts");
        let value = Base64UrlUnpadded::encode_string(&json);
        json.zeroize();
        value
    }

    /// Reads what [`to_cookie_value`](PendingAuthorization::to_cookie_value) wrote.
    ///
    /// # Errors
    ///
    /// When the text is anything else; [`LoginError::is_state_mismatch`] is true of the error, for
    /// then this browser has begun no login.
    pub fn from_cookie_value(value: &str) -> Result<Self, LoginError> {
        let mut json =
            Base64UrlUnpadded::decode_vec(value).map_err(|_| LoginError::no_pending())?;
        let pending = serde_json::from_slice(&json).map_err(|_| LoginError::no_pending());
        json.zeroize();
        pending
    }
}

/// A hash, so that the name tells nobody the `state`.
fn cookie_name_of(state: &str) -> String {
    let hash = Sha256::digest(state.as_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("teamup_login_{hash}")
}

impl fmt::Debug for PendingAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAuthorization").finish_non_exhaustive()
    }
}

impl Drop for PendingAuthorization {
    fn drop(&mut self) {
        self.state.zeroize();
        self.verifier.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_authorization_survives_a_cookie_and_anything_else_is_refused() {
        let pending = PendingAuthorization {
            state: "s".to_owned(),
            verifier: Some("v".to_owned()),
            redirect_uri: "https://app.example/?a=ü".to_owned(),
        };
        let value = pending.to_cookie_value();
        assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        let read = PendingAuthorization::from_cookie_value(&value).unwrap();
        assert_eq!((&read.state, &read.verifier), (&pending.state, &pending.verifier));
        assert_eq!(read.redirect_uri, pending.redirect_uri);
        assert_eq!(
            PendingAuthorization::cookie_name_for("code=c&state=s"),
            Some(pending.cookie_name())
        );
        assert_eq!(PendingAuthorization::cookie_name_for("state=s&state=s"), None);
        for other in ["", "%", "e30", &value[1..]] {
            let error = PendingAuthorization::from_cookie_value(other).unwrap_err();
            assert!(error.is_state_mismatch(), "{other}");
        }
    }

    #[test]
    fn p5_debug_shows_neither_state_nor_verifier() {
        let pending = PendingAuthorization {
            state: "s3cret".to_owned(),
            verifier: Some("s3cret".to_owned()),
            redirect_uri: "https://app.example/".to_owned(),
        };
        assert_eq!(format!("{pending:?}"), "PendingAuthorization { .. }");
    }
}
