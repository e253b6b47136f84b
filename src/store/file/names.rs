//! File names made from keys.
//!
//! Any text is a key, and no two keys meet: not where letters differ in case alone and the file
//! system does not tell them apart, not where it composes accents, and not at names that some
//! system keeps for itself. So lower-case letters, digits and `-` stand for themselves, and every
//! other byte of the key's UTF-8 is `_` and two hexadecimal digits. A name begins with a word of
//! ours and has the only full stop before its end, so it is neither hidden nor a device, and no name
//! is that of a file that belongs to another.

use sha2::{Digest, Sha256};

const PREFIX: &str = "login-";
/// A key that is too long to be a name is its hash, and is written down beside the file.
const LONG_PREFIX: &str = "hash-";
const SUFFIX: &str = ".json";

/// How long a written key may be. Names have 255 bytes at most, on some encrypted file systems 143,
/// and the files beside the store add 22 to them.
const LONGEST: usize = 100;

/// What a file's name says of its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    Key(String),
    /// It is in a file of its own.
    Long,
}

/// The name of the file for `key`, and whether the key is in it.
pub(super) fn name_of(key: &str) -> (String, bool) {
    let mut written = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => written.push(char::from(byte)),
            _ => written.push_str(&format!("_{byte:02x}")),
        }
    }
    if written.len() <= LONGEST {
        return (format!("{PREFIX}{written}{SUFFIX}"), true);
    }
    let hash: String =
        Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    (format!("{LONG_PREFIX}{hash}{SUFFIX}"), false)
}

/// The key whose file has this name; `None` for a file that is no key's.
pub(super) fn key_of(name: &str) -> Option<Named> {
    let stem = name.strip_suffix(SUFFIX)?;
    if let Some(hash) = stem.strip_prefix(LONG_PREFIX) {
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        return is_hash.then_some(Named::Long);
    }
    let mut rest = stem.strip_prefix(PREFIX)?.bytes();
    let mut key = Vec::new();
    while let Some(byte) = rest.next() {
        match byte {
            b'_' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                key.push(u8::try_from((high << 4) | low).ok()?);
            }
            _ => key.push(byte),
        }
    }
    let key = String::from_utf8(key).ok()?;
    // One key, one name: what is written in another way is not ours.
    (name_of(&key).0 == name).then_some(Named::Key(key))
}

#[cfg(test)]
mod tests {
    #[cfg(heavy_tests)]
    use std::collections::HashSet;

    #[cfg(heavy_tests)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_say_their_keys() {
        for (key, name) in [
            ("", "login-.json"),
            ("studio-7", "login-studio-7.json"),
            ("Ada@example.com", "login-_41da_40example_2ecom.json"),
            ("../etc/passwd", "login-_2e_2e_2fetc_2fpasswd.json"),
            ("con", "login-con.json"),
            ("\u{e9}", "login-_c3_a9.json"),
            ("a_b", "login-a_5fb.json"),
            ("\0", "login-_00.json"),
        ] {
            assert_eq!(name_of(key), (name.to_owned(), true));
            assert_eq!(key_of(name), Some(Named::Key(key.to_owned())));
        }
        let (long, is_in_name) = name_of(&"x".repeat(101));
        assert!(!is_in_name && long.len() == 74);
        assert_eq!(key_of(&long), Some(Named::Long));
    }

    #[test]
    fn other_files_are_no_keys() {
        for name in [
            "tokens.json",
            "login-a",
            "login-a.json.lock",
            "login-a.json.unreadable",
            ".login-a.json.0123456789abcdef.tmp",
            "login-A.json",
            "login-_41.JSON",
            "login-_4.json",
            "login-_61.json",
            "login-_zz.json",
            "login-_ff.json",
            "hash-12.json",
        ] {
            assert_eq!(key_of(name), None, "{name}");
        }
    }

    #[cfg(heavy_tests)]
    proptest! {
        #[test]
        fn two_keys_never_meet(keys in proptest::collection::hash_set(".{0,40}", 0..20)) {
            let names: HashSet<_> =
                keys.iter().map(|key| name_of(key).0.to_ascii_lowercase()).collect();
            prop_assert_eq!(names.len(), keys.len());
            for key in &keys {
                let (name, is_in_name) = name_of(key);
                prop_assert!(name.len() <= 111);
                let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit()
                    || b"-_.".contains(&byte);
                prop_assert!(name.bytes().all(safe));
                let named = if is_in_name { Named::Key(key.clone()) } else { Named::Long };
                prop_assert_eq!(key_of(&name), Some(named));
            }
        }
    }
}
