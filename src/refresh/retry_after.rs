//! `Retry-After`: how long the endpoint asks to be left alone (RFC 9110 section 10.2.3).

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::token::Moment;

/// The longest wait that is believed: one hour. Asking once an hour troubles nobody, and a
/// misconfigured proxy must not silence a program for a year.
const LONGEST: Duration = Duration::from_secs(3600);

/// Reads seconds or an HTTP date; a date is judged by the wall clock, and one in the past means
/// no wait. What is neither is ignored.
pub(crate) fn retry_after(headers: &HeaderMap, now: Moment) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        date.duration_since(now.wall_time()).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(LONGEST))
}
