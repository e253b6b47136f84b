//! The key that a program brings to encrypt what its store keeps, and the cipher it is for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::StoreError;
use crate::error::Error;

/// Bytes of the nonce of XChaCha20-Poly1305: long enough to be drawn at random for every write.
const NONCE: usize = 24;

/// A 256-bit key that encrypts what a store keeps.
///
/// It comes from where the program keeps its secrets (a variable of the environment, a secret manager), and
/// never from beside the store. Its bytes are wiped when the last copy is dropped, and `Debug` does
/// not show them.
///
/// ```
/// use tower_teamup_auth::store::EncryptionKey;
///
/// // As `openssl rand -base64 32` prints it.
/// let key: EncryptionKey = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=".parse()?;
/// assert_eq!(format!("{key:?}"), "EncryptionKey(..)");
/// # Ok::<(), tower_teamup_auth::Error>(())
/// ```
#[derive(Clone)]
pub struct EncryptionKey(Arc<Zeroizing<[u8; 32]>>);

impl EncryptionKey {
    /// Takes the 32 bytes of a key. They must be random: a password is not a key.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        EncryptionKey(Arc::new(Zeroizing::new(bytes)))
    }

    /// Draws a key.
    #[cfg(feature = "keyring")]
    pub(super) fn generate() -> Result<Self, StoreError> {
        let key = chacha20poly1305::Key::try_generate().map_err(|error| {
            StoreError::unavailable("the system gave no random bytes for a key", error)
        })?;
        Ok(EncryptionKey::from_bytes(key.into()))
    }

    #[cfg(feature = "keyring")]
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tells keys apart without telling what they are: 64 bits of a hash.
    pub(super) fn id(&self) -> [u8; 8] {
        let mut digest = Sha256::new();
        digest.update(b"tower-teamup-auth key id\n");
        digest.update(&self.0[..]);
        let digest = digest.finalize();
        std::array::from_fn(|at| digest[at])
    }

    /// Encrypts `plain` and vouches for `beside` with it; the nonce, drawn anew, comes first.
    pub(super) fn encrypt(&self, plain: &[u8], beside: &[u8]) -> Result<Vec<u8>, StoreError> {
        let nonce = XNonce::try_generate().map_err(|error| {
            StoreError::unavailable("the system gave no random bytes to encrypt with", error)
        })?;
        let sealed = self
            .cipher()
            .encrypt(&nonce, Payload { msg: plain, aad: beside })
            .map_err(|error| StoreError::unavailable("the tokens can't be encrypted", error))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what [`encrypt`](EncryptionKey::encrypt) made; `None` where a byte of it, of `beside`
    /// or of the key is another.
    pub(super) fn decrypt(&self, sealed: &[u8], beside: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        self.cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: beside })
            .ok()
            .map(Zeroizing::new)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&**self.0).into())
    }
}

impl FromStr for EncryptionKey {
    type Err = Error;

    /// Takes a key as base64 (RFC 4648 section 4, padded): 44 characters. White space around them
    /// is ignored.
    ///
    /// # Errors
    ///
    /// When the text is not the base64 of 32 bytes. [`Error::is_invalid_input`] is true of the
    /// error, and the text is not repeated in it.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        match Base64::decode(text.trim_ascii(), &mut bytes[..]) {
            Ok(decoded) if decoded.len() == 32 => Ok(EncryptionKey::from_bytes(*bytes)),
            _ => Err(Error::invalid_input(
                "the encryption key is not the base64 of 32 bytes; make one with `openssl rand \
                 -base64 32`",
            )),
        }
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_base64_of_32_bytes_and_nothing_else() {
        let base64 = |bytes: &[u8]| Base64::encode(bytes, &mut [0; 96]).unwrap().to_owned();
        let key: EncryptionKey = format!("{}\n", base64(&[0xab; 32])).parse().unwrap();
        assert_eq!(**key.0, [0xab; 32]);

        for bytes in [&[][..], &[0xab; 31], &[0xab; 33], &[0xab; 64]] {
            let error = base64(bytes).parse::<EncryptionKey>().unwrap_err();
            assert!(error.is_invalid_input());
        }
        let error = "s3cret-passphrase".parse::<EncryptionKey>().unwrap_err();
        assert!(error.is_invalid_input());
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }

    #[test]
    fn what_another_implementation_encrypted_opens() {
        // draft-irtf-cfrg-xchacha-03, appendix A.3.1.
        let key = EncryptionKey::from_bytes(std::array::from_fn(|at| 0x80 + at as u8));
        let nonce: [u8; NONCE] = std::array::from_fn(|at| 0x40 + at as u8);
        let beside = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip \
                      for the future, sunscreen would be it.";
        let sealed = key
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &beside })
            .unwrap();
        assert_eq!(sealed[..4], [0xbd, 0x6d, 0x17, 0x9d]);
        assert_eq!(sealed[sealed.len() - 4..], [0x78, 0x0a, 0xcf, 0x49]);
        let whole = [&nonce[..], &sealed].concat();
        assert_eq!(**key.decrypt(&whole, &beside).unwrap(), plain[..]);
    }
}
