//! The words that the model, the world and the histories share.

use std::time::Duration;

use tower_teamup_auth::RequestMode;

/// What every secret of these tests holds, and nothing else does.
pub(crate) const SECRET: &str = "s3cret";

/// A second in milliseconds.
pub(crate) const MILLIS: i64 = 1000;

/// How far the model's reading of the time may be off, in milliseconds: timers wake on whole ones,
/// and the machine's wall clock is read at different places.
pub(crate) const SLACK: i64 = 50;

/// How long a call waits for a token at most, and the one that starts an early refresh for that.
pub(crate) const WAIT: Duration = Duration::from_secs(30);
pub(crate) const EARLY_WAIT: Duration = Duration::from_secs(3);

/// How long the API takes for an answer at most, in seconds.
pub(crate) const SLOWEST_ANSWER: u64 = 12;

/// One reading of both clocks, in milliseconds since the history began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) mono: i64,
    pub(crate) wall: i64,
}

/// The place of a refresh token: of which login it is, and how many there were before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refresh {
    pub(crate) login: usize,
    pub(crate) index: usize,
}

impl Refresh {
    pub(crate) fn text(self) -> String {
        format!("{SECRET}-refresh-{}-{}", self.login, self.index)
    }

    pub(crate) fn read(text: &str) -> Self {
        let mut numbers = text.rsplit('-').map(|number| number.parse().expect("a number"));
        let (index, login) = (numbers.next().unwrap(), numbers.next().unwrap());
        Refresh { login, index }
    }
}

/// What an access token was minted for, and how long it lives from when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mint {
    pub(crate) mode: RequestMode,
    pub(crate) refresh: Refresh,
    pub(crate) lifetime: Option<u64>,
    /// As the clocks of the process stood that has asked for it.
    pub(crate) from: Now,
}

/// What a process finds in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Tokens(Refresh),
    Rejected(Refresh),
    SignedOut,
}

/// When an access token expires, as a credential judges it that has seen it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Never,
    /// A clock was set before the credential had seen it.
    Unknown,
    At {
        due: Now,
        window: i64,
    },
}

impl Expiry {
    pub(crate) fn after(lifetime: Option<u64>, now: Now) -> Self {
        let Some(lifetime) = lifetime else { return Expiry::Never };
        let lifetime = lifetime as i64 * MILLIS;
        let due = Now { mono: now.mono + lifetime, wall: now.wall + lifetime };
        Expiry::At { due, window: (lifetime / 5).min(300 * MILLIS) }
    }

    /// As a process judges it that learns of it now: the time of the wall clock is all that is stored, and what
    /// is left is the lifetime to it.
    pub(crate) fn seen_at(self, now: Now) -> Self {
        match self {
            Expiry::At { due, window } => {
                let by_this_clock = ((due.wall - now.wall) / 5).min(300 * MILLIS);
                let due = Now { mono: due.wall - (now.wall - now.mono), ..due };
                Expiry::At { due, window: window.max(by_this_clock) }
            }
            other => other,
        }
    }

    /// Good by both clocks.
    pub(crate) fn is_good(self, now: Now) -> bool {
        match self {
            Expiry::Never => true,
            Expiry::Unknown => false,
            Expiry::At { due, .. } => now.mono + SLACK < due.mono && now.wall + SLACK < due.wall,
        }
    }

    /// Good by one of the clocks at least.
    pub(crate) fn is_believed(self, now: Now) -> bool {
        match self {
            Expiry::Never => true,
            Expiry::Unknown => false,
            Expiry::At { due, .. } => now.mono + SLACK < due.mono || now.wall + SLACK < due.wall,
        }
    }

    /// Over by both clocks.
    pub(crate) fn is_over(self, now: Now) -> bool {
        match self {
            Expiry::Never | Expiry::Unknown => false,
            Expiry::At { due, .. } => now.mono > due.mono + SLACK && now.wall > due.wall + SLACK,
        }
    }

    /// May a refresh be due or advised? Jitter only ever makes it later.
    pub(crate) fn is_advised(self, now: Now) -> bool {
        match self {
            Expiry::Never => false,
            Expiry::Unknown => true,
            Expiry::At { due, window } => {
                let left = (due.mono - now.mono).min(due.wall - now.wall);
                left <= window + SLACK
            }
        }
    }
}

/// How the API answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 200 if the token is alive, else 401.
    Judged,
    Fine,
    Unauthorized,
    /// 401, and the challenge says that another token would fare no better.
    InsufficientScope,
    Forbidden,
    Unavailable,
    /// The inner service fails.
    Fails,
}

impl Answer {
    pub(crate) fn status(self) -> Option<u16> {
        match self {
            Answer::Judged | Answer::Fine => Some(200),
            Answer::Unauthorized | Answer::InsufficientScope => Some(401),
            Answer::Forbidden => Some(403),
            Answer::Unavailable => Some(503),
            Answer::Fails => None,
        }
    }
}

/// How a refresh request failed, as far as the credential can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    /// `retry_after` in seconds.
    Transient {
        retry_after: u64,
    },
    Unknown,
    /// Unknown too, but the answer told the next refresh token.
    Rotated,
    /// By TeamUp, in its own words about the refresh token.
    Refused,
    /// By TeamUp, in other words.
    Doubted,
    /// What was asked for was refused, not the refresh token.
    Configuration,
    /// By something that is not the endpoint.
    Protocol,
}
