//! The state machine of a credential under operations, outcomes, faults and other processes in any
//! order. Each step is judged by the checks of the exploration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_teamup_auth::fuzzing::state_machine;

fuzz_target!(|data: &[u8]| state_machine(data.get(..400).unwrap_or(data)));
