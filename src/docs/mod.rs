//! Pages on how to use the crate well.

pub mod ordering;
