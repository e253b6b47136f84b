//! Errors whose type is not known here.

use std::error::Error as StdError;
use std::sync::Arc;

/// An error of any kind, boxed, as tower's own middleware returns it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error that several others can have as their source.
pub(crate) type SharedError = Arc<dyn StdError + Send + Sync>;
