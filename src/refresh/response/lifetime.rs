//! `expires_in`: an integer of seconds or null, and what else may stand there.
//!
//! TeamUp documents it as always present; RFC 6749 section 5.1 does not, so it may be missing. A
//! fresh pair is never thrown away because its lifetime makes no sense: the lifetime is then taken
//! as unknown, as null is, and only a 401 leads to a refresh.
//!
//! | `expires_in` | lifetime |
//! | --- | --- |
//! | missing, null, an empty element | unknown |
//! | a positive integer, as a number or a text | that many seconds |
//! | a positive float | its whole seconds, rounded down |
//! | more than ten years | ten years |
//! | less than one second, zero, negative | unknown, and odd |
//! | anything else | unknown, and odd |

use std::time::Duration;

use super::fields::Field;

/// Ten years. Far from every overflow, and longer than any token is used.
const LONGEST_SECS: u64 = 10 * 365 * 24 * 3600;

pub(super) struct Lifetime {
    pub(super) known: Option<Duration>,
    /// Neither null nor a positive number: TeamUp documents nothing like it.
    pub(super) odd: bool,
}

pub(super) fn of(field: &Field) -> Lifetime {
    let seconds = match field {
        Field::Missing | Field::Null => return Lifetime { known: None, odd: false },
        Field::Number(number) => seconds(number),
        Field::Text(text) => seconds(text.trim()),
        Field::Other => None,
    };
    let known = seconds.filter(|&seconds| seconds > 0);
    Lifetime {
        known: known.map(|seconds| Duration::from_secs(seconds.min(LONGEST_SECS))),
        odd: known.is_none(),
    }
}

fn seconds(number: &str) -> Option<u64> {
    // The parser of floats also takes words: "inf", "nan".
    if !number.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return None;
    }
    // The cast saturates, and rounds towards zero.
    number.parse().ok().or_else(|| number.parse::<f64>().ok().map(|seconds| seconds as u64))
}
