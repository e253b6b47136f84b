//! The single flight and the cell under a checker of interleavings: each scene is run once for each
//! order in which its threads may run.
//!
//! | scenes | what is real | orders |
//! | --- | --- | --- |
//! | `desk` | `Desk`, `Completion`, `Memory`, `SnapshotCell`; the driver is its protocol alone | all of them |
//! | `whole` | all of the credential and the layer; the endpoint and the store are scripted | so many drawn by lot, half of them with few preemptions (PCT) |
//!
//! [`crate::sync::explored`] says what the checker sees and what it takes as given. A longer run:
//!
//! ```sh
//! RUSTFLAGS="--cfg heavy_tests" INTERLEAVINGS=100000 cargo test --lib interleavings -- --nocapture
//! ```

mod desk;
mod scripted;
mod whole;

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};

use crate::sync::explored::explore;

/// How many orders of a scene are drawn by lot where `INTERLEAVINGS` says nothing.
const SHARE: usize = 3000;

/// How often one thread is stopped for the sake of another, in the half where that is bounded.
const PREEMPTIONS: usize = 3;

/// Runs a small scene in every order.
fn in_every_order(name: &str, scene: impl Fn() + Send + Sync + 'static) {
    let orders = explore(DfsScheduler::new(None, false), scene);
    println!("interleavings: {name}: all {orders} orders");
}

/// Runs a scene in orders that are drawn by lot.
fn in_many_orders(name: &str, scene: impl Fn() + Clone + Send + Sync + 'static) {
    let orders = match std::env::var("INTERLEAVINGS") {
        Ok(count) => count.parse().expect("INTERLEAVINGS is a number"),
        Err(_) => SHARE,
    };
    let at_random = explore(RandomScheduler::new(orders / 2), scene.clone());
    let with_few = explore(PctScheduler::new(PREEMPTIONS, orders / 2), scene);
    println!(
        "interleavings: {name}: {at_random} orders at random, {with_few} with few preemptions"
    );
}
