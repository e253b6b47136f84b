//! Reading a request's body.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use super::entry::{Received, hex};

/// How much of a body is kept, in bytes; the rest is counted and digested only.
pub(super) const KEPT: usize = 64 * 1024;

/// Reads a body to its end.
///
/// # Errors
///
/// When the client breaks off.
pub(super) async fn receive(mut body: Incoming) -> Result<Received, hyper::Error> {
    let mut size = 0;
    let mut digest = Sha256::new();
    let mut head = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                size += data.len() as u64;
                digest.update(&data);
                head.extend_from_slice(&data[..data.len().min(KEPT - head.len())]);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let sha256 = hex(&digest.finalize());
    Ok(Received { size, sha256, trailers, head: Bytes::from(head) })
}
