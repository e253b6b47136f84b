//! Responses of the refresh endpoint in JSON: no panic, no token in an error, whatever they say.
//!
//! The first byte chooses the status and whether the body arrived whole.
#![no_main]

use http::StatusCode;
use libfuzzer_sys::fuzz_target;
use tower_teamup_auth::fuzzing::response;

const STATUSES: [u16; 8] = [200, 201, 302, 400, 401, 403, 429, 502];

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let status = StatusCode::from_u16(STATUSES[usize::from(first % 8)]).expect("a status");
    response("application/json", status, first & 8 == 0, body);
});
