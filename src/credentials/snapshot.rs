//! What a request sees of a credential, in one lock-free load.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::HeaderValue;

use super::deadlines::Deadlines;
use super::generation::Generation;
use super::state::{ModeState, View};
use super::sync::{ArcSwap, AtomicU64, Guard};
use crate::headers::{AuthScheme, ProviderId, RequestMode};
use crate::token::{AccessToken, Moment};

/// Holds the newest [`Snapshot`]. Any number of threads load it; it is stored into under the mutex
/// around the credential's state, so that snapshots come in the order of the states.
#[derive(Debug)]
pub(crate) struct SharedSnapshot {
    newest: ArcSwap<Snapshot>,
    /// Counts the snapshots. Whoever keeps a copy of one sees here, without loading, whether it is
    /// still the newest.
    serial: AtomicU64,
}

/// Everything that a request needs to know of a credential, at one moment and for both modes.
/// Immutable: what a request took stays what it took.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    customer: ModeTokens,
    provider: ModeTokens,
    login_epoch: u32,
    /// The business that the credentials name on their requests.
    provider_id: Option<HeaderValue>,
}

/// What one mode has.
#[derive(Clone, Debug)]
pub(crate) struct ModeTokens {
    pub(crate) generation: Generation,
    /// Another process has minted the token.
    pub(crate) is_adopted: bool,
    pub(crate) token: Option<ReadyToken>,
}

/// An access token, ready to be sent.
#[derive(Clone)]
pub(crate) struct ReadyToken {
    /// The whole value, scheme included, marked sensitive.
    pub(crate) authorization: HeaderValue,
    pub(crate) deadlines: Deadlines,
}

/// What a request may do with the token of its mode.
#[derive(Debug)]
pub(crate) enum Freshness<'a> {
    /// Send with this token.
    Fresh(&'a ReadyToken),
    /// This token is valid and will expire soon: it is time for a refresh.
    RefreshSoon(&'a ReadyToken),
    /// There is no token, or it has expired: wait for one.
    Expired,
}

impl SharedSnapshot {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        SharedSnapshot { newest: ArcSwap::from_pointee(snapshot), serial: AtomicU64::new(0) }
    }

    pub(crate) fn load(&self) -> Guard<Arc<Snapshot>> {
        self.newest.load()
    }

    pub(crate) fn store(&self, snapshot: Snapshot) {
        self.newest.store(Arc::new(snapshot));
        // After the store: a copy may be newer than its serial says, but never older.
        self.serial.fetch_add(1, Ordering::Release);
    }

    #[inline]
    fn serial(&self) -> u64 {
        self.serial.load(Ordering::Acquire)
    }
}

/// A snapshot that one service keeps for itself.
pub(crate) struct LocalSnapshot {
    serial: u64,
    snapshot: Snapshot,
}

impl LocalSnapshot {
    pub(crate) fn of(cell: &SharedSnapshot) -> Self {
        let serial = cell.serial();
        LocalSnapshot { serial, snapshot: cell.load().unshared() }
    }

    /// The newest snapshot of `cell`, which is the one that it was copied from.
    #[inline]
    pub(crate) fn newest(&mut self, cell: &SharedSnapshot) -> &Snapshot {
        if self.serial != cell.serial() {
            self.renew(cell);
        }
        &self.snapshot
    }

    #[cold]
    fn renew(&mut self, cell: &SharedSnapshot) {
        *self = LocalSnapshot::of(cell);
    }
}

impl Snapshot {
    /// The snapshot of a credential that has no token yet.
    pub(crate) fn empty(provider_id: Option<ProviderId>) -> Self {
        let none = |mode| ModeTokens {
            generation: Generation { count: 0, login_epoch: 0, mode },
            is_adopted: false,
            token: None,
        };
        Snapshot {
            customer: none(RequestMode::Customer),
            provider: none(RequestMode::Provider),
            login_epoch: 0,
            provider_id: provider_id.map(ProviderId::header_value),
        }
    }

    /// The snapshot that follows this one when the state is `view`. A token of the same generation
    /// keeps its header value.
    pub(crate) fn followed_by<E>(&self, view: &View<'_, E>, scheme: AuthScheme) -> Self {
        let mut next = self.clone();
        next.login_epoch = view.login_epoch;
        for mode in RequestMode::ALL {
            let state = match mode {
                RequestMode::Customer => view.customer,
                RequestMode::Provider => view.provider,
            };
            let count = state.generation;
            let generation = Generation { count, login_epoch: view.login_epoch, mode };
            let issued = view.record.and_then(|record| record.tokens()?.issued(mode));
            let deadlines = deadlines(view, state);
            let old = next.mode_mut(mode);
            let kept = old.token.take().filter(|_| old.generation == generation);
            old.generation = generation;
            old.is_adopted = state.is_adopted;
            old.token = match (kept, issued) {
                (Some(kept), Some(_)) => Some(ReadyToken { deadlines, ..kept }),
                (None, Some(issued)) => Some(ReadyToken {
                    authorization: authorization(scheme, &issued.token),
                    deadlines,
                }),
                (_, None) => None,
            };
        }
        next
    }

    /// A copy that shares nothing with this one: not even the counts of references to its header
    /// values, over which threads would contend for a cache line with each request.
    fn unshared(&self) -> Self {
        let mode = |mode: &ModeTokens| ModeTokens {
            generation: mode.generation,
            is_adopted: mode.is_adopted,
            token: mode.token.as_ref().map(|token| ReadyToken {
                authorization: unshared(&token.authorization),
                deadlines: token.deadlines,
            }),
        };
        Snapshot {
            customer: mode(&self.customer),
            provider: mode(&self.provider),
            login_epoch: self.login_epoch,
            provider_id: self.provider_id.as_ref().map(unshared),
        }
    }

    #[inline]
    pub(crate) fn provider_id(&self) -> Option<&HeaderValue> {
        self.provider_id.as_ref()
    }

    /// Was this generation's token issued to the login that is here now?
    #[inline]
    pub(crate) fn same_login(&self, generation: Generation) -> bool {
        generation.login_epoch == self.login_epoch
    }

    #[inline]
    pub(crate) fn mode(&self, mode: RequestMode) -> &ModeTokens {
        match mode {
            RequestMode::Customer => &self.customer,
            RequestMode::Provider => &self.provider,
        }
    }

    fn mode_mut(&mut self, mode: RequestMode) -> &mut ModeTokens {
        match mode {
            RequestMode::Customer => &mut self.customer,
            RequestMode::Provider => &mut self.provider,
        }
    }
}

/// When a request asks for a refresh, and when it waits for one. While refreshes fail or a login is
/// required, nobody asks for an early one; the token expires when it did.
fn deadlines<E>(view: &View<'_, E>, state: &ModeState<E>) -> Deadlines {
    let Deadlines { mut refresh_soon, expired } = state.deadlines;
    if let Some(failure) = &state.failure {
        refresh_soon = refresh_soon.or_later(failure.until);
    }
    if view.login_required.is_some() {
        refresh_soon = Moment::NEVER;
    }
    Deadlines { refresh_soon: refresh_soon.or_earlier(expired), expired }
}

impl ModeTokens {
    #[inline]
    pub(crate) fn freshness(&self, now: Moment) -> Freshness<'_> {
        match &self.token {
            Some(token) if !now.has_reached(token.deadlines.refresh_soon) => {
                Freshness::Fresh(token)
            }
            Some(token) if !now.has_reached(token.deadlines.expired) => {
                Freshness::RefreshSoon(token)
            }
            _ => Freshness::Expired,
        }
    }

    /// The token to send when no newer one can be had: one that at least one of the two clocks
    /// believes in. When they disagree, one of them was set; the API knows better than we do.
    pub(crate) fn last_resort(&self, now: Moment) -> Option<&ReadyToken> {
        self.token.as_ref().filter(|token| {
            let expired = token.deadlines.expired;
            now.monotonic < expired.monotonic || now.wall < expired.wall
        })
    }
}

fn unshared(value: &HeaderValue) -> HeaderValue {
    let mut copy =
        HeaderValue::from_bytes(value.as_bytes()).expect("it was a header's value before");
    copy.set_sensitive(value.is_sensitive());
    copy
}

fn authorization(scheme: AuthScheme, token: &AccessToken) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("{scheme} {}", token.expose()))
        .expect("an access token is visible ASCII");
    value.set_sensitive(true);
    value
}

impl fmt::Debug for ReadyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyToken").field("deadlines", &self.deadlines).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::credentials::deadlines::RefreshWindow;
    use crate::credentials::state::{Config, CredentialState, RefreshLimit, Renewal};
    use crate::store::{LoginId, RecordContent, StoredRecord};
    use crate::token::{RefreshToken, TokenSet};

    const NOW: Moment = Moment { monotonic: 10_000, wall: 1_000_000_000 };

    impl Snapshot {
        /// With a token for provider mode that has no known end.
        pub(crate) fn with_token(provider_id: Option<ProviderId>, access: &str) -> Self {
            of_tokens(provider_id, access, None)
        }
    }

    fn of_tokens(provider_id: Option<ProviderId>, access: &str, lives: Option<u64>) -> Snapshot {
        let tokens = TokenSet::new(RefreshToken::new("r").unwrap()).with_access_token_until(
            MODE,
            AccessToken::new(access).unwrap(),
            lives.map(|seconds| NOW.wall_time() + Duration::from_secs(seconds)),
        );
        let record =
            StoredRecord::new(LoginId::from_bytes([1; 16]), 1, RecordContent::Tokens(tokens));
        let config = Config {
            has_store: false,
            renewal: Renewal::Refresh,
            base_url: "https://api.test".into(),
            window: RefreshWindow { leeway: Duration::from_secs(300), jitter: 0 },
            lease_wait: Duration::from_secs(30),
            limit: RefreshLimit { count: 5, window: Duration::from_secs(30) },
            keep_warm: None,
        };
        let state = CredentialState::<u8, u8>::new(config, Some(record), NOW);
        Snapshot::empty(provider_id).followed_by(&state.view(), AuthScheme::Bearer)
    }
    const MODE: RequestMode = RequestMode::Provider;

    fn published(access: &str, lives: Option<u64>) -> Snapshot {
        of_tokens(None, access, lives)
    }

    #[test]
    fn fresh_then_refresh_soon_then_expired() {
        let snapshot = published("a", Some(1000));
        let tokens = snapshot.mode(MODE);
        assert!(matches!(tokens.freshness(NOW), Freshness::Fresh(_)));
        let later = |seconds| NOW.plus(Duration::from_secs(seconds));
        assert!(matches!(tokens.freshness(later(800)), Freshness::RefreshSoon(_)));
        assert!(matches!(tokens.freshness(later(1000)), Freshness::Expired));
        let customer = snapshot.mode(RequestMode::Customer);
        assert!(matches!(customer.freshness(NOW), Freshness::Expired));
    }

    #[test]
    fn token_without_known_expiry_is_always_fresh() {
        let snapshot = published("a", None);
        let far = NOW.plus(Duration::from_secs(1 << 40));
        assert!(matches!(snapshot.mode(MODE).freshness(far), Freshness::Fresh(_)));
    }

    #[test]
    fn p10_one_clock_that_believes_in_a_token_is_enough_when_no_newer_one_can_be_had() {
        let snapshot = published("a", Some(1000));
        let tokens = snapshot.mode(MODE);
        let jumped = Moment { wall: NOW.wall + 3_600_000, ..NOW };
        assert!(matches!(tokens.freshness(jumped), Freshness::Expired));
        assert!(tokens.last_resort(jumped).is_some());
        assert!(tokens.last_resort(NOW.plus(Duration::from_secs(1000))).is_none());
    }

    #[test]
    fn p10_copy_of_a_service_is_renewed_with_each_publication_and_only_then() {
        let cell = SharedSnapshot::new(Snapshot::empty(None));
        let mut local = LocalSnapshot::of(&cell);
        let token = |snapshot: &Snapshot| {
            let token = snapshot.mode(MODE).token.as_ref();
            token.map(|token| token.authorization.as_bytes().as_ptr())
        };
        assert!(token(local.newest(&cell)).is_none());
        for access in ["a", "b"] {
            cell.store(published(access, None));
            let first = token(local.newest(&cell));
            let expected = format!("Bearer {access}");
            let tokens = local.newest(&cell).mode(MODE);
            assert_eq!(tokens.token.as_ref().unwrap().authorization, expected);
            assert_eq!(token(local.newest(&cell)), first, "it was copied again");
            assert_ne!(token(&cell.load()), first, "it is shared");
        }
    }

    #[test]
    fn p5_snapshot_shows_which_tokens_it_holds_and_none_of_them() {
        let snapshot = published("s3cret", Some(1000));
        let shown = format!("{snapshot:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("provider:0.0"), "{shown}");
        assert!(shown.contains("ReadyToken { deadlines"), "{shown}");
        let token = snapshot.mode(MODE).token.as_ref().unwrap();
        assert!(token.authorization.is_sensitive());
        assert_eq!(token.authorization, "Bearer s3cret");
    }
}
