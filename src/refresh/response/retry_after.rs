//! `Retry-After`: how long the endpoint asks to be left alone (RFC 9110 section 10.2.3).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

use crate::token::Moment;

/// Ten years, in place of anything longer: a wait is added to a clock, and must not overflow it.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Reads seconds or an HTTP date. What is neither is ignored; a date in the past means no wait.
///
/// A date is judged by the response's own `Date`, because both come from one clock; only without
/// one by the wall clock of this machine.
pub(crate) fn retry_after(headers: &HeaderMap, now: Moment) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        let answered_at = date(headers).unwrap_or_else(|| now.wall_time());
        until.duration_since(answered_at).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(LONGEST))
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Moment = Moment { monotonic: 5, wall: 784_111_777_000 };

    const TEN_YEARS: u64 = 315_360_000;

    #[test]
    fn seconds_and_dates_are_read_and_the_rest_is_ignored() {
        assert_eq!(httpdate::fmt_http_date(NOW.wall_time()), "Sun, 06 Nov 1994 08:49:37 GMT");
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120 ", Some(120)),
            ("1800", Some(1800)),
            ("3601", Some(3601)),
            ("86400", Some(86_400)),
            ("315360001", Some(TEN_YEARS)),
            ("18446744073709551616", Some(TEN_YEARS)),
            ("Sun, 06 Nov 1994 08:49:50 GMT", Some(13)),
            ("Sunday, 06-Nov-94 08:49:50 GMT", Some(13)),
            ("Sun Nov  6 08:49:50 1994", Some(13)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(86_400)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(TEN_YEARS)),
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

    #[test]
    fn b8_a_date_is_judged_by_the_date_of_its_response() {
        for (date, seconds) in [
            // The server's clock is an hour ahead of ours, or a day behind.
            ("Sun, 06 Nov 1994 09:49:37 GMT", 1800),
            ("Sat, 05 Nov 1994 08:49:37 GMT", 91_800),
            ("Sun, 06 Nov 1994 10:20:00 GMT", 0),
            ("yesterday", 5400),
            ("", 5400),
        ] {
            let mut headers = HeaderMap::new();
            let until = HeaderValue::from_static("Sun, 06 Nov 1994 10:19:37 GMT");
            headers.insert(RETRY_AFTER, until);
            headers.insert(DATE, HeaderValue::from_static(date));
            let wait = retry_after(&headers, NOW);
            assert_eq!(wait, Some(Duration::from_secs(seconds)), "{date}");
        }
    }
}
