//! A body that remembers, up to a cap, what it has sent.

mod body;
mod layer;
mod recorder;
mod tape;

pub use body::ReplayBody;
pub use layer::{ReplayBodyLayer, ReplayBodyService};

/// The cap where none is given: 64 KiB.
const DEFAULT_MAX_BYTES: usize = 64 * 1024;
