//! Which password logins wait for a second factor.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::super::families::Millis;
use super::super::settings::Settings;
use super::{PROVIDER, USER_ID, date_time};

/// How long a code or a key is good. TeamUp documents an `expires_at` and no length.
pub(super) const LIFETIME: Millis = 10 * 60 * 1000;

/// The logins that wait for a second factor, and how far each has come.
#[derive(Default)]
pub(in super::super) struct TwoFactor {
    /// The ids of pending logins.
    pub(super) pending: HashSet<String>,
    /// For each phone number that a code was sent to, when the code expires.
    pub(super) codes: HashMap<String, Millis>,
    /// The keys that `verify` has answered, and when they expire. Each is good for one login.
    pub(super) keys: HashMap<String, Millis>,
}

impl TwoFactor {
    /// A new pending login: TeamUp's documented object.
    pub(super) fn begin(&mut self, settings: &Settings, wall_millis: u64) -> Value {
        let random = fastrand::u128(..);
        let id = format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            random as u32,
            (random >> 32) as u16,
            (random >> 48) as u16 & 0xFFF,
            (random >> 60) as u16 & 0xFFF,
            (random >> 76) as u64 & 0xFFFF_FFFF_FFFF,
        );
        self.pending.insert(id.clone());
        json!({
            "object": "pending_login",
            "id": id,
            "created_at": date_time(wall_millis),
            "user": USER_ID,
            "two_factor_required_providers": providers(settings),
        })
    }

    /// Is the key good? It is spent then.
    pub(super) fn spend(&mut self, key: &str, now: Millis) -> bool {
        self.keys.remove(key).is_some_and(|expires_at| now < expires_at)
    }
}

/// The businesses that ask for a second factor.
pub(super) fn providers(settings: &Settings) -> Vec<u64> {
    match (&settings.verification_code, settings.providers.as_slice()) {
        (None, _) => Vec::new(),
        (Some(_), []) => vec![PROVIDER],
        (Some(_), providers) => providers.to_vec(),
    }
}
