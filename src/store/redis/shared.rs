//! What a store, its clones and its leases have in common: where the tokens are, and what can be
//! done with them there.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::link::Link;
use super::scripts::Keys;
use crate::store::{StoreError, Stored};
use crate::token::TokenSet;

/// The two fields of the hash, as Redis answers them.
type Fields = (Option<Vec<u8>>, Option<Vec<u8>>);

pub(super) struct Shared {
    pub(super) link: Arc<Link>,
    pub(super) prefix: Arc<str>,
    pub(super) keys: Keys,
    pub(super) lease_lifetime: Duration,
}

impl Shared {
    pub(super) async fn load(&self) -> Result<Stored, StoreError> {
        let fields = self.call("load the tokens", &self.keys.load()).await?;
        self.read(fields)
    }

    pub(super) async fn save(
        &self,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        let text = tokens.to_json();
        let command = self.keys.save(over, tokens.revision(), text.as_bytes());
        let held: Option<Fields> = self.call("save the tokens", &command).await?;
        match held.map(|fields| self.read(fields)).transpose()? {
            None => Ok(()),
            // An earlier attempt has landed, and only its answer was lost.
            Some(Some(held)) if *held.to_json() == *text => Ok(()),
            Some(_) => Err(StoreError::conflict()),
        }
    }

    pub(super) async fn clear(&self, owner: &str) -> Result<(), StoreError> {
        match self.call("forget the tokens", &self.keys.clear(owner)).await? {
            1 => Ok(()),
            _ => Err(StoreError::unavailable(
                format!("{} could not forget the tokens", self.place()),
                "the lease ran out, and another process refreshes at this moment",
            )),
        }
    }

    /// Takes the lease or keeps it; else says for how long somebody else has it.
    pub(super) async fn hold(&self, owner: &str) -> Result<Option<Duration>, StoreError> {
        let command = self.keys.hold(owner, self.lease_lifetime);
        let left: u64 = self.call("ask for the lease", &command).await?;
        Ok((left > 0).then(|| Duration::from_millis(left)))
    }

    pub(super) async fn release(&self, owner: &str) -> Result<(), StoreError> {
        self.call("give the lease back", &self.keys.release(owner)).await
    }

    /// Where the tokens are, for a message.
    pub(super) fn place(&self) -> String {
        format!("Redis at {}, key `{}`:", self.link.address(), self.keys.tokens)
    }

    async fn call<T: FromRedisValue>(&self, what: &str, command: &Cmd) -> Result<T, StoreError> {
        self.link.call(command).await.map_err(|failure| self.failed(what, failure))
    }

    fn failed(&self, what: &str, failure: Failure) -> StoreError {
        if failure.is_wrong_type {
            self.unreadable("a value of another type")
        } else {
            StoreError::unavailable(format!("{} could not {what}", self.place()), failure)
        }
    }

    fn read(&self, fields: Fields) -> Result<Stored, StoreError> {
        let (revision, text) = match fields {
            (None, None) => return Ok(None),
            (Some(revision), Some(text)) => (revision, Zeroizing::new(text)),
            _ => return Err(self.unreadable("a hash without `revision` and `tokens`")),
        };
        let tokens = TokenSet::from_json(&text).map_err(|error| self.unreadable(error))?;
        // The revision beside the tokens is what a save compares, so the two must not disagree.
        if revision != tokens.revision().to_string().as_bytes() {
            return Err(self.unreadable("tokens of another revision than the one beside them"));
        }
        Ok(Some(tokens))
    }

    fn unreadable(&self, found: impl std::fmt::Display) -> StoreError {
        StoreError::unreadable(format!(
            "{} holds something that this crate can't use: {found}. It was left as it is; choose \
             another key, or delete this one and let the user log in again",
            self.place()
        ))
    }
}
