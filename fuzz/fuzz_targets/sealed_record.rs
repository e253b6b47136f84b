//! Sealed records of both versions: altered, torn, renamed, or read with another key. One opens
//! where it belongs, and nowhere else.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tower_teamup_auth::fuzzing::{Envelope, envelope};

#[derive(Arbitrary, Debug)]
struct Case {
    text: Text,
    is_version_1: bool,
    sealed_with: bool,
    opened_with: [bool; 2],
    names: [Option<bool>; 2],
    is_other_kind: bool,
    accepts_version_1: bool,
    lost: u8,
    altered: Option<(u16, u8)>,
}

#[derive(Arbitrary, Debug)]
enum Text {
    Version1,
    Version2,
    SignedOut,
    Other(Vec<u8>),
}

const NAMES: [&[u8]; 3] = [b"", b"name", b"another"];

fuzz_target!(|case: Case| {
    let json = match &case.text {
        Text::Version1 => &br#"{"version":1,"revision":5,"refresh_token":"r1"}"#[..],
        Text::Version2 => {
            br#"{"version":2,"revision":5,"login":"000102030405060708090a0b0c0d0e0f","state":"rejected","refresh_token":"r1"}"#
        }
        Text::SignedOut => {
            br#"{"version":2,"revision":5,"login":"000102030405060708090a0b0c0d0e0f","state":"signed_out"}"#
        }
        Text::Other(bytes) => bytes,
    };
    envelope(&Envelope {
        json,
        is_version_1: case.is_version_1,
        sealed_with: case.sealed_with.into(),
        opened_with: case.opened_with.map(u8::from),
        names: case.names.map(|name| NAMES[name.map_or(0, |name| 1 + usize::from(name))]),
        is_other_kind: case.is_other_kind,
        accepts_version_1: case.accepts_version_1,
        lost: case.lost.into(),
        altered: case.altered.map(|(at, bits)| (at.into(), bits)),
    });
});
