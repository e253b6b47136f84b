//! The cell: what a request sees of a credential, in one lock-free load.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::Guard;
use http::header::HeaderValue;

use super::windows::{Deadlines, Windows};
use crate::headers::{AuthScheme, ProviderId, RequestMode};
use crate::sync::{ArcSwap, AtomicU64};
use crate::token::{AccessToken, IssuedToken, Moment, TokenSet};

/// Holds the newest [`Snapshot`]. Any number of threads load it; only the holder of the ledger
/// stores into it.
#[derive(Debug)]
pub(crate) struct SnapshotCell {
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
    /// The provider_id that the credentials name on their requests.
    provider_id: Option<HeaderValue>,
}

/// What one mode has.
#[derive(Clone, Debug)]
pub(crate) struct ModeTokens {
    /// Which token this is: every other token that ever was in this slot, and the lack of one
    /// before and after it, has another generation.
    pub(crate) generation: Generation,
    pub(crate) held: Option<ReadyToken>,
}

/// An access token, ready to be sent.
#[derive(Clone)]
pub(crate) struct ReadyToken {
    /// The whole value, scheme included, marked sensitive.
    pub(crate) authorization: HeaderValue,
    pub(crate) deadlines: Deadlines,
}

/// Names one state of one slot of one credential. They only count up.
///
/// Small, because every request carries it until it is answered: a slot whose token changed every
/// second would run out of numbers in 136 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Generation {
    count: u32,
    mode: RequestMode,
}

impl Generation {
    /// Of a slot that never held a token.
    fn first(mode: RequestMode) -> Self {
        Generation { count: 0, mode }
    }

    fn next(self) -> Self {
        Generation { count: self.count + 1, ..self }
    }

    /// That of its slot.
    pub(crate) fn mode(self) -> RequestMode {
        self.mode
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.mode, self.count)
    }
}

/// What a request may do with the slot of its mode.
#[derive(Debug)]
pub(crate) enum Freshness<'a> {
    /// Send with this token.
    Fresh(&'a ReadyToken),
    /// Send with this token, and let a refresh start beside it.
    RefreshSoon(&'a ReadyToken),
    /// Wait for a token first: there is none, or it has expired.
    Expired,
}

impl SnapshotCell {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        SnapshotCell { newest: ArcSwap::from_pointee(snapshot), serial: AtomicU64::new(0) }
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
    pub(crate) fn of(cell: &SnapshotCell) -> Self {
        let serial = cell.serial();
        LocalSnapshot { serial, snapshot: cell.load().copied() }
    }

    /// The newest snapshot of `cell`, which is the one that it was copied from.
    #[inline]
    pub(crate) fn newest(&mut self, cell: &SnapshotCell) -> &Snapshot {
        if self.serial != cell.serial() {
            self.renew(cell);
        }
        &self.snapshot
    }

    #[cold]
    fn renew(&mut self, cell: &SnapshotCell) {
        *self = LocalSnapshot::of(cell);
    }
}

impl Snapshot {
    /// The snapshot of a credential that has no token yet.
    pub(crate) fn empty(provider_id: Option<ProviderId>) -> Self {
        let slot = |mode| ModeTokens { generation: Generation::first(mode), held: None };
        Snapshot {
            customer: slot(RequestMode::Customer),
            provider: slot(RequestMode::Provider),
            provider_id: provider_id.map(ProviderId::header_value),
        }
    }

    /// The snapshot of an M2M token, which acts in provider mode and has no known end.
    pub(crate) fn with_m2m(mut self, token: &AccessToken, scheme: AuthScheme) -> Self {
        self.provider = ModeTokens {
            generation: self.provider.generation.next(),
            held: Some(ReadyToken {
                authorization: authorization(scheme, token),
                deadlines: Deadlines::UNKNOWN,
            }),
        };
        self
    }

    /// A copy that shares nothing with this one: not even the counts of references to its header
    /// values, which threads that use one value wrest from each other with each request.
    fn copied(&self) -> Self {
        let slot = |slot: &ModeTokens| ModeTokens {
            generation: slot.generation,
            held: slot.held.as_ref().map(|held| ReadyToken {
                authorization: copied(&held.authorization),
                deadlines: held.deadlines,
            }),
        };
        Snapshot {
            customer: slot(&self.customer),
            provider: slot(&self.provider),
            provider_id: self.provider_id.as_ref().map(copied),
        }
    }

    #[inline]
    pub(crate) fn provider_id(&self) -> Option<&HeaderValue> {
        self.provider_id.as_ref()
    }

    #[inline]
    pub(crate) fn slot(&self, mode: RequestMode) -> &ModeTokens {
        match mode {
            RequestMode::Customer => &self.customer,
            RequestMode::Provider => &self.provider,
        }
    }

    /// Is this snapshot of the login that `generation` belongs to?
    pub(crate) fn same_login(&self, _generation: Generation) -> bool {
        true
    }

    fn slot_mut(&mut self, mode: RequestMode) -> &mut ModeTokens {
        match mode {
            RequestMode::Customer => &mut self.customer,
            RequestMode::Provider => &mut self.provider,
        }
    }

    /// The snapshot that follows this one when `tokens` are published. A slot whose token did not
    /// change keeps its generation and its deadlines.
    pub(crate) fn followed_by(
        &self,
        tokens: Option<&TokenSet>,
        scheme: AuthScheme,
        windows: &Windows,
        now: Moment,
    ) -> Self {
        let mut next = self.clone();
        for mode in RequestMode::ALL {
            let issued = tokens.and_then(|tokens| tokens.issued(mode));
            next.slot_mut(mode).take(issued, scheme, windows, now);
        }
        next
    }

    /// The same snapshot, with no refresh advised for `mode` before `until`: one has just failed.
    /// The token is due when it was, however long that is put off.
    pub(crate) fn advising_nothing_before(&self, mode: RequestMode, until: Moment) -> Self {
        let mut next = self.clone();
        if let Some(held) = &mut next.slot_mut(mode).held {
            held.deadlines.advised = until.or_earlier(held.deadlines.due);
        }
        next
    }
}

impl ModeTokens {
    #[inline]
    pub(crate) fn freshness(&self, now: Moment) -> Freshness<'_> {
        match &self.held {
            Some(held) if !now.has_reached(held.deadlines.advised) => Freshness::Fresh(held),
            Some(held) if !now.has_reached(held.deadlines.due) => Freshness::RefreshSoon(held),
            _ => Freshness::Expired,
        }
    }

    /// The token to send when no newer one can be had: one that at least one of the two clocks
    /// believes in. When they disagree, one of them was set; the API knows better than we do.
    pub(crate) fn last_resort(&self, now: Moment) -> Option<&ReadyToken> {
        self.held.as_ref().filter(|held| {
            let due = held.deadlines.due;
            now.monotonic < due.monotonic || now.wall < due.wall
        })
    }

    fn take(
        &mut self,
        issued: Option<&IssuedToken>,
        scheme: AuthScheme,
        windows: &Windows,
        now: Moment,
    ) {
        let next = issued.map(|issued| ReadyToken {
            authorization: authorization(scheme, &issued.token),
            deadlines: windows.deadlines(issued, now),
        });
        let unchanged = match (&self.held, &next) {
            (None, None) => true,
            (Some(old), Some(new)) => old.authorization == new.authorization,
            _ => false,
        };
        if !unchanged {
            self.generation = self.generation.next();
            self.held = next;
        }
    }
}

fn copied(value: &HeaderValue) -> HeaderValue {
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
    use crate::token::RefreshToken;

    const NOW: Moment = Moment { monotonic: 10_000, wall: 1_000_000_000 };
    const WINDOWS: Windows = Windows { leeway: Duration::from_secs(300), jitter: 0.0 };

    fn tokens(access: &str, lives: Option<u64>) -> TokenSet {
        TokenSet::new(RefreshToken::new("r").unwrap()).with_access_token_until(
            RequestMode::Provider,
            AccessToken::new(access).unwrap(),
            lives.map(|seconds| NOW.wall_time() + Duration::from_secs(seconds)),
        )
    }

    fn published(access: &str, lives: Option<u64>) -> Snapshot {
        Snapshot::empty(None).followed_by(
            Some(&tokens(access, lives)),
            AuthScheme::Bearer,
            &WINDOWS,
            NOW,
        )
    }

    #[test]
    fn fresh_then_advised_then_due() {
        let snapshot = published("a", Some(1000));
        let slot = snapshot.slot(RequestMode::Provider);
        assert!(matches!(slot.freshness(NOW), Freshness::Fresh(_)));
        assert!(matches!(
            slot.freshness(NOW.plus(Duration::from_secs(800))),
            Freshness::RefreshSoon(_)
        ));
        assert!(matches!(slot.freshness(NOW.plus(Duration::from_secs(1000))), Freshness::Expired));
        assert!(matches!(snapshot.slot(RequestMode::Customer).freshness(NOW), Freshness::Expired));
    }

    #[test]
    fn a_token_without_known_expiry_is_always_fresh() {
        let snapshot = published("a", None);
        let far = NOW.plus(Duration::from_secs(1 << 40));
        assert!(matches!(snapshot.slot(RequestMode::Provider).freshness(far), Freshness::Fresh(_)));
    }

    #[test]
    fn a_generation_stays_while_its_token_does_and_never_comes_back() {
        let mode = RequestMode::Provider;
        let first = published("a", Some(1000));
        let next = |snapshot: &Snapshot, tokens: &TokenSet| {
            snapshot.followed_by(Some(tokens), AuthScheme::Bearer, &WINDOWS, NOW)
        };
        let same = next(&first, &tokens("a", Some(1000)));
        assert_eq!(first.slot(mode).generation, same.slot(mode).generation);

        let gone = next(&first, &tokens("a", None).without_access_token(mode));
        let back = next(&gone, &tokens("a", Some(1000)));
        let generations = [&first, &gone, &back].map(|snapshot| snapshot.slot(mode).generation);
        assert!(generations[0] < generations[1] && generations[1] < generations[2]);
        assert_eq!(
            first.slot(RequestMode::Customer).generation,
            back.slot(RequestMode::Customer).generation
        );
    }

    #[test]
    fn p10_one_clock_that_believes_in_a_token_is_enough_when_no_newer_one_can_be_had() {
        let snapshot = published("a", Some(1000));
        let slot = snapshot.slot(RequestMode::Provider);
        let jumped = Moment { wall: NOW.wall + 3_600_000, ..NOW };
        assert!(matches!(slot.freshness(jumped), Freshness::Expired));
        assert!(slot.last_resort(jumped).is_some());
        assert!(slot.last_resort(NOW.plus(Duration::from_secs(1000))).is_none());
    }

    #[test]
    fn p10_the_copy_of_a_service_is_renewed_with_each_publication_and_only_then() {
        let cell = SnapshotCell::new(Snapshot::empty(None));
        let mut copied = LocalSnapshot::of(&cell);
        let token = |snapshot: &Snapshot| {
            let held = snapshot.slot(RequestMode::Provider).held.as_ref();
            held.map(|held| held.authorization.as_bytes().as_ptr())
        };
        assert!(token(copied.newest(&cell)).is_none());
        for access in ["a", "b"] {
            cell.store(published(access, None));
            let first = token(copied.newest(&cell));
            let expected = format!("Bearer {access}");
            let slot = copied.newest(&cell).slot(RequestMode::Provider);
            assert_eq!(slot.held.as_ref().unwrap().authorization, expected);
            assert_eq!(token(copied.newest(&cell)), first, "it was copied again");
            assert_ne!(token(&cell.load()), first, "it is shared");
        }
    }

    #[test]
    fn p5_a_snapshot_shows_which_tokens_it_holds_and_none_of_them() {
        let snapshot = published("s3cret", Some(1000));
        let shown = format!("{snapshot:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("provider:1"), "{shown}");
        assert!(shown.contains("ReadyToken { deadlines"), "{shown}");
        let held = snapshot.slot(RequestMode::Provider).held.as_ref().unwrap();
        assert!(held.authorization.is_sensitive());
        assert_eq!(held.authorization, "Bearer s3cret");
    }
}
