//! A response as it came, before anything of it is interpreted.

use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use crate::error::BoxError;

/// How many bytes of a body are kept: 64 KiB. A response of the endpoint needs a few hundred.
pub(crate) const BODY_LIMIT: usize = 64 * 1024;

/// The status, the headers, and as much of the body as arrived, up to [`BODY_LIMIT`].
///
/// It holds fresh tokens, so it has no `Debug`, and the body is wiped when it is dropped.
pub(crate) struct RawResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
    pub(crate) end: BodyEnd,
}

/// Why nothing more of a body was read.
pub(crate) enum BodyEnd {
    /// What is kept is the whole body, or the whole document in it.
    Whole,
    /// It went on after [`BODY_LIMIT`] bytes.
    TooLong,
    /// It broke off, for this reason.
    Broken(BoxError),
}
