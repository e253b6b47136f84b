//! What goes wrong, and when.

use crate::teamup::LIFETIME;

/// Times are milliseconds of the simulation.
#[derive(Clone, Debug)]
pub(crate) enum Incident {
    /// A host stands still, as a container that is frozen.
    Freeze { host: usize, millis: u64 },
    /// The same for whoever has the lease at that moment.
    FreezeHolder { millis: u64 },
    /// Neighbouring hosts lose Redis.
    CutRedis { from: usize, to: usize, millis: u64 },
    /// Neighbouring hosts lose TeamUp.
    CutTeamUp { from: usize, to: usize, millis: u64 },
    /// The replica takes over after so long a time without either.
    FailOver { downtime: u64 },
    /// TeamUp answers 503.
    Outage { millis: u64 },
    /// Each host is stopped and started, one after the other.
    RollingRestart,
    /// A host ends without a word, and is started again.
    Crash { host: usize },
    /// The same for whoever has the lease at that moment.
    CrashHolder,
    /// TeamUp forgets all access tokens.
    Revoke,
    /// The person signs out at a host.
    SignOut { host: usize },
    /// A person logs in at a host, whoever was logged in before.
    LogIn { host: usize },
    /// The wall clock of a host is set.
    Skew { host: usize, by: i64 },
}

/// For how long things go wrong: two expiries and a little more.
pub(crate) const SPAN: u64 = 2 * LIFETIME + LIFETIME / 4;

/// Draws the incidents of a history, in their order.
pub(crate) fn plan(rng: &mut fastrand::Rng, hosts: usize) -> Vec<(u64, Incident)> {
    let mut plan = Vec::new();
    for _ in 0..rng.usize(4..16) {
        let host = rng.usize(0..hosts);
        let (from, width) = (rng.usize(0..hosts), rng.usize(0..hosts / 2 + 1));
        let to = (from + width).min(hosts - 1);
        let incident = match rng.u32(0..20) {
            0..2 => Incident::Freeze { host, millis: rng.u64(1_000..60_000) },
            2..5 => Incident::FreezeHolder { millis: rng.u64(1_000..60_000) },
            5..7 => Incident::CutRedis { from, to, millis: rng.u64(1_000..120_000) },
            7..9 => Incident::CutTeamUp { from, to, millis: rng.u64(1_000..120_000) },
            9..11 => Incident::FailOver { downtime: rng.u64(500..20_000) },
            11..13 => Incident::Outage { millis: rng.u64(5_000..600_000) },
            13 => Incident::RollingRestart,
            14 => Incident::Crash { host },
            15 => Incident::CrashHolder,
            16 => Incident::Revoke,
            17 => Incident::SignOut { host },
            18 => Incident::LogIn { host },
            _ => Incident::Skew { host, by: rng.i64(-600_000..600_000) },
        };
        // Most of them where they hurt: around an expiry.
        let at = if rng.bool() {
            let expiry = LIFETIME * rng.u64(1..3);
            rng.u64(expiry - LIFETIME / 10..expiry + 60_000)
        } else {
            rng.u64(0..SPAN)
        };
        plan.push((at, incident));
    }
    plan.sort_by_key(|(at, _)| *at);
    plan
}
