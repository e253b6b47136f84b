//! What may happen to a world.

use super::super::*;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Ask(RequestMode, Reason),
    LogIn,
    SignOut,
    /// The same over whatever the store holds.
    LogInOver,
    SignOutOver,
    Flush,
    Close,
    /// The worker asks for its next action.
    Next,
    /// The action ends like this.
    End(Ending),
    /// The worker is lost; whether its action was done.
    Die {
        done: bool,
    },
    /// The worker is replaced; when its action is done, if ever.
    Replace(Delay),
    /// What the replaced worker was doing is done.
    Delayed,
    LeasesRunOut,
    TokensExpire,
    /// So many milliseconds pass: two to this power.
    TimePasses {
        power: u8,
    },
    OtherHolds,
    OtherReleases,
    OtherRefreshes,
    OtherLogsIn,
    OtherSignsOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ending {
    Well,
    /// An operation has come while the worker slept.
    Early,
    /// It was not done.
    Fails,
    /// It was done, and a failure is reported.
    FailsButIsDone,
    WithoutRotation,
    WithRotatedToken,
    Transient,
    /// The same, with a `Retry-After`.
    RateLimited,
    NotTheEndpoint,
    Configuration,
    ProbablyRejected,
    /// Something that is no record was found.
    Corrupt,
    /// A record was found that this process can't read.
    Locked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Delay {
    Done,
    Later,
    Never,
}
