//! What a store, its clones and its leases have in common: where the tokens are, and what can be
//! done with them there.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue};
use zeroize::Zeroizing;

use super::departures::Departures;
use super::failure::Failure;
use super::link::Link;
use super::scripts::Keys;
use crate::store::{Seal, StoreError, Stored};
use crate::token::TokenSet;

/// All that the hash holds; a key that does not exist is an empty one.
type Fields = HashMap<Vec<u8>, Vec<u8>>;

pub(super) struct Shared {
    pub(super) link: Arc<Link>,
    pub(super) prefix: Arc<str>,
    pub(super) keys: Keys,
    pub(super) lease_lifetime: Duration,
    pub(super) seal: Seal,
    /// Those of the clones of one store; other credentials on the same connection have their own.
    pub(super) departures: Arc<Departures>,
}

impl Shared {
    /// Finds out whether Redis would take a write.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.call("be written to", &self.keys.check()).await
    }

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
        let sealed = self.seal.seal(&self.keys.tokens, text.as_bytes())?;
        let command = self.keys.save(over, tokens.revision(), &sealed);
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

    /// Renews the lease; false if it was not this holder's all the while.
    pub(super) async fn keep(&self, owner: &str) -> Result<bool, StoreError> {
        self.call("renew the lease", &self.keys.keep(owner, self.lease_lifetime)).await
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
            self.unreadable("the value is not the hash that this crate writes")
        } else {
            StoreError::unavailable(format!("{} could not {what}", self.place()), failure)
        }
    }

    fn read(&self, mut fields: Fields) -> Result<Stored, StoreError> {
        if fields.is_empty() {
            return Ok(None);
        }
        let mut field = |name: &str| fields.remove(name.as_bytes()).map(Zeroizing::new);
        let (Some(revision), Some(sealed)) = (field("revision"), field("tokens")) else {
            return Err(self.unreadable("the hash lacks `revision` or `tokens`"));
        };
        let text =
            self.seal.open(&self.keys.tokens, &sealed).map_err(|error| self.unreadable(error))?;
        let tokens = TokenSet::from_json(&text).map_err(|error| self.unreadable(error))?;
        // What a save compares is the revision beside the tokens, so the two must not disagree.
        if *revision != tokens.revision().to_string().as_bytes() {
            return Err(self.unreadable("`revision` is not the one of the tokens beside it"));
        }
        Ok(Some(tokens))
    }

    fn unreadable(&self, found: impl fmt::Display) -> StoreError {
        StoreError::unreadable(format!("{} {found}; it was left as it is", self.place()))
    }
}
