//! An answer as it came, before anybody has read it.

use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use crate::error::BoxError;

/// How many bytes of a body are kept: 64 KiB. An answer of the endpoint needs a few hundred.
pub(crate) const BODY_LIMIT: usize = 64 * 1024;

/// The status, the headers, and as much of the body as arrived, up to [`BODY_LIMIT`].
///
/// It holds fresh tokens, so there is no `Debug` of it, and the body is wiped when it is dropped.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
    pub(crate) end: BodyEnd,
}

/// How a body ended.
pub(crate) enum BodyEnd {
    /// As it should: what is kept is all of it.
    Whole,
    /// It went on after [`BODY_LIMIT`] bytes.
    TooLong,
    /// It broke off, and this is why.
    Broken(BoxError),
}
