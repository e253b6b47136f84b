//! `multipart/form-data` (RFC 7578) of text fields alone.
//!
//! Written here rather than taken from a library: those there are either rest, or stream files from
//! asynchronous readers through a dozen dependencies, and none writes the whole body into one
//! buffer that can be wiped.

use std::iter;

use http::HeaderValue;
use zeroize::Zeroizing;

/// The media type with its boundary, and the body.
pub(super) fn write(
    fields: &[(&'static str, &str)],
    mut body: Zeroizing<Vec<u8>>,
) -> Result<(HeaderValue, Zeroizing<Vec<u8>>), http::Error> {
    let boundary = boundary(fields);
    for (name, value) in fields {
        for part in [
            "--",
            &boundary,
            "\r\nContent-Disposition: form-data; name=\"",
            name,
            "\"\r\n\r\n",
            value,
            "\r\n",
        ] {
            body.extend_from_slice(part.as_bytes());
        }
    }
    for part in ["--", &boundary, "--\r\n"] {
        body.extend_from_slice(part.as_bytes());
    }
    let content_type = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"))?;
    Ok((content_type, body))
}

/// Random, and checked against every value: no value can end its part early (RFC 2046 section
/// 5.1.1).
fn boundary(fields: &[(&'static str, &str)]) -> String {
    let taken = |boundary: &String| fields.iter().any(|(_, value)| value.contains(&**boundary));
    loop {
        let boundary: String = iter::repeat_with(fastrand::alphanumeric).take(40).collect();
        if !taken(&boundary) {
            return boundary;
        }
    }
}
