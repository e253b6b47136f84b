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

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Moment = Moment { monotonic: 5, wall: 784_111_777_000 };

    #[test]
    fn seconds_and_dates_are_read_and_the_rest_is_ignored() {
        assert_eq!(httpdate::fmt_http_date(NOW.wall_time()), "Sun, 06 Nov 1994 08:49:37 GMT");
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120 ", Some(120)),
            ("3600", Some(3600)),
            ("3601", Some(3600)),
            ("18446744073709551616", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:50 GMT", Some(13)),
            ("Sunday, 06-Nov-94 08:49:50 GMT", Some(13)),
            ("Sun Nov  6 08:49:50 1994", Some(13)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3600)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 06 Nov 1994", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
            assert_eq!(
                retry_after(&headers, NOW),
                seconds.map(Duration::from_secs),
                "{value:?} at {:?}",
                NOW.wall_time().duration_since(UNIX_EPOCH)
            );
        }
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers, NOW), None);
        headers.insert(RETRY_AFTER, HeaderValue::from_bytes(b"1\xFF").unwrap());
        assert_eq!(retry_after(&headers, NOW), None);
    }
}
