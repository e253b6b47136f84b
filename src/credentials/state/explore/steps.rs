//! What may happen to a world, and how often.

use super::super::*;
use super::world::World;

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

impl World {
    /// What may happen now.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = self.free_steps();
        if self.events_left == 0 {
            return steps;
        }
        steps.extend([
            Step::Ask(RequestMode::Provider, Reason::Unauthorized),
            Step::Ask(RequestMode::Customer, Reason::Expired),
            Step::LogIn,
            Step::SignOut,
            Step::Flush,
            Step::Close,
            Step::LeasesRunOut,
            Step::TokensExpire,
        ]);
        if self.free_for_other() {
            let others = [Step::OtherHolds, Step::OtherRefreshes, Step::OtherLogsIn];
            steps.extend(others);
            steps.push(Step::OtherSignsOut);
        }
        let Some((_, action)) = &self.action else { return steps };
        let endings: &[Ending] = match action {
            Action::AcquireLease | Action::Save { .. } | Action::ReleaseLease { .. } => {
                &[Ending::Fails, Ending::FailsButIsDone]
            }
            Action::Load => &[Ending::Fails],
            Action::SendRefresh { .. } => &[
                Ending::Fails,
                Ending::FailsButIsDone,
                Ending::WithoutRotation,
                Ending::WithRotatedToken,
                Ending::Transient,
                Ending::NotTheEndpoint,
                Ending::Configuration,
            ],
            Action::ReadSource | Action::Sleep { .. } | Action::Idle => &[],
        };
        steps.extend(endings.iter().map(|ending| Step::End(*ending)));
        match action {
            Action::Load | Action::Sleep { .. } => {
                steps.extend([Step::Die { done: false }, Step::Replace(Delay::Never)]);
            }
            Action::SendRefresh { .. } => {
                steps.extend([Step::Die { done: false }, Step::Die { done: true }]);
            }
            _ => steps.extend([
                Step::Die { done: false },
                Step::Die { done: true },
                Step::Replace(Delay::Done),
                Step::Replace(Delay::Later),
                Step::Replace(Delay::Never),
            ]),
        }
        steps
    }

    /// What happens by itself, and costs nothing.
    pub(super) fn free_steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        match &self.action {
            Some((_, Action::Sleep { .. })) if !self.state.queue.is_empty() => {
                steps.push(Step::End(Ending::Early));
            }
            Some(_) => steps.push(Step::End(Ending::Well)),
            None if self.state.has_work() => steps.push(Step::Next),
            None => {}
        }
        if self.delayed.is_some() {
            steps.push(Step::Delayed);
        }
        if self.holder.is_some_and(|holder| holder.lease.is_none()) {
            steps.push(Step::OtherReleases);
        }
        steps
    }

    /// The next step when nothing unusual happens any more.
    pub(super) fn usual_step(&self) -> Option<Step> {
        self.free_steps().into_iter().next()
    }

    /// The next step on the way to rest, where pauses are no longer cut short.
    pub(super) fn step_to_rest(&self) -> Option<Step> {
        match &self.action {
            Some((_, Action::Sleep { .. })) => Some(Step::End(Ending::Well)),
            _ => self.usual_step(),
        }
    }
}
