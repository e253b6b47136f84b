//! The envelope around what a store keeps: none, or one that only a key opens.
//!
//! A sealed text begins with a line that names this crate and the version of the envelope, so that
//! a plain text read with a key, and a sealed one read without, are told apart and named.

use std::fmt;

use zeroize::Zeroizing;

use super::StoreError;
#[cfg(feature = "encryption")]
use super::key::EncryptionKey;

/// How every envelope begins, of whichever version.
const MARK: &[u8] = b"tower-teamup-auth sealed v";
#[cfg(feature = "encryption")]
const VERSION_1: &[u8] = b"tower-teamup-auth sealed v1\n";

/// Seals what a store is about to keep and opens what it has kept; without a key, both pass the
/// text through.
#[derive(Clone, Default)]
pub(crate) struct Seal {
    #[cfg(feature = "encryption")]
    key: Option<EncryptionKey>,
}

impl Seal {
    #[cfg(feature = "encryption")]
    pub(crate) fn with_key(key: EncryptionKey) -> Self {
        Seal { key: Some(key) }
    }

    /// Seals `plain`, so that it opens only under the same `place`: what was sealed for one user's
    /// entry can't be passed off as another's. An empty `place` binds it to none.
    #[cfg_attr(not(feature = "encryption"), expect(unused_variables, reason = "nothing to bind"))]
    pub(crate) fn seal(&self, place: &str, plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        #[cfg(feature = "encryption")]
        if let Some(key) = &self.key {
            let sealed = key.encrypt(plain, &[VERSION_1, place.as_bytes()].concat())?;
            return Ok(Zeroizing::new([VERSION_1, &sealed].concat()));
        }
        Ok(Zeroizing::new(plain.to_vec()))
    }

    /// Opens what [`seal`](Seal::seal) made for the same `place`.
    ///
    /// Every error is [unreadable](StoreError::is_unreadable), and speaks of "the stored tokens":
    /// the store adds where they are.
    #[cfg_attr(not(feature = "encryption"), expect(unused_variables, reason = "nothing is bound"))]
    pub(crate) fn open(
        &self,
        place: &str,
        stored: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let is_sealed = stored.starts_with(MARK);
        #[cfg(feature = "encryption")]
        if let Some(key) = &self.key {
            if !is_sealed {
                return Err(StoreError::unreadable(
                    "the stored tokens are not encrypted, and this store was given a key: move \
                     them away and save them anew, or use the store without a key",
                ));
            }
            let sealed = stored.strip_prefix(VERSION_1).ok_or_else(|| {
                StoreError::unreadable(
                    "the stored tokens are encrypted in a newer way than this version of the \
                     crate knows; update tower-teamup-auth in this program",
                )
            })?;
            return key.decrypt(sealed, &[VERSION_1, place.as_bytes()].concat()).ok_or_else(|| {
                StoreError::unreadable(
                    "the stored tokens do not open with this store's key: they were encrypted \
                     with another key or for another place, or have been altered",
                )
            });
        }
        if is_sealed {
            return Err(StoreError::unreadable(
                "the stored tokens are encrypted, and this store has no key: give it the one they \
                 were saved with, by `encrypt_with` (feature `encryption`)",
            ));
        }
        Ok(Zeroizing::new(stored.to_vec()))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_key_a_text_passes_and_a_sealed_one_is_named() {
        let seal = Seal::default();
        assert_eq!(*seal.open("", &seal.seal("", b"text").unwrap()).unwrap(), b"text");

        let error = seal.open("", b"tower-teamup-auth sealed v1\n...").unwrap_err();
        assert!(error.is_unreadable());
        assert!(error.to_string().contains("encrypted, and this store has no key"), "{error}");
    }
}

#[cfg(all(test, feature = "encryption"))]
mod tests_with_a_key {
    use super::*;

    fn seal(key: u8) -> Seal {
        Seal::with_key(EncryptionKey::from_bytes([key; 32]))
    }

    #[test]
    fn what_was_sealed_opens_and_shows_nothing_meanwhile() {
        let sealed = seal(1).seal("user-1", b"s3cret").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"s3cret"));
        assert_eq!(*seal(1).open("user-1", &sealed).unwrap(), b"s3cret");
        assert_ne!(sealed, seal(1).seal("user-1", b"s3cret").unwrap(), "a nonce was used twice");
    }

    #[test]
    fn another_key_another_place_or_another_byte_does_not_open_it() {
        let sealed = seal(1).seal("user-1", b"s3cret").unwrap();
        let refused = |result: Result<_, StoreError>| {
            let error = result.map(|_: Zeroizing<Vec<u8>>| ()).unwrap_err();
            assert!(error.is_unreadable());
            assert!(error.to_string().contains("do not open with this store's key"), "{error}");
        };
        refused(seal(2).open("user-1", &sealed));
        refused(seal(1).open("user-2", &sealed));
        for at in VERSION_1.len()..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            refused(seal(1).open("user-1", &altered));
        }
        for length in VERSION_1.len()..sealed.len() {
            refused(seal(1).open("user-1", &sealed[..length]));
        }
    }

    #[test]
    fn plain_text_and_newer_envelopes_are_named() {
        for (stored, said) in [
            (&b"{\"version\":1}"[..], "are not encrypted, and this store was given a key"),
            (b"", "are not encrypted"),
            (b"tower-teamup-auth sealed v2\n...", "in a newer way"),
        ] {
            let error = seal(1).open("", stored).unwrap_err();
            assert!(error.is_unreadable());
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn p5_debug_does_not_show_the_key() {
        assert_eq!(format!("{:?}", seal(7)), "Seal(..)");
    }
}
