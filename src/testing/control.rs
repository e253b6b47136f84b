//! What a test does to the server, and what it asks it.

use std::time::Duration;

use super::builder::parse;
use super::faults::Fault;
use super::hold::{Hold, Place};
use super::journal::{Journal, Subscription};
use super::server::FakeTeamUp;
use crate::headers::RequestMode;
use crate::token::{AccessToken, RefreshToken, TokenSet};

/// # Issuing tokens
impl FakeTeamUp {
    /// A login: a new token family with a refresh token, and an access token for each of `modes`.
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
        let now = self.shared().now();
        let wall_time = self.shared().clock().now().wall_time();
        let mut state = self.shared().lock();
        let state = &mut *state;
        let (family, refresh_token) = state.families.found(&state.settings, now);
        let expires_at = state
            .settings
            .access_token_lifetime
            .and_then(|lifetime| wall_time.checked_add(lifetime));
        modes.iter().fold(TokenSet::new(refresh(refresh_token)), |tokens, mode| {
            let token = state.families.mint_access(family, *mode, &state.settings, now);
            tokens.with_access_token_until(*mode, access(token), expires_at)
        })
    }

    /// An M2M token: long-lived, of a business, acting in provider mode, and never refreshed.
    pub fn issue_m2m(&self) -> AccessToken {
        access(self.shared().lock().families.mint_m2m())
    }
}

/// # Time and validity
impl FakeTeamUp {
    /// Expires every OAuth access token issued so far, now. Refresh tokens and M2M tokens live on.
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

    /// Moves the server's time ahead of its [clock](super::FakeTeamUpBuilder::clock): tokens grow old, and
    /// a rate limit's minute passes. The client's time stays as it is.
    pub fn advance(&self, by: Duration) {
        self.shared().advance(by);
    }

    /// From now on, access tokens are minted with this lifetime; `None`: without an end, and the
    /// exchange answers `"expires_in": null`.
    pub fn set_access_token_lifetime(&self, lifetime: Option<Duration>) {
        self.shared().lock().settings.access_token_lifetime = lifetime;
    }

    /// From now on, the exchange answers this JSON value as `expires_in`; `None`: the true one.
    /// See [`FakeTeamUpBuilder::expires_in`](super::FakeTeamUpBuilder::expires_in).
    ///
    /// # Panics
    ///
    /// When `json` is not a JSON value.
    pub fn set_expires_in(&self, json: Option<&str>) {
        let value = json.map(parse);
        self.shared().lock().settings.expires_in = value;
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

/// # Content
impl FakeTeamUp {
    /// From now on, `next` and `previous` of lists point under this base in place of the server's
    /// own: to see that a client carries no token to another host.
    pub fn link_pages_to(&self, base_url: &str) {
        let base_url = base_url.trim_end_matches('/').to_owned();
        self.shared().lock().settings.page_links = Some(base_url);
    }

    /// Answers requests for this path under the API's base with 200 and this JSON, once their
    /// token is judged. For the endpoints that your own program calls.
    ///
    /// ```
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = FakeTeamUp::start().await;
    /// server.serve_json("/memberships/7", r#"{"id": 7, "name": "Ten classes"}"#);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When `json` is not a JSON value.
    pub fn serve_json(&self, path: &str, json: &str) {
        let value = parse(json);
        self.shared().lock().pages.insert(path.to_owned(), value);
    }
}

/// # Faults
///
/// Faults for a number of requests queue up, and each request that arrives takes the first that is
/// left; where none is queued, the standing one is taken, if there is one.
impl FakeTeamUp {
    /// Breaks one exchange.
    pub fn fail_refresh(&self, fault: Fault) {
        self.fail_refreshes(1, fault);
    }

    /// Breaks this many exchanges.
    pub fn fail_refreshes(&self, times: usize, fault: Fault) {
        self.shared().lock().refresh_faults.queue(times, fault);
    }

    /// Breaks every exchange until [`clear_faults`](FakeTeamUp::clear_faults).
    pub fn fail_every_refresh(&self, fault: Fault) {
        self.shared().lock().refresh_faults.stand(fault);
    }

    /// Breaks one API request.
    pub fn fail_api(&self, fault: Fault) {
        self.fail_apis(1, fault);
    }

    /// Breaks this many API requests.
    pub fn fail_apis(&self, times: usize, fault: Fault) {
        self.shared().lock().api_faults.queue(times, fault);
    }

    /// Breaks every API request until [`clear_faults`](FakeTeamUp::clear_faults).
    pub fn fail_every_api(&self, fault: Fault) {
        self.shared().lock().api_faults.stand(fault);
    }

    /// Forgets every fault that has not met its request. What is held stays held.
    pub fn clear_faults(&self) {
        let mut state = self.shared().lock();
        state.refresh_faults.clear();
        state.api_faults.clear();
    }

    /// Holds every exchange as it arrives; nothing is rotated before it is let go.
    pub fn hold_refresh(&self) -> Hold {
        Hold::new(self.shared(), Place::RefreshArrival)
    }

    /// Holds every exchange's answer: the rotation has taken place, and the client does not know.
    pub fn hold_refresh_answer(&self) -> Hold {
        Hold::new(self.shared(), Place::RefreshAnswer)
    }

    /// Holds every API request as it arrives; its token is judged when it is let go.
    pub fn hold_api(&self) -> Hold {
        Hold::new(self.shared(), Place::ApiArrival)
    }

    /// Holds every API request's answer; its token is judged, and its body has been read.
    pub fn hold_api_answer(&self) -> Hold {
        Hold::new(self.shared(), Place::ApiAnswer)
    }
}

/// # What it saw
impl FakeTeamUp {
    /// The journal as it stands.
    pub fn journal(&self) -> Journal {
        self.shared().lock().journal.clone()
    }

    /// Does this text hold a token that this server has issued: a refresh token, an access token, an
    /// M2M token, alive or not? For asserting that a log, an error or another server's mail holds
    /// none.
    ///
    /// ```
    /// # use tower_teamup_auth::RequestMode;
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = FakeTeamUp::start().await;
    /// let tokens = server.issue_tokens(&RequestMode::ALL);
    /// assert!(!server.finds_its_token_in(&format!("{tokens:?}")));
    /// assert!(server.finds_its_token_in(&format!("({})", tokens.refresh_token().expose())));
    /// # }
    /// ```
    pub fn finds_its_token_in(&self, text: &str) -> bool {
        self.shared().lock().families.have_minted_one_in(text)
    }

    /// Waits until the journal looks as `condition` wants it. It is asked once at the start and
    /// again whenever something happened; it must not call the server's own methods.
    ///
    /// ```
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let server = FakeTeamUp::start().await;
    /// server.wait_for(|journal| journal.under_way() == 0).await;
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing; put a `tokio::time::timeout` around it where the
    /// condition may never come true.
    pub async fn wait_for(&self, mut condition: impl FnMut(&Journal) -> bool) {
        let mut changes = self.shared().changes();
        // The sender lives in `shared`, so the loop ends by its condition alone.
        while !condition(&self.shared().lock().journal) && changes.changed().await.is_ok() {}
    }

    /// Follows the requests that are answered from now on, to print them as they come for
    /// instance.
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(self.shared().clone())
    }

    /// See [`Journal::connections`].
    pub fn connections(&self) -> u64 {
        self.shared().lock().journal.connections()
    }

    /// See [`Journal::refresh_requests`].
    pub fn refresh_requests(&self) -> usize {
        self.shared().lock().journal.refresh_requests()
    }

    /// See [`Journal::rotations`].
    pub fn rotations(&self) -> usize {
        self.shared().lock().journal.rotations()
    }

    /// See [`Journal::rotations_of`].
    pub fn rotations_of(&self, mode: RequestMode) -> usize {
        self.shared().lock().journal.rotations_of(mode)
    }

    /// See [`Journal::rejected_refresh_requests`].
    pub fn rejected_refresh_requests(&self) -> usize {
        self.shared().lock().journal.rejected_refresh_requests()
    }

    /// See [`Journal::double_spends`].
    pub fn double_spends(&self) -> usize {
        self.shared().lock().journal.double_spends()
    }

    /// See [`Journal::api_requests`].
    pub fn api_requests(&self) -> usize {
        self.shared().lock().journal.api_requests()
    }

    /// See [`Journal::authorized`].
    pub fn authorized(&self) -> usize {
        self.shared().lock().journal.authorized()
    }

    /// See [`Journal::unauthorized`].
    pub fn unauthorized(&self) -> usize {
        self.shared().lock().journal.unauthorized()
    }

    /// See [`Journal::unauthorized_to_caller`].
    pub fn unauthorized_to_caller(&self) -> usize {
        self.shared().lock().journal.unauthorized_to_caller()
    }

    /// See [`Journal::retries`].
    pub fn retries(&self) -> usize {
        self.shared().lock().journal.retries()
    }
}

fn access(token: String) -> AccessToken {
    AccessToken::new(token).expect("the server mints tokens of visible ASCII")
}

fn refresh(token: String) -> RefreshToken {
    RefreshToken::new(token).expect("the server mints tokens of visible ASCII")
}
