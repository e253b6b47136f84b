//! The file store's reader: no panic, and what it reads it can write and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_teamup_auth::fuzzing::stored;

fuzz_target!(|data: &[u8]| stored(data));
