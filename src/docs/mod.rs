//! What is worth knowing beyond the types: nothing here but text.

pub mod stacks;
