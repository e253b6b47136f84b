//! Which bodies can be sent again.
//!
//! After a 401 the layer repeats a request once, with a new token. Whether it can depends on the
//! body: bytes in memory can be sent twice, a stream that is gone can't. [`RepeatableBody`] tells
//! the two apart, for each body as it stands and before anything is sent.
//!
//! | body | sent again |
//! | --- | --- |
//! | `()`, `Empty`, `Full`, `Bytes`, `String` | yes |
//! | `Option`, `Either`, `Box` of one that can | yes |
//! | `BoxBody`, `UnsyncBoxBody`, `Incoming` | no |
//! | [`SendOnce`] around any body | no, by your own choice |

mod repeatable;
mod send_once;

pub use repeatable::RepeatableBody;
pub use send_once::SendOnce;
