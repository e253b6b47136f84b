//! The hash in which Redis keeps a record, of both versions: no panic, and no record whose revision is
//! another than the one beside it.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tower_teamup_auth::fuzzing::redis_hash;

#[derive(Arbitrary, Debug)]
enum Name {
    Revision,
    Record,
    /// As version 1 called the record.
    Tokens,
    Other(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Value {
    Number(u64),
    /// A record of version 1 or 2 with this revision.
    Version1(u64),
    Version2(u64),
    Bytes(Vec<u8>),
}

fuzz_target!(|fields: Vec<(Name, Value)>| {
    let fields = fields.into_iter().map(|(name, value)| {
        let name = match name {
            Name::Revision => b"revision".to_vec(),
            Name::Record => b"record".to_vec(),
            Name::Tokens => b"tokens".to_vec(),
            Name::Other(name) => name,
        };
        let value = match value {
            Value::Number(number) => number.to_string().into_bytes(),
            Value::Version1(revision) => {
                format!(r#"{{"version":1,"revision":{revision},"refresh_token":"r"}}"#).into_bytes()
            }
            Value::Version2(revision) => format!(
                r#"{{"version":2,"revision":{revision},"login":"000102030405060708090a0b0c0d0e0f","state":"signed_out"}}"#
            )
            .into_bytes(),
            Value::Bytes(bytes) => bytes,
        };
        (name, value)
    });
    redis_hash(fields.collect());
});
