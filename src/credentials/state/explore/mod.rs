//! The shipped machine, driven through every sequence of events up to a bound.
//!
//! An event is an operation, a fault of the store or the endpoint, the loss of a worker, a step of a
//! second process, or the passing of much time. Between any two of them the worker goes on by any
//! number of actions. So a bound of two means: every pair of events, each at any point of what the
//! other leads to. Longer sequences are drawn at random.
//!
//! `scripts/explore [EVENTS] [WALKS]` runs it with other bounds. The fuzz target `state_machine` lets
//! libFuzzer choose the steps.

mod check;
mod chosen;
mod possible;
#[cfg(test)]
mod search;
mod steps;
mod world;

#[cfg(fuzzing)]
pub(crate) use chosen::take_chosen_steps;
