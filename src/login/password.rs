//! The password login with its two-factor flow ("direct authentication").

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::error::{Kind, LoginError};
use super::http::{Endpoints, Step};
use super::oauth::tokens_of;
use crate::refresh::RefreshClient;
use crate::token::TokenSet;

/// The longest phone number that TeamUp takes, in characters.
const PHONE_NUMBER_LIMIT: usize = 20;

/// The longest verification code that TeamUp takes, in characters.
const CODE_LIMIT: usize = 6;

/// Logs people in with their user name and password, for applications that hold a
/// `direct_auth_key`.
///
/// Where you can choose, use [`OAuthLogin`](super::OAuthLogin): then your program never sees a
/// password. TeamUp may ask for a second factor, a code that it sends to the person's phone:
///
/// ```
/// # use tower_teamup_auth::testing::{FakeTeamUp, login as fake};
/// # #[cfg(feature = "hyper")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_teamup_auth::BoxError> {
/// # let server = FakeTeamUp::builder().two_factor("271828").start().await;
/// # let (username, password) = (fake::USERNAME, fake::PASSWORD);
/// # let read_from_the_person = || "271828";
/// use tower_teamup_auth::client::{HyperClient, hyper_client};
/// use tower_teamup_auth::login::{PasswordLogin, PasswordResponse};
///
/// let http_client: HyperClient = hyper_client();
/// let login = PasswordLogin::new("fake-direct-auth-key", http_client).base_url(server.base_url());
/// let tokens = match login.log_in(username, password).await? {
///     PasswordResponse::Tokens(tokens) => tokens,
///     PasswordResponse::Pending(pending) => {
///         let provider = pending.two_factor_required_providers()[0];
///         let phone_number = "+41791234567";
///         login.start_verification(&pending, provider, phone_number).await?;
///         let key = login.verify(phone_number, read_from_the_person()).await?;
///         login.finish(username, password, &key).await?
///     }
/// };
/// # let _ = tokens;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "hyper"))] fn main() {}
/// ```
///
/// `Debug` does not show the key.
#[derive(Clone)]
pub struct PasswordLogin {
    endpoints: Endpoints,
    direct_auth_key: Zeroizing<String>,
}

/// TeamUp's answer to a user name and a password.
#[derive(Debug)]
pub enum PasswordResponse {
    /// The person is logged in.
    Tokens(TokenSet),
    /// A business that the person belongs to asks for a second factor.
    Pending(PendingLogin),
}

/// A login that waits for its second factor.
///
/// It holds no password, and is serializable: a web server can keep it between the two pages, and
/// go on with it on another host. `Debug` does not show its id.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingLogin {
    id: String,
    two_factor_required_providers: Vec<u64>,
}

/// What TeamUp said when it sent a verification code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationStarted {
    message: String,
    expires_at: Option<String>,
}

/// The proof that the second factor was right. `Debug` does not show it.
#[derive(Clone)]
pub struct VerificationKey(Zeroizing<String>);

impl PasswordLogin {
    /// A login for the application with this `direct_auth_key`, over any tower HTTP client.
    ///
    /// The client carries the password: hand in one that follows no redirects.
    pub fn new<Kind>(direct_auth_key: impl Into<String>, client: impl RefreshClient<Kind>) -> Self {
        PasswordLogin {
            endpoints: Endpoints::over(client),
            direct_auth_key: Zeroizing::new(direct_auth_key.into()),
        }
    }

    /// The API's base. The default is `https://goteamup.com/api/v2`.
    #[must_use]
    pub fn base_url(mut self, base_url: impl Into<String>) -> Self {
        self.endpoints.set_base_url(base_url.into());
        self
    }

    /// Sends user name and password (`POST auth/password_login`).
    ///
    /// # Errors
    ///
    /// [`LoginError::is_wrong_password`] when they are refused; see [`LoginError`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, the answer is lost, and the person logs in again.
    pub async fn log_in(
        &self,
        username: &str,
        password: &str,
    ) -> Result<PasswordResponse, LoginError> {
        let mut answer = self.send_password(username, password, None).await?;
        if answer.get("object").and_then(Value::as_str) == Some("pending_login") {
            return match serde_json::from_value(answer) {
                Ok(pending) => Ok(PasswordResponse::Pending(pending)),
                Err(_) => Err(unreadable("pending login")),
            };
        }
        take_tokens(&mut answer).map(PasswordResponse::Tokens)
    }

    /// Asks TeamUp to send a verification code to the person's phone
    /// (`POST auth/two_factor/start_verification`).
    ///
    /// `provider` is one of [those that ask for
    /// it](PendingLogin::two_factor_required_providers), and `phone_number` has at most 20
    /// characters.
    ///
    /// # Errors
    ///
    /// [`LoginError::is_verification_refused`] when TeamUp does not take the number or the pending
    /// login, [`LoginError::is_invalid_input`] when the number is too long.
    pub async fn start_verification(
        &self,
        pending: &PendingLogin,
        provider: u64,
        phone_number: &str,
    ) -> Result<VerificationStarted, LoginError> {
        check("phone number", phone_number, PHONE_NUMBER_LIMIT)?;
        let body = json!({
            "phone_number": phone_number,
            "provider": provider,
            "direct_auth_key": *self.direct_auth_key,
            "pending_login": pending.id,
        });
        let secrets = [&**self.direct_auth_key, &pending.id, phone_number];
        let path = "/auth/two_factor/start_verification";
        let answer = self.endpoints.post(Step::Verification, path, &body, &secrets).await?;
        check_success(&answer)?;
        let text = |name| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(VerificationStarted {
            message: text("message").unwrap_or_default(),
            expires_at: text("expires_at"),
        })
    }

    /// Sends the code that the person read on their phone (`POST auth/two_factor/verify`).
    ///
    /// `verification_code` has at most 6 characters.
    ///
    /// # Errors
    ///
    /// [`LoginError::is_verification_refused`] when the code is wrong or too old,
    /// [`LoginError::is_invalid_input`] when it is empty or too long.
    pub async fn verify(
        &self,
        phone_number: &str,
        verification_code: &str,
    ) -> Result<VerificationKey, LoginError> {
        check("phone number", phone_number, PHONE_NUMBER_LIMIT)?;
        check("verification code", verification_code, CODE_LIMIT)?;
        let body = json!({
            "phone_number": phone_number,
            "verification_code": verification_code,
        });
        let secrets = [phone_number, verification_code];
        let path = "/auth/two_factor/verify";
        let answer = self.endpoints.post(Step::Verification, path, &body, &secrets).await?;
        check_success(&answer)?;
        match answer.get("verification_key").and_then(Value::as_str) {
            Some(key) if !key.is_empty() => Ok(VerificationKey(Zeroizing::new(key.to_owned()))),
            _ => Err(unreadable("verification key")),
        }
    }

    /// Sends user name and password once more, with the key of the second factor.
    ///
    /// # Errors
    ///
    /// [`LoginError::is_verification_refused`] when the key is not taken; see [`LoginError`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, the answer is lost, and the person logs in again.
    pub async fn finish(
        &self,
        username: &str,
        password: &str,
        key: &VerificationKey,
    ) -> Result<TokenSet, LoginError> {
        let mut answer = self.send_password(username, password, Some(key)).await?;
        if answer.get("object").and_then(Value::as_str) == Some("pending_login") {
            let message = "TeamUp asks for a second factor again; start the login anew";
            return Err(LoginError::new(Kind::VerificationRefused, message));
        }
        take_tokens(&mut answer)
    }

    async fn send_password(
        &self,
        username: &str,
        password: &str,
        key: Option<&VerificationKey>,
    ) -> Result<Value, LoginError> {
        let mut body = json!({
            "username": username,
            "password": password,
            "direct_auth_key": *self.direct_auth_key,
        });
        let key = key.map_or("", |key| &key.0);
        if !key.is_empty() {
            body["verification_key"] = key.into();
        }
        let secrets = [password, &**self.direct_auth_key, key];
        self.endpoints.post(Step::Password, "/auth/password_login", &body, &secrets).await
    }
}

impl PendingLogin {
    /// The businesses that ask for a second factor. Never empty as TeamUp documents it; go through
    /// the flow with one of them.
    pub fn two_factor_required_providers(&self) -> &[u64] {
        &self.two_factor_required_providers
    }
}

impl VerificationStarted {
    /// TeamUp's message for the person, as it came.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// When the code expires: a date and time as TeamUp writes it.
    pub fn expires_at(&self) -> Option<&str> {
        self.expires_at.as_deref()
    }
}

fn check(what: &str, text: &str, limit: usize) -> Result<(), LoginError> {
    if text.is_empty() || text.chars().count() > limit {
        let message = format!("the {what} must have between 1 and {limit} characters");
        return Err(LoginError::invalid_input(message));
    }
    Ok(())
}

/// `"success": true` is documented; nothing is said of what else could stand there.
fn check_success(answer: &Value) -> Result<(), LoginError> {
    match answer.get("success").and_then(Value::as_bool) {
        Some(false) => {
            Err(LoginError::new(Kind::VerificationRefused, "TeamUp refused the verification"))
        }
        _ => Ok(()),
    }
}

fn take_tokens(answer: &mut Value) -> Result<TokenSet, LoginError> {
    match answer.get_mut("refresh_token").map(Value::take) {
        Some(Value::String(refresh_token)) => tokens_of(refresh_token),
        _ => Err(unreadable("refresh token")),
    }
}

fn unreadable(what: &str) -> LoginError {
    LoginError::new(Kind::Protocol, format!("TeamUp's answer holds no {what} that can be read"))
}

impl fmt::Debug for PasswordLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordLogin").finish_non_exhaustive()
    }
}

impl fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingLogin")
            .field("two_factor_required_providers", &self.two_factor_required_providers)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerificationKey(..)")
    }
}
