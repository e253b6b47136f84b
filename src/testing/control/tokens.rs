//! Tokens, logins and time.

use std::time::Duration;

use super::super::server::FakeTeamUp;
use super::super::settings::parse_json;
use crate::headers::RequestMode;
use crate::token::{AccessToken, RefreshToken, TokenSet};

/// # Issuing tokens
impl FakeTeamUp {
    /// A login of a new user: a refresh token, and an access token for each of `modes`.
    ///
    /// ```
    /// # use tower_teamup_auth::RequestMode;
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = FakeTeamUp::start().await;
    /// let tokens = server.issue_tokens(&RequestMode::ALL);
    /// assert!(tokens.access_token(RequestMode::Customer).is_some());
    /// # }
    /// ```
    pub fn issue_tokens(&self, modes: &[RequestMode]) -> TokenSet {
        self.issue(None, modes)
    }

    /// A login of this account. Each call is a login of its own, whose tokens live and die apart
    /// from those of the account's other logins; a [rate
    /// limit](crate::testing::FakeTeamUpBuilder::rate_limit) counts them together.
    ///
    /// [`Entry::login`](crate::testing::Entry::login) and [`Entry::account`](crate::testing::Entry::account) say
    /// whose token a request carried.
    pub fn issue_tokens_to(&self, account: &str, modes: &[RequestMode]) -> TokenSet {
        self.issue(Some(account), modes)
    }

    fn issue(&self, account: Option<&str>, modes: &[RequestMode]) -> TokenSet {
        let now = self.shared().now();
        let wall_time = self.shared().clock().now().wall_time();
        let mut state = self.shared().lock();
        let state = &mut *state;
        let (login, refresh_token) = match account {
            Some(account) => state.families.new_login_of(account, &state.settings, now),
            None => state.families.new_login(&state.settings, now),
        };
        let expires_at = state
            .settings
            .access_token_lifetime
            .and_then(|lifetime| wall_time.checked_add(lifetime));
        modes.iter().fold(TokenSet::new(refresh(refresh_token)), |tokens, mode| {
            let token = state.families.mint_access(login, *mode, &state.settings, now);
            tokens.with_access_token_until(*mode, access(token), expires_at)
        })
    }

    /// The login that an access token or a refresh token came from, valid or not: see
    /// [`Entry::login`](crate::testing::Entry::login).
    pub fn login_of(&self, token: &str) -> Option<u64> {
        self.shared().lock().families.login_of(token)
    }

    /// An M2M token without an expiry that reaches every provider. It acts in provider mode and is
    /// never refreshed.
    pub fn issue_m2m(&self) -> AccessToken {
        let now = self.shared().now();
        let token = self.shared().lock().families.mint_m2m(None, None, now);
        access(token.expect("only M2M tokens of one provider are limited"))
    }

    /// An M2M token of one provider, with a lifetime where one is given. Two of them may be valid
    /// at a time: a program moves to the new one while the old one is still valid.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_teamup_auth::testing::FakeTeamUp;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = FakeTeamUp::start().await;
    /// let old = server.issue_m2m_of(54664, Some(Duration::from_secs(90 * 86_400)));
    /// let new = server.issue_m2m_of(54664, None);
    /// // … the program under test takes the new one …
    /// server.revoke(&old);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When two M2M tokens of this provider are valid already.
    pub fn issue_m2m_of(&self, provider: u64, lifetime: Option<Duration>) -> AccessToken {
        let now = self.shared().now();
        let token = self.shared().lock().families.mint_m2m(Some(provider), lifetime, now);
        access(token.unwrap_or_else(|| {
            panic!("provider {provider} has two valid M2M tokens; revoke one of them first")
        }))
    }
}

/// # Time and validity
impl FakeTeamUp {
    /// Expires every OAuth access token issued so far, now. Refresh tokens and M2M tokens stay
    /// valid.
    pub fn expire_access_tokens(&self) {
        let now = self.shared().now();
        self.shared().update(|state| state.families.expire(None, now));
    }

    /// Expires the OAuth access tokens for requests in `mode`, now.
    pub fn expire_access_tokens_of(&self, mode: RequestMode) {
        let now = self.shared().now();
        self.shared().update(|state| state.families.expire(Some(mode), now));
    }

    /// Revokes every token issued so far, refresh tokens and M2M tokens included.
    pub fn revoke_everything(&self) {
        self.shared().update(|state| state.families.revoke_all());
    }

    /// Revokes one access token, an M2M token for instance.
    ///
    /// # Panics
    ///
    /// When this server never issued it.
    pub fn revoke(&self, token: &AccessToken) {
        let known = self.shared().update(|state| state.families.revoke_access(token.expose()));
        assert!(known, "this server did not issue the token that is to be revoked");
    }

    /// Revokes every token of a [login](FakeTeamUp::login_of), its refresh token included. Other
    /// logins stay valid.
    pub fn revoke_login(&self, login: u64) {
        self.shared().update(|state| state.families.revoke_login(login));
    }

    /// Moves the server's time ahead of its [clock](crate::testing::FakeTeamUpBuilder::clock): tokens grow
    /// old, and a rate limit's minute passes. The client's time stays as it is.
    pub fn advance(&self, by: Duration) {
        self.shared().advance(by);
    }

    /// From now on, access tokens are minted with this lifetime; `None`: without an end, and the
    /// refresh endpoint answers `"expires_in": null`.
    pub fn set_access_token_lifetime(&self, lifetime: Option<Duration>) {
        self.shared().lock().settings.access_token_lifetime = lifetime;
    }

    /// From now on, the refresh endpoint answers this JSON value as `expires_in`; `None`: the true
    /// one. See [`FakeTeamUpBuilder::expires_in`](crate::testing::FakeTeamUpBuilder::expires_in).
    ///
    /// # Panics
    ///
    /// When `json` is not a JSON value.
    pub fn set_expires_in(&self, json: Option<&str>) {
        let value = json.map(parse_json);
        self.shared().lock().settings.expires_in = value;
    }

    /// Whether the refresh endpoint refuses this mode from now on: 403 with the code
    /// `mode_not_allowed`, and the refresh token stays valid. Access tokens of the mode stay valid
    /// too.
    pub fn refuse_mode(&self, mode: RequestMode, refused: bool) {
        let mut state = self.shared().lock();
        if refused {
            state.refused_modes.insert(mode);
        } else {
            state.refused_modes.remove(&mode);
        }
    }
}

/// # Logging in
impl FakeTeamUp {
    /// The authorize page: `GET {base}/auth/oauth/authorize`.
    pub fn authorize_url(&self) -> String {
        self.url("/auth/oauth/authorize")
    }

    /// The endpoint that takes a code for tokens: `POST {base}/auth/oauth/token`.
    pub fn token_url(&self) -> String {
        self.url("/auth/oauth/token")
    }

    /// The endpoint that takes a password for tokens: `POST {base}/auth/password_login`.
    pub fn password_login_url(&self) -> String {
        self.url("/auth/password_login")
    }

    /// From now on, the authorize page sends the user back with another `state` than it was given:
    /// an attack that a program must notice.
    pub fn answer_with_wrong_state(&self, wrong: bool) {
        self.shared().lock().settings.wrong_state = wrong;
    }
}

fn access(token: String) -> AccessToken {
    AccessToken::new(token).expect("the server mints tokens of visible ASCII")
}

fn refresh(token: String) -> RefreshToken {
    RefreshToken::new(token).expect("the server mints tokens of visible ASCII")
}
