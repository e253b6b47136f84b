//! Pages on how to use the crate well, and on what it promises.

pub mod fleet;
pub mod guarantees;
pub mod metrics;
pub mod ordering;
