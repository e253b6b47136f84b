//! What Redis runs in one step, and the commands that carry it there.
//!
//! Each script is one atomic step on the server: no other client's command runs in between. Each
//! may be sent twice with the same outcome, so that a call whose answer was lost is repeated. They
//! travel with `EVAL`, not `EVALSHA`: a refresh is rare, and a restarted server or another node
//! then never has to be taught them first. A cluster client sends them to a primary, never to a
//! replica that is behind.

use std::time::Duration;

use ::redis::Cmd;

use crate::store::contract::Expected;

/// `KEYS`: the record. All fields of its hash.
const LOAD: &str = "return redis.call('HGETALL', KEYS[1])";

/// `KEYS`: the record; the lease. `ARGV`: who asks; the term in milliseconds.
/// Whether the lease is the asker's now, for a whole term; and what the record's hash holds, or the
/// text of the error that stands in the way of reading it.
///
/// A lease without an end (nothing in this crate writes one) is given a term.
const TRY_ACQUIRE: &str = "\
local holder = redis.call('GET', KEYS[2])
local granted = 0
if not holder or holder == ARGV[1] then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
  granted = 1
elseif redis.call('PTTL', KEYS[2]) < 0 then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
local found = redis.pcall('HGETALL', KEYS[1])
return {granted, found.err or found}";

/// `KEYS`: the lease. `ARGV`: who asks; the term in milliseconds.
/// 1 if the lease was the asker's all the while, and now is for a whole term more; else 0.
const RENEW: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// `KEYS`: the lease. `ARGV`: who gives it back. Another owner's lease is left alone.
const RELEASE: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

/// `KEYS`: the record. `ARGV`: which record may be replaced (`empty`, `revision` or `anything`) and
/// its revision; the new revision; the new record.
/// Nil once written; else all that the hash holds instead, and nothing is written.
///
/// Revisions are compared as text: a number in Lua holds no more than 53 bits of them. Nothing is
/// removed before the new record is in place, unless it is a value of another type: each command
/// may be forbidden by itself, and what a script has done is not undone.
const SAVE: &str = "\
if ARGV[1] == 'empty' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('HGETALL', KEYS[1]) end
elseif ARGV[1] == 'revision' then
  if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[2] then
    return redis.call('HGETALL', KEYS[1])
  end
end
local written = redis.pcall('HSET', KEYS[1], 'revision', ARGV[3], 'record', ARGV[4])
if type(written) == 'table' and written.err then
  if ARGV[1] ~= 'anything' or not string.find(written.err, 'WRONGTYPE', 1, true) then
    return written
  end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'revision', ARGV[3], 'record', ARGV[4])
end
redis.call('HDEL', KEYS[1], 'tokens')
return false";

/// `KEYS`: the record; the lease. `ARGV`: who asks.
/// 1 once there is no record; 0 if the lease is not the asker's, and the record is left alone.
const DELETE: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1";

/// `KEYS`: one that nobody reads. Runs every command of the other scripts, so that a right that is
/// missing is found, and a Redis that takes no writes: a replica, or one that is full.
const CHECK: &str = "\
redis.call('SET', KEYS[1], 'check', 'PX', 60000)
redis.call('GET', KEYS[1])
redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('EXISTS', KEYS[1])
redis.call('HSET', KEYS[1], 'revision', '0', 'record', 'check')
redis.call('PEXPIRE', KEYS[1], 60000)
redis.call('HGET', KEYS[1], 'revision')
redis.call('HGETALL', KEYS[1])
redis.call('HDEL', KEYS[1], 'record')
redis.call('DEL', KEYS[1])
return 1";

/// The two keys of one credential.
///
/// The text in braces is what a cluster places a key by (the hash tag of the Redis Cluster
/// specification), so both always live on the same node, and a script may touch both.
pub(super) struct Keys {
    pub(super) record: String,
    pub(super) lease: String,
}

impl Keys {
    /// A key that can't stand in the hash tag as it is (version 1 refused those) is written with
    /// `%` escapes and marked by a `%` after the tag, so that no two keys meet.
    pub(super) fn new(prefix: &str, key: &str) -> Self {
        let record = if key.is_empty() {
            format!("{prefix}:{{%}}%")
        } else if key.contains(['{', '}']) {
            let escaped = key.replace('%', "%25").replace('{', "%7B").replace('}', "%7D");
            format!("{prefix}:{{{escaped}}}%")
        } else {
            format!("{prefix}:{{{key}}}")
        };
        let lease = format!("{record}:lease");
        Keys { record, lease }
    }

    /// The key of the credential whose record stands under `name`.
    pub(super) fn key_of(prefix: &str, name: &str) -> Option<String> {
        let tag = name.strip_prefix(prefix)?.strip_prefix(":{")?;
        let key = match tag.strip_suffix("}%") {
            Some("%") => String::new(),
            Some(escaped) => escaped.replace("%7D", "}").replace("%7B", "{").replace("%25", "%"),
            None => tag.strip_suffix('}')?.to_owned(),
        };
        // What else has such a name is no record of this crate.
        (Keys::new(prefix, &key).record == name).then_some(key)
    }

    pub(super) fn check(&self) -> Cmd {
        eval(CHECK, &[&format!("{}:check", self.record)])
    }

    pub(super) fn load(&self) -> Cmd {
        eval(LOAD, &[&self.record])
    }

    pub(super) fn try_acquire(&self, owner: &str, term: Duration) -> Cmd {
        let mut command = eval(TRY_ACQUIRE, &[&self.record, &self.lease]);
        command.arg(owner).arg(millis(term));
        command
    }

    pub(super) fn renew(&self, owner: &str, term: Duration) -> Cmd {
        let mut command = eval(RENEW, &[&self.lease]);
        command.arg(owner).arg(millis(term));
        command
    }

    pub(super) fn release(&self, owner: &str) -> Cmd {
        let mut command = eval(RELEASE, &[&self.lease]);
        command.arg(owner);
        command
    }

    /// `found` is the text of the revision as it stands in Redis, where that is known.
    pub(super) fn save(
        &self,
        expected: Expected,
        found: Option<&str>,
        revision: u64,
        record: &[u8],
    ) -> Cmd {
        let (may_replace, expected) = match expected {
            Expected::Empty => ("empty", String::new()),
            Expected::Revision(revision) => {
                ("revision", found.map_or_else(|| revision.to_string(), str::to_owned))
            }
            Expected::Anything => ("anything", String::new()),
        };
        let mut command = eval(SAVE, &[&self.record]);
        command.arg(may_replace).arg(expected).arg(revision).arg(record);
        command
    }

    pub(super) fn delete(&self, owner: &str) -> Cmd {
        let mut command = eval(DELETE, &[&self.record, &self.lease]);
        command.arg(owner);
        command
    }
}

fn millis(term: Duration) -> u64 {
    u64::try_from(term.as_millis()).unwrap_or(u64::MAX)
}

fn eval(script: &str, keys: &[&str]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(keys.len()).arg(keys);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_has_names_of_its_own_which_a_cluster_keeps_together() {
        let keys = [
            "", "%", "user-1", "a}b", "a{b", "a%7Bb", "a%7B}b", "}", "{}", "}%", "{%}%",
            "a}:lease", "%25{", "%{", "Zoë", "a\0b",
        ];
        let mut names = std::collections::HashSet::new();
        for key in keys {
            let Keys { record, lease } = Keys::new("prefix", key);
            assert_eq!(Keys::key_of("prefix", &record).as_deref(), Some(key));
            // The hash tag: from the first brace to the next closing one, and not empty.
            let tag = |name: &str| {
                let (_, rest) = name.split_once('{').unwrap();
                rest.split_once('}').unwrap().0.to_owned()
            };
            assert!(!tag(&record).is_empty(), "{record}");
            assert_eq!(tag(&record), tag(&lease));
            assert_eq!(Keys::key_of("prefix", &lease), None);
            assert!(names.insert(record) && names.insert(lease), "{key}");
        }
        for stranger in ["prefix:{}", "other:{a}", "prefix:a", "prefix:{a}%", "prefix:{a}:check"] {
            assert_eq!(Keys::key_of("prefix", stranger), None, "{stranger}");
        }
    }
}
