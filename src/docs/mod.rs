//! Pages on how to use the crate well.

pub mod fleet;
pub mod metrics;
pub mod ordering;
