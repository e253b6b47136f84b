use super::*;
use crate::store::record::{LoginId, RecordContent};

fn record() -> StoredRecord {
    let tokens = crate::TokenSet::new("s3cret".parse().unwrap());
    StoredRecord::new(LoginId::from_bytes([7; 16]), 3, RecordContent::Tokens(tokens))
        .with_base_url("https://goteamup.com/api/v2")
}

fn plain() -> RecordFormat {
    RecordFormat::plain("file")
}

#[track_caller]
fn is_corrupt(result: Result<StoredRecord, StoreError>, said: &str) {
    let error = result.unwrap_err();
    assert!(error.is_corrupt(), "{error:?}");
    assert!(error.to_string().contains(said), "{error}");
}

#[track_caller]
fn is_locked(result: Result<StoredRecord, StoreError>, said: &str) {
    let error = result.unwrap_err();
    assert!(error.is_locked(), "{error:?}");
    assert!(error.to_string().contains(said), "{error}");
}

#[test]
fn without_a_key_json_is_read_and_a_sealed_record_is_locked() {
    let stored = plain().encode(b"a", &record()).unwrap();
    assert_eq!(plain().decode(b"b", b"", &stored).unwrap(), record());
    for sealed in [&b"tower-teamup-auth sealed v1\n..."[..], b"tower-teamup-auth sealed v3\n"] {
        is_locked(plain().decode(b"a", b"", sealed), "it is sealed, and this store has no key");
    }
}

#[test]
fn what_is_no_record_is_corrupt_and_a_newer_one_is_locked() {
    is_corrupt(plain().decode(b"", b"", b""), "empty");
    for torn in [&b"{\"version\":2,"[..], b"tower-teamup-auth sea", b"\0\0\0\0", b"[]"] {
        is_corrupt(plain().decode(b"", b"", torn), "the stored record is not");
    }
    is_locked(plain().decode(b"", b"", b"{\"version\":3}"), "format version 3");
}

#[cfg(feature = "encryption")]
mod with_a_key {
    use super::*;

    fn key(byte: u8) -> EncryptionKey {
        EncryptionKey::from_bytes([byte; 32])
    }

    fn sealed(sealing: Sealing) -> RecordFormat {
        plain().sealed(sealing)
    }

    fn format(byte: u8) -> RecordFormat {
        sealed(Sealing::new(key(byte)))
    }

    #[test]
    fn what_was_sealed_opens_and_shows_nothing_meanwhile() {
        let stored = format(1).encode(b"user-1", &record()).unwrap();
        for secret in [&b"s3cret"[..], b"refresh", b"goteamup"] {
            assert!(!stored.windows(secret.len()).any(|window| window == secret));
        }
        assert_eq!(format(1).decode(b"user-1", b"", &stored).unwrap(), record());
        let again = format(1).encode(b"user-1", &record()).unwrap();
        assert_ne!(stored, again, "a nonce was used twice");
    }

    #[test]
    fn c6_record_of_another_name_or_another_kind_does_not_open() {
        let of_a = format(1).encode(b"a", &record()).unwrap();
        is_corrupt(format(1).decode(b"b", b"", &of_a), "sealed under another name");
        let redis = RecordFormat::plain("redis").sealed(Sealing::new(key(1)));
        is_corrupt(redis.decode(b"a", b"", &of_a), "sealed under another name");
        // Where one part ends and the next begins is part of it.
        let named = |name: &str| Sealing::new(key(1)).sealed_as(name);
        let of_family = sealed(named("a")).for_key("bc").encode(b"", &record()).unwrap();
        for other in [
            sealed(named("ab")).for_key("c"),
            sealed(named("abc")),
            format(1).for_key("abc"),
            format(1).for_key("bc"),
        ] {
            is_corrupt(other.decode(b"abc", b"", &of_family), "sealed under another name");
        }
        let same = sealed(named("a")).for_key("bc");
        assert_eq!(same.decode(b"other", b"", &of_family).unwrap(), record());
    }

    #[test]
    fn named_record_opens_under_any_name_of_the_store() {
        let named = sealed(Sealing::new(key(1)).sealed_as("studio-7"));
        let stored = named.encode(b"tokens", &record()).unwrap();
        assert_eq!(named.decode(b"renamed", b"", &stored).unwrap(), record());
        assert_eq!(format(1).decode(b"studio-7", b"", &stored).unwrap(), record());
        is_corrupt(format(1).decode(b"tokens", b"", &stored), "sealed under another name");
    }

    #[test]
    fn another_key_is_locked_and_an_older_one_opens_until_the_next_save() {
        let stored = format(1).encode(b"a", &record()).unwrap();
        is_locked(format(2).decode(b"a", b"", &stored), "sealed with another key");
        let rotating = sealed(Sealing::new(key(2)).also_open_with(key(1)));
        assert_eq!(rotating.decode(b"a", b"", &stored).unwrap(), record());
        let again = rotating.encode(b"a", &record()).unwrap();
        assert_eq!(format(2).decode(b"a", b"", &again).unwrap(), record());
        is_locked(format(1).decode(b"a", b"", &again), "sealed with another key");
    }

    #[test]
    fn altered_or_torn_record_is_corrupt() {
        let stored = format(1).encode(b"a", &record()).unwrap();
        let body = VERSION_2.len() + 8;
        for at in body..stored.len() {
            let mut altered = stored.clone();
            altered[at] ^= 1;
            is_corrupt(format(1).decode(b"a", b"", &altered), "has been altered");
        }
        for length in 0..stored.len() {
            let error = format(1).decode(b"a", b"", &stored[..length]).unwrap_err();
            assert!(error.is_corrupt(), "{length}: {error:?}");
        }
    }

    #[test]
    fn newer_envelope_is_locked() {
        for newer in [&b"tower-teamup-auth sealed v3\n..."[..], b"tower-teamup-auth sealed v12\n"] {
            is_locked(format(1).decode(b"a", b"", newer), "in a newer way");
        }
    }

    #[test]
    fn plain_record_is_read_only_while_that_is_accepted_and_sealed_at_the_next_save() {
        let stored = plain().encode(b"a", &record()).unwrap();
        is_locked(format(1).decode(b"a", b"", &stored), "accept_plain");
        let accepting = sealed(Sealing::new(key(1)).accept_plain());
        assert_eq!(accepting.decode(b"a", b"", &stored).unwrap(), record());
        let again = accepting.encode(b"a", &record()).unwrap();
        assert_eq!(format(1).decode(b"a", b"", &again).unwrap(), record());
    }

    #[test]
    fn version_1_opens_only_while_that_is_accepted() {
        let json = br#"{"version":1,"revision":3,"refresh_token":"s3cret"}"#;
        let old = seal_version_1(&key(1), b"place", json).unwrap();
        is_locked(format(1).decode(b"a", b"place", &old), "accept_version_1");
        let accepting = |byte| sealed(Sealing::new(key(byte)).accept_version_1());
        let opened = accepting(1).decode(b"a", b"place", &old).unwrap();
        assert_eq!(opened.tokens(), record().tokens());
        is_locked(accepting(2).decode(b"a", b"place", &old), "does not open with this store's key");
        is_locked(accepting(1).decode(b"a", b"other", &old), "does not open");
        let rotating = sealed(Sealing::new(key(2)).also_open_with(key(1)).accept_version_1());
        assert_eq!(rotating.decode(b"a", b"place", &old).unwrap(), opened);
    }

    #[test]
    fn p5_debug_does_not_show_the_key() {
        let sealing = Sealing::new(key(7)).sealed_as("studio-7");
        assert_eq!(
            format!("{sealing:?} {:?}", sealed(sealing.clone())),
            "Sealing(..) RecordFormat(..)"
        );
    }
}

#[cfg(feature = "encryption")]
#[test]
fn f1_version_that_has_no_number_is_none_of_a_newer_program() {
    assert!(of_another_version(b"3\nsealed").is_locked());
    for altered in [&b"\nsealed"[..], b"", b"x\n", b"3", b"3x\n"] {
        assert!(of_another_version(altered).is_corrupt(), "{altered:?}");
    }
}
