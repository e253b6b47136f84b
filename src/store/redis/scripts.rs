//! What Redis runs in one step, and the commands that carry it there.
//!
//! Each script is one atomic step on the server: no other client's command runs in between. Each
//! may be sent twice with the same outcome, so that a call whose answer was lost is simply repeated.
//! They travel with `EVAL`, not `EVALSHA`: a refresh is rare, and a restarted server or another node
//! then never has to be taught them first.

use std::time::Duration;

use redis::Cmd;

/// `KEYS`: the tokens, a hash of `revision` and `tokens`.
/// `ARGV`: the revision that is replaced, empty for none; the new revision; the new tokens.
/// Nil once written; else all that the hash holds instead, and nothing is written.
///
/// Revisions are compared as text: a number in Lua holds no more than 53 bits of them.
const SAVE: &str = "\
local unchanged
if ARGV[1] == '' then
  unchanged = redis.call('EXISTS', KEYS[1]) == 0
else
  unchanged = redis.call('HGET', KEYS[1], 'revision') == ARGV[1]
end
if not unchanged then return redis.call('HGETALL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'tokens', ARGV[3])
return false";

/// `KEYS`: the tokens; the lease. `ARGV`: who asks.
/// 1 once there are none; 0 if somebody else holds the lease, and the tokens are left alone.
const CLEAR: &str = "\
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1";

/// `KEYS`: the lease. `ARGV`: who asks; the lifetime in milliseconds.
/// 0 once it is the asker's, for a whole lifetime from now; else for how many milliseconds somebody
/// else still holds it, 1 at least.
///
/// A lease that never runs out (nobody here writes one) is given a lifetime: nothing may be locked
/// for ever.
const HOLD: &str = "\
local holder = redis.call('GET', KEYS[1])
if not holder or holder == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 0
end
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  left = tonumber(ARGV[2])
end
return math.max(left, 1)";

/// `KEYS`: the lease. `ARGV`: who asks; the lifetime in milliseconds.
/// 1 if the lease was the asker's all the while, and now is for a whole lifetime more; else 0, and
/// nothing is taken: who had it in the meantime can't be told any more.
const KEEP: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// `KEYS`: the lease. `ARGV`: who gives it back. Somebody else's lease is left alone.
const RELEASE: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// `KEYS`: one that nobody reads. Fails where Redis takes no writes: a replica, or one whose memory
/// or disk is full.
const CHECK: &str = "return redis.call('SET', KEYS[1], '', 'PX', 1)";

/// The two keys of one credential.
///
/// The text in braces is what a cluster places a key by (the hash tag of the Redis Cluster
/// specification), so both always live on the same node, and a script may touch both.
pub(super) struct Keys {
    pub(super) tokens: String,
    pub(super) lease: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, key: &str) -> Self {
        let tokens = format!("{prefix}:{{{key}}}");
        let lease = format!("{tokens}:lease");
        Keys { tokens, lease }
    }

    pub(super) fn check(&self) -> Cmd {
        eval(CHECK, &[&format!("{}:check", self.tokens)])
    }

    pub(super) fn load(&self) -> Cmd {
        let mut command = redis::cmd("HGETALL");
        command.arg(&self.tokens);
        command
    }

    pub(super) fn save(&self, over: Option<u64>, revision: u64, tokens: &[u8]) -> Cmd {
        let over = over.map(|revision| revision.to_string()).unwrap_or_default();
        let mut command = eval(SAVE, &[&self.tokens]);
        command.arg(over).arg(revision).arg(tokens);
        command
    }

    pub(super) fn clear(&self, owner: &str) -> Cmd {
        let mut command = eval(CLEAR, &[&self.tokens, &self.lease]);
        command.arg(owner);
        command
    }

    /// Takes the lease, or keeps it for another lifetime.
    pub(super) fn hold(&self, owner: &str, lifetime: Duration) -> Cmd {
        self.lease_for(HOLD, owner, lifetime)
    }

    /// Keeps the lease for another lifetime, and never takes it.
    pub(super) fn keep(&self, owner: &str, lifetime: Duration) -> Cmd {
        self.lease_for(KEEP, owner, lifetime)
    }

    fn lease_for(&self, script: &str, owner: &str, lifetime: Duration) -> Cmd {
        let millis = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        let mut command = eval(script, &[&self.lease]);
        command.arg(owner).arg(millis);
        command
    }

    pub(super) fn release(&self, owner: &str) -> Cmd {
        let mut command = eval(RELEASE, &[&self.lease]);
        command.arg(owner);
        command
    }
}

fn eval(script: &str, keys: &[&str]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(keys.len()).arg(keys);
    command
}
