//! Tokens, their lifetimes, and the clock that judges them.
//!
//! ```
//! use std::time::Duration;
//! use tower_teamup_auth::{RequestMode, TokenSet};
//! use tower_teamup_auth::token::AccessToken;
//!
//! # fn main() -> Result<(), tower_teamup_auth::Error> {
//! let tokens = TokenSet::new("a-refresh-token".parse()?).with_access_token(
//!     RequestMode::Provider,
//!     AccessToken::new("an-access-token")?,
//!     Some(Duration::from_secs(7200)),
//! );
//! assert!(!format!("{tokens:?}").contains("a-refresh-token"));
//! # Ok(())
//! # }
//! ```

mod clock;
mod secret;
mod set;
mod wiped_text;

pub use clock::Clock;
pub(crate) use clock::Deadline;
pub(crate) use clock::Moment;
pub use secret::{AccessToken, RefreshToken};
pub(crate) use set::IssuedToken;
pub use set::TokenSet;
#[cfg(feature = "xml")]
pub(crate) use wiped_text::append;
pub(crate) use wiped_text::unquote;
