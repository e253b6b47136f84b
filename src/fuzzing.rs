//! Doors for `fuzz/`, to what reads text that others have written. Built under `cfg(fuzzing)` alone,
//! which cargo-fuzz sets, so they are no part of the crate as its users get it.
//!
//! Each door checks what must hold whatever comes in; a fuzzer only has to bring something in.

#![allow(missing_docs, reason = "nobody but the fuzz targets sees them")]

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use zeroize::Zeroizing;

pub use crate::store::fuzzing::{Envelope, envelope, redis_hash};

use crate::refresh::{BodyEnd, FailureClass, RawResponse, decode, retry_after};
use crate::store::{RecordFormat, StoredRecord};
use crate::token::{Moment, RefreshToken};

/// The refresh token that was spent. A response that quotes it must not bring it into an error.
pub const SPENT: &str = "spent-refresh-token";

/// 6 November 1994, 08:49:37: the date of RFC 9110's examples.
const NOW: Moment = Moment { monotonic: 0, wall: 784_111_777_000 };

/// A response of the refresh endpoint.
pub fn response(content_type: &'static str, status: StatusCode, whole: bool, body: &[u8]) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let end = if whole { BodyEnd::Whole } else { BodyEnd::Broken("it broke off".into()) };
    let spent = RefreshToken::new(SPENT).expect("visible ASCII");
    let response = RawResponse { status, headers, body: Zeroizing::new(body.to_vec()), end };
    match decode(response, &spent, NOW) {
        Ok(response) => {
            assert!(status.is_success());
            let refresh_token = response.refresh_token.as_ref().map(RefreshToken::expose);
            for token in [Some(response.access_token.expose()), refresh_token].into_iter().flatten()
            {
                assert!(
                    !token.is_empty() && token.bytes().all(|byte| (b' '..=b'~').contains(&byte))
                );
                // A longer one can't stand in a `Debug` of a few fields by chance.
                if token.len() > 40 {
                    assert!(!format!("{response:?}").contains(token));
                }
            }
        }
        Err(mut error) => {
            let mut next: Option<&dyn std::error::Error> = Some(&error);
            while let Some(said) = next {
                for text in [said.to_string(), format!("{said:?}"), format!("{said:#?}")] {
                    assert!(!text.contains(SPENT), "{text}");
                }
                next = said.source();
            }
            assert!(error.take_rotated().is_none_or(|rotated| rotated != spent));
            // Nothing but these statuses ends a login.
            if matches!(error.class(), FailureClass::Rejected | FailureClass::ProbablyRejected) {
                assert!(matches!(status.as_u16(), 400 | 401 | 403));
            }
        }
    }
}

/// The `WWW-Authenticate` of a 401; several, one to a line.
pub fn challenges(text: &[u8]) -> bool {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    let insufficient = crate::middleware::challenge::insufficient_scope(&headers);
    if insufficient {
        // Either may be written with escapes.
        let mut text = text.to_ascii_lowercase();
        text.retain(|byte| *byte != b'\\');
        let has = |what: &[u8]| text.windows(what.len()).any(|window| window == what);
        assert!(has(b"error") && has(b"insufficient_scope"));
    }
    insufficient
}

/// A `Retry-After`.
pub fn retry_after_of(value: &[u8]) -> Option<Duration> {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_bytes(value).ok()?);
    let wait = retry_after(&headers, NOW);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(315_360_000)));
    wait
}

/// What a store finds in its place.
pub fn stored(bytes: &[u8]) {
    let Ok(record) = RecordFormat::plain("file").decode(b"name", b"", bytes) else { return };
    if let Some(tokens) = record.tokens() {
        let refresh_token = tokens.refresh_token().expose();
        assert!(refresh_token.len() <= 40 || !format!("{record:?}").contains(refresh_token));
    }
    // What can be read can be written, and read again as the same.
    assert!(StoredRecord::from_json(record.to_json().as_bytes()).ok() == Some(record));
}

/// Steps of a world around the state machine of a credential; each byte chooses one.
pub fn state_machine(choices: &[u8]) {
    crate::credentials::take_chosen_steps(choices);
}
