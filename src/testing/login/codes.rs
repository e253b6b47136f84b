//! Authorization codes: issued on approval, good for one use.

use std::collections::HashMap;

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

use super::super::families::Millis;

/// How long a code can be redeemed: the ten minutes that RFC 6749 section 4.1.2 allows at most.
const LIFETIME: Millis = 10 * 60 * 1000;

#[derive(Default)]
pub(in super::super) struct Codes(HashMap<String, Code>);

struct Code {
    redirect_uri: String,
    challenge: Option<String>,
    expires_at: Millis,
    /// The family that the code was redeemed for, once it was.
    family: Option<u64>,
}

/// What is wrong with the redemption of a code.
pub(super) enum Refused {
    /// Unknown, expired, or not fit for this redemption.
    Grant(&'static str),
    /// Redeemed before, for this family, which must die (RFC 6749 section 4.1.2).
    Reused(u64),
    /// The client proved nothing: neither verifier nor secret.
    Client(&'static str),
}

impl Codes {
    pub(super) fn issue(
        &mut self,
        redirect_uri: String,
        challenge: Option<String>,
        now: Millis,
    ) -> String {
        let code = format!("fake-code-{:032x}", fastrand::u128(..));
        let expires_at = now.saturating_add(LIFETIME);
        self.0.insert(code.clone(), Code { redirect_uri, challenge, expires_at, family: None });
        code
    }

    /// May `code` be redeemed by a client that brings these?
    pub(super) fn check(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
        secret: Option<&str>,
        now: Millis,
    ) -> Result<(), Refused> {
        let Some(issued) = self.0.get(code) else {
            return Err(Refused::Grant("The code is unknown."));
        };
        if let Some(family) = issued.family {
            return Err(Refused::Reused(family));
        }
        if now >= issued.expires_at {
            return Err(Refused::Grant("The code has expired."));
        }
        if redirect_uri != issued.redirect_uri {
            return Err(Refused::Grant("redirect_uri is not the one that the code went to."));
        }
        if secret.is_some_and(|secret| secret != super::CLIENT_SECRET) {
            return Err(Refused::Client("client_secret is wrong."));
        }
        match (&issued.challenge, verifier) {
            (Some(challenge), Some(verifier)) if challenge_of(verifier) == *challenge => Ok(()),
            (Some(_), Some(_)) => Err(Refused::Grant("code_verifier does not fit the challenge.")),
            (Some(_), None) => {
                Err(Refused::Grant("code_verifier is required: there was a challenge."))
            }
            (None, Some(_)) => Err(Refused::Grant("There was no code_challenge to verify.")),
            (None, None) if secret.is_some() => Ok(()),
            (None, None) => Err(Refused::Client("client_secret or code_verifier is required.")),
        }
    }

    /// The code was redeemed for the tokens of `family`.
    pub(super) fn spend(&mut self, code: &str, family: u64) {
        if let Some(code) = self.0.get_mut(code) {
            code.family = Some(family);
        }
    }
}

/// The S256 challenge of a verifier (RFC 7636 section 4.2).
fn challenge_of(verifier: &str) -> String {
    let mut text = [0; 43];
    Base64UrlUnpadded::encode(&Sha256::digest(verifier.as_bytes()), &mut text)
        .expect("32 bytes are 43 characters")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        // RFC 7636 appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge_of(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
