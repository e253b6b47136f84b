//! What the server saw.

use super::super::journal::Journal;
use super::super::limit::{block_on, within};
use super::super::server::FakeTeamUp;
use super::super::subscription::Subscription;
use crate::headers::RequestMode;

/// # What it saw
impl FakeTeamUp {
    /// The journal as it stands.
    pub fn journal(&self) -> Journal {
        self.shared().lock().journal.clone()
    }

    /// Does this text hold a token that this server has issued: a refresh token, an access token, an
    /// M2M token, valid or not? For asserting that a log, an error or another server's mail holds
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
    /// # Panics
    ///
    /// When the condition does not come true within the
    /// [`wait_limit`](crate::testing::FakeTeamUpBuilder::wait_limit), or before the server has stopped. The
    /// message shows the journal.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait_for(&self, condition: impl FnMut(&Journal) -> bool) {
        let limit = self.shared().lock().settings.wait_limit;
        match within(limit, self.comes_true(condition)).await {
            Some(true) => {}
            Some(false) => panic!("the server stopped before it happened:\n{}", self.journal()),
            None => panic!("it did not happen within {limit:?}:\n{}", self.journal()),
        }
    }

    /// [`wait_for`](FakeTeamUp::wait_for) for a test without a runtime.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](FakeTeamUp::wait_for) does, and inside a runtime.
    pub fn wait_for_blocking(&self, condition: impl FnMut(&Journal) -> bool) {
        block_on(self.wait_for(condition));
    }

    /// False: the server has stopped first.
    async fn comes_true(&self, mut condition: impl FnMut(&Journal) -> bool) -> bool {
        let mut changes = self.shared().changes();
        loop {
            {
                let state = self.shared().lock();
                if condition(&state.journal) {
                    return true;
                }
                if state.stopped {
                    return false;
                }
            }
            // The sender lives in `shared`, so there is no error to meet.
            let _ = changes.changed().await;
        }
    }

    /// Follows the requests that are over from now on, to print them as they come for instance.
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

    /// See [`Journal::mixed_logins`].
    pub fn mixed_logins(&self) -> usize {
        self.shared().lock().journal.mixed_logins()
    }
}
