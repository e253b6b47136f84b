//! What a credential holds: one refresh token, and up to one access token for each mode.

use std::time::{Duration, SystemTime};

use super::clock::Clock;
use super::secret::{AccessToken, RefreshToken};
use crate::headers::RequestMode;

/// The tokens of one credential: one refresh token, and up to one access token for each mode.
///
/// This is what goes into a [store](crate::store) and comes back from it. `Debug` shows which
/// tokens there are and when they expire, never their text.
///
/// ```
/// use std::time::Duration;
/// use tower_teamup_auth::{RequestMode, TokenSet};
///
/// let tokens = TokenSet::new("a-refresh-token".parse()?).with_access_token(
///     RequestMode::Provider,
///     "an-access-token".parse()?,
///     Some(Duration::from_secs(7200)),
/// );
/// assert!(tokens.expires_at(RequestMode::Provider).is_some());
/// assert!(tokens.access_token(RequestMode::Customer).is_none());
/// # Ok::<(), tower_teamup_auth::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenSet {
    refresh_token: RefreshToken,
    customer: Option<IssuedToken>,
    provider: Option<IssuedToken>,
}

/// An access token and the wall-clock time at which it expires, where that is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IssuedToken {
    pub(crate) token: AccessToken,
    pub(crate) expires_at: Option<SystemTime>,
}

impl TokenSet {
    /// A set that holds the refresh token alone: the first request mints the access token of its
    /// mode.
    pub fn new(refresh_token: RefreshToken) -> Self {
        TokenSet { refresh_token, customer: None, provider: None }
    }

    /// Adds the access token for requests in `mode`, which expires `expires_in` from now.
    ///
    /// `None` means that no expiry is known (TeamUp's `expires_in: null`): the token is used until
    /// the API answers 401.
    #[must_use]
    pub fn with_access_token(
        self,
        mode: RequestMode,
        token: AccessToken,
        expires_in: Option<Duration>,
    ) -> Self {
        let now = Clock::system().now();
        let expires_at = expires_in.and_then(|lifetime| now.wall_time().checked_add(lifetime));
        self.with_access_token_until(mode, token, expires_at)
    }

    /// Adds the access token for requests in `mode`, which expires at `expires_at` by the wall
    /// clock; `None` means that no expiry is known.
    #[must_use]
    pub fn with_access_token_until(
        mut self,
        mode: RequestMode,
        token: AccessToken,
        expires_at: Option<SystemTime>,
    ) -> Self {
        *self.slot(mode) = Some(IssuedToken { token, expires_at });
        self
    }

    /// The same set with another refresh token.
    #[must_use]
    pub(crate) fn with_refresh_token(mut self, refresh_token: RefreshToken) -> Self {
        self.refresh_token = refresh_token;
        self
    }

    /// The refresh token.
    pub fn refresh_token(&self) -> &RefreshToken {
        &self.refresh_token
    }

    /// The access token for requests in `mode`, if there is one.
    pub fn access_token(&self, mode: RequestMode) -> Option<&AccessToken> {
        self.issued(mode).map(|issued| &issued.token)
    }

    /// When the access token of `mode` expires by the wall clock, if there is one and its expiry
    /// is known.
    pub fn expires_at(&self, mode: RequestMode) -> Option<SystemTime> {
        self.issued(mode).and_then(|issued| issued.expires_at)
    }

    /// When each mode's access token expires, in the order of `RequestMode::ALL`.
    pub(crate) fn expiries(&self) -> [Option<SystemTime>; 2] {
        RequestMode::ALL.map(|mode| self.expires_at(mode))
    }

    pub(crate) fn issued(&self, mode: RequestMode) -> Option<&IssuedToken> {
        match mode {
            RequestMode::Customer => self.customer.as_ref(),
            RequestMode::Provider => self.provider.as_ref(),
        }
    }

    fn slot(&mut self, mode: RequestMode) -> &mut Option<IssuedToken> {
        match mode {
            RequestMode::Customer => &mut self.customer,
            RequestMode::Provider => &mut self.provider,
        }
    }
}
