//! Sequences of steps that a list of bytes chooses: what a fuzzer brings.

use super::super::*;
use super::check::{check_end, checked_step};
use super::steps::{Ending, Step};
use super::world::World;

/// The most events of one sequence; after them the world goes on by itself.
const EVENTS: u8 = 40;

/// Takes the steps that `choices` name and checks each, and the rest that follows.
///
/// A byte below 128 lets the worker go on. Any other is a number in the list of all that may happen.
///
/// # Panics
///
/// When a guarantee is broken. The message has the steps that led there.
pub(crate) fn take_chosen_steps(choices: &[u8]) {
    let Some((first, choices)) = choices.split_first() else { return };
    let mut world = World::new(first % 4 > 0, EVENTS);
    let mut taken = Vec::new();
    for choice in choices {
        let usual = world.usual_step().filter(|_| *choice < 128);
        let Some(step) = usual.or_else(|| chosen(&world, usize::from(*choice))) else { break };
        taken.push(step);
        if let Err(broken) = checked_step(&mut world, step) {
            panic!("{broken}, after {taken:?}");
        }
    }
    if let Err(broken) = check_end(&mut world, |_| false) {
        panic!("at rest: {broken}, after {taken:?}");
    }
}

/// One of the steps that may be taken now, and of those that the exploration leaves out to stay
/// within its bound.
fn chosen(world: &World, choice: usize) -> Option<Step> {
    let mut steps = world.steps();
    if world.events_left > 0 {
        for mode in RequestMode::ALL {
            let reasons = [
                Reason::RefreshSoon,
                Reason::Expired,
                Reason::Unauthorized,
                Reason::RefusedRoute,
                Reason::Requested,
            ];
            steps.extend(reasons.map(|reason| Step::Ask(mode, reason)));
        }
        steps.extend([Step::LogInOver, Step::SignOutOver]);
        // From 16 ms to some 70 minutes.
        steps.extend((4..23).step_by(2).map(|power| Step::TimePasses { power }));
        if let Some((_, Action::SendRefresh { .. })) = &world.action {
            steps.push(Step::End(Ending::RateLimited));
            steps.push(Step::End(Ending::ProbablyRejected));
        }
        if let Some((_, Action::Load)) = &world.action {
            steps.extend([Step::End(Ending::Corrupt), Step::End(Ending::Locked)]);
        }
    }
    if steps.is_empty() { None } else { steps.get(choice % steps.len()).copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_p2_p3_p10_p11_p12_hold_whatever_steps_are_chosen() {
        for seed in 0..400 {
            let mut random = fastrand::Rng::with_seed(seed);
            let choices: Vec<u8> = (0..160).map(|_| random.u8(..)).collect();
            take_chosen_steps(&choices);
        }
    }
}
