//! `Retry-After`: no panic, never more than ten years, and a number of seconds is that number.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tower_teamup_auth::fuzzing::retry_after_of;

fuzz_target!(|data: &[u8]| {
    retry_after_of(data);
    if let Some(seconds) = data.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) {
        let wait = retry_after_of(seconds.to_string().as_bytes());
        assert_eq!(wait, Some(Duration::from_secs(seconds.min(315_360_000))));
    }
});
