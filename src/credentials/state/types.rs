//! What goes into the state machine and what comes out of it.

use std::time::{Duration, SystemTime};

use crate::credentials::generation::Generation;
use crate::headers::RequestMode;
use crate::refresh::FailureClass;
use crate::store::{Expected, LoginId, StoredRecord};
use crate::token::{AccessToken, IssuedToken, Moment, RefreshToken, TokenSet};

/// Names the end of an operation, for whoever waits for it.
pub(crate) type Ticket = u64;

/// What the machine is told of the world with each call: it reads no clock and draws no numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tick {
    pub(crate) now: Moment,
    /// From 0 to 1000, at random.
    pub(crate) jitter: u16,
}

/// Why a refresh is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// The token will expire soon.
    RefreshSoon,
    /// There is no token of this mode, or it has expired.
    Expired,
    /// The API answered 401 to it.
    Unauthorized,
    /// The API answered 401 on a route that is known to refuse fresh tokens.
    RefusedRoute,
    /// The program asked for it.
    Requested,
}

/// What a caller wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// The token of this generation is to be replaced.
    Refresh { generation: Generation, reason: Reason },
    /// New tokens, of a new login. `overwrite`: over whatever the store holds.
    LogIn { login: LoginId, tokens: TokenSet, overwrite: bool },
    /// No tokens any more. The id is used where no login is known.
    SignOut { login: LoginId, overwrite: bool },
    /// An M2M token takes the place of the one before.
    SetM2mToken { token: AccessToken },
    /// What is dirty is to be saved, and the lease released.
    Flush,
    /// The same, and nothing new is begun afterwards.
    Close,
}

/// What became of an operation that was handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Enqueued<E> {
    /// It is done already, or refused.
    Settled(Result<(), Failure<E>>),
    /// The ticket will be told. `started`: this call has brought the operation into the queue.
    Waits { ticket: Ticket, started: bool },
}

/// The one thing that the worker does next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action<L> {
    AcquireLease,
    Load,
    /// The one HTTP request to the refresh endpoint.
    SendRefresh {
        refresh_token: RefreshToken,
        mode: RequestMode,
    },
    /// The M2M token is asked for where it comes from.
    ReadSource,
    Save {
        lease: L,
        expected: Expected,
        record: Box<StoredRecord>,
    },
    ReleaseLease {
        lease: L,
    },
    /// Until the time is over or an operation comes. `for_change`: or the store may have changed.
    Sleep {
        pause: Duration,
        for_change: bool,
    },
    /// Nothing is left to do: the worker ends.
    Idle,
}

/// What the worker reports of an [`Action`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome<L, E> {
    /// `lease`: `None` while another process has it. `found`: `None` where the store was not read.
    Acquired {
        lease: Option<L>,
        found: Option<Found<E>>,
    },
    NotAcquired {
        error: E,
    },
    Loaded {
        found: Found<E>,
    },
    /// A whole answer with tokens. `sent_at` is from before the request was sent.
    Refreshed {
        response: Minted,
        sent_at: Moment,
    },
    RefreshFailed {
        failure: RequestFailure<E>,
    },
    /// The M2M token as it is now.
    SourceRead {
        token: AccessToken,
    },
    SourceFailed {
        error: E,
    },
    /// The request was dropped, because its login is gone.
    Abandoned,
    Saved,
    NotSaved {
        conflict: bool,
        lease_lost: bool,
        error: E,
    },
    Released,
    NotReleased {
        error: E,
    },
    Woke,
}

/// What a read of the store has found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Found<E> {
    Empty,
    Record(Box<StoredRecord>),
    /// Something that is no record.
    Corrupt(E),
    /// A record that this process can't read.
    Locked(E),
    /// The store could not be read.
    Unavailable(E),
}

/// The tokens of one answer of the refresh endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Minted {
    /// `None`: the old one stays valid (RFC 6749 section 6).
    pub(crate) refresh_token: Option<RefreshToken>,
    pub(crate) issued: IssuedToken,
}

/// Why a refresh request failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestFailure<E> {
    pub(crate) class: FailureClass,
    pub(crate) retry_after: Option<Duration>,
    /// A rotated refresh token that a faulty answer nevertheless held.
    pub(crate) rotated: Option<RefreshToken>,
    pub(crate) error: E,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure<E> {
    /// Another login has taken the place of the one that was meant.
    LoginChanged,
    SignedOut,
    NothingStored,
    ShutDown,
    /// An M2M token, or a mode that it does not act in.
    NotRefreshable,
    /// It was meant for an M2M token, and there is none.
    NotM2m,
    /// Too many refreshes were caused by 401s to fresh tokens.
    RefreshLimited,
    /// The revisions are used up.
    NoRevisionLeft,
    /// TeamUp has refused the refresh token. `error` is `None` where another process was told.
    Rejected {
        error: Option<E>,
        after_lost_answer: bool,
    },
    /// The refresh request failed, and is not repeated before `until`.
    Request {
        class: FailureClass,
        error: E,
        until: Moment,
    },
    /// The API has refused the M2M token, and there is no other. Nothing is read before `until`.
    M2mRefused {
        until: Moment,
    },
    /// The source of the M2M token could not be read, and is not asked again before `until`.
    M2mSource {
        error: E,
        until: Moment,
    },
    /// The store could not be used, and is not asked again before `until`.
    Store {
        cause: StoreCause<E>,
        until: Moment,
    },
    /// The newest record is not in the store.
    Unsaved(StoreCause<E>),
    /// The answer to a refresh request was lost, and nobody knows whether the token is spent.
    OutcomeUnknown(E),
    /// The lease could not be given back, and counts as held until it runs out.
    NotReleased(E),
}

/// Why the store could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StoreCause<E> {
    /// Another process had the lease for as long as it was waited for.
    Busy,
    Error(E),
}

/// What happened, for whoever listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened<E> {
    RefreshStarted {
        mode: RequestMode,
        reason: Reason,
        remaining: Option<Duration>,
    },
    RefreshSucceeded {
        mode: RequestMode,
        revision: u64,
        issued: IssuedToken,
    },
    RefreshFailed {
        mode: RequestMode,
        failure: Failure<E>,
    },
    /// One refresh request failed and another follows after `pause`.
    RetryingRequest {
        mode: RequestMode,
        error: E,
        pause: Duration,
    },
    /// Another process has refreshed, or logged in.
    Adopted {
        revision: u64,
        login_changed: bool,
        /// Of each mode's access token, in the order of `RequestMode::ALL`.
        expires_at: [Option<SystemTime>; 2],
    },
    /// Another process has signed out.
    SignedOutElsewhere {
        revision: u64,
    },
    LeaseLost,
    NotSaved {
        cause: StoreCause<E>,
        tries: u32,
        pause: Duration,
    },
    SavedAfterAll {
        revision: u64,
    },
    LoggedIn {
        revision: u64,
        /// Of each mode's access token, in the order of `RequestMode::ALL`.
        expires_at: [Option<SystemTime>; 2],
    },
    SignedOut {
        revision: u64,
    },
    /// Another M2M token is in use.
    M2mTokenReplaced,
    RefreshLimited {
        mode: RequestMode,
        opened: bool,
    },
    NotReleased {
        error: E,
    },
    /// The answer to a request whose login is gone.
    AnswerWithoutLogin,
}

/// What a call of the machine leads to, beside its answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Effects<E> {
    /// What requests see has changed.
    pub(crate) publish: bool,
    /// What the status tells has changed.
    pub(crate) changed: bool,
    pub(crate) wake: Vec<(Ticket, Result<(), Failure<E>>)>,
    pub(crate) happened: Vec<Happened<E>>,
}

impl<E> Default for Effects<E> {
    fn default() -> Self {
        Effects { publish: false, changed: false, wake: Vec::new(), happened: Vec::new() }
    }
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::RefreshSoon => "refresh_soon",
            Reason::Expired => "expired",
            Reason::Unauthorized => "unauthorized",
            Reason::RefusedRoute => "refused_route",
            Reason::Requested => "requested",
        }
    }
}

impl<E> Failure<E> {
    /// Must a person log in?
    pub(crate) fn is_login_required(&self) -> bool {
        matches!(
            self,
            Failure::SignedOut
                | Failure::NothingStored
                | Failure::Rejected { .. }
                | Failure::Request { class: FailureClass::ProbablyRejected, .. }
        )
    }
}
