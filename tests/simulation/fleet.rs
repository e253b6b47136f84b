//! One history of a fleet, from its first host to the last check.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tower_teamup_auth::Error;
use tower_teamup_auth::store::StoredRecord;

use crate::host::Running;
use crate::incidents::{Incident, SPAN, plan};
use crate::oracle::Oracle;
use crate::teamup::LIFETIME;
use crate::world::{Life, World};

/// Within this time every host finds a login that was made at another (5 s and the pauses of a store
/// that was away).
const FOUND_WITHIN: u64 = 60_000;

#[derive(Clone)]
struct Fleet {
    world: World,
    hosts: Arc<Vec<Mutex<Option<Running>>>>,
}

/// Lives a history and hands back what was seen.
pub(crate) async fn run(seed: u64, hosts: usize) -> Oracle {
    let world = World::new(seed, hosts);
    let plan = world.with(|state| {
        let (_, tokens) = state.api.log_in(0);
        state.oracle.logged_in = 1;
        state.redis.begin_with(StoredRecord::from(tokens));
        for link in &mut state.links {
            link.skew = state.rng.i64(-30_000..30_000);
        }
        state.oracle.largest_skew = 30_000;
        plan(&mut state.rng, hosts)
    });
    let slots = (0..hosts).map(|_| Mutex::new(None)).collect();
    let fleet = Fleet { world: world.clone(), hosts: Arc::new(slots) };
    let starts = (0..hosts).map(|host| tokio::spawn(fleet.clone().start(host)));
    for start in starts.collect::<Vec<_>>() {
        start.await.expect("no panic");
    }
    let replica = tokio::spawn(replicate(world.clone()));
    let person = tokio::spawn(fleet.clone().log_in_when_required());
    let mut incidents = Vec::new();
    for (at, incident) in plan {
        let now = world.with(|state| state.now);
        pause(at.saturating_sub(now)).await;
        incidents.push(tokio::spawn(fleet.clone().happens(incident)));
    }
    let now = world.with(|state| state.now);
    pause(SPAN.saturating_sub(now)).await;
    for incident in incidents {
        incident.await.expect("no panic");
    }
    person.abort();
    fleet.check_the_end().await;
    replica.abort();
    world.with(|state| std::mem::take(&mut state.oracle))
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// The replica is up to a second behind.
async fn replicate(world: World) {
    loop {
        pause(world.draw(50..1_000)).await;
        world.with(|state| {
            if state.redis.down_until <= state.now {
                state.redis.replicate();
            }
        });
    }
}

impl Fleet {
    async fn start(self, host: usize) {
        let running = Running::start(&self.world, host).await;
        *self.hosts[host].lock().await = Some(running);
    }

    /// A person who sees that a login is required logs in, at any host.
    async fn log_in_when_required(self) {
        loop {
            pause(30_000).await;
            let (host, patience) = self
                .world
                .with(|state| (state.rng.usize(0..self.hosts.len()), state.rng.u64(0..600_000)));
            let is_required = match &*self.hosts[host].lock().await {
                Some(running) => running.credentials.status().is_login_required(),
                None => false,
            };
            if is_required {
                pause(patience).await;
                self.log_in(host).await;
            }
        }
    }

    /// Logs in a new login there, until it succeeds.
    async fn log_in(&self, host: usize) {
        for _ in 0..20 {
            let slot = self.hosts[host].lock().await;
            let Some(running) = &*slot else { return };
            let (before, (login, tokens)) = self.world.with(|state| {
                let now = state.now;
                state.oracle.login_changes_at(host);
                (state.oracle.logged_in, state.api.log_in(now))
            });
            let result = running.credentials.log_in(tokens).await;
            self.has_left(host, before, &result);
            self.world.with(|state| state.oracle.logged_in = login + 1);
            if result.is_ok() {
                return;
            }
            drop(slot);
            pause(5_000).await;
        }
    }

    /// What a log-in or a sign-out has ended at a host: the logins `before` it, and none that came meanwhile.
    fn has_left(&self, host: usize, before: usize, result: &Result<(), Error>) {
        self.world.with(|state| match result {
            Ok(()) => (0..before).for_each(|login| state.oracle.left(host, login, state.now)),
            // Somebody else has logged in meanwhile: that login goes on.
            Err(error) if error.is_login_changed() => {}
            Err(_) => state.oracle.left_own(host, state.now),
        });
    }

    async fn happens(self, incident: Incident) {
        let world = &self.world;
        let holder = world.with(|state| state.redis.holder(state.now).map(|life| life.host));
        match incident {
            Incident::Freeze { host, millis } => self.freeze(host, millis),
            Incident::FreezeHolder { millis } => {
                if let Some(host) = holder {
                    self.freeze(host, millis);
                }
            }
            Incident::CutRedis { from, to, millis } => world.with(|state| {
                for host in from..=to {
                    state.links[host].no_redis_until = state.now + millis;
                    state.oracle.disturb(host, state.now, state.now + millis);
                }
            }),
            Incident::CutTeamUp { from, to, millis } => world.with(|state| {
                for host in from..=to {
                    state.links[host].no_teamup_until = state.now + millis;
                }
            }),
            Incident::FailOver { downtime } => world.with(|state| {
                state.redis.fail_over(state.now, downtime);
                state.oracle.failed_over(state.now);
                for host in 0..state.links.len() {
                    state.oracle.disturb(host, state.now, state.now + downtime);
                }
            }),
            Incident::Outage { millis } => {
                world.with(|state| state.api.outage_until = state.now + millis);
            }
            Incident::RollingRestart => {
                for host in 0..self.hosts.len() {
                    self.restart(host).await;
                }
            }
            Incident::Crash { host } => self.crash(host).await,
            Incident::CrashHolder => {
                if let Some(host) = holder {
                    self.crash(host).await;
                }
            }
            Incident::Revoke => world.with(|state| {
                state.api.revoke();
                state.oracle.revoked(state.now);
            }),
            Incident::SignOut { host } => {
                if let Some(running) = &*self.hosts[host].lock().await {
                    let before = world.with(|state| {
                        state.oracle.login_changes_at(host);
                        state.oracle.signed_out(state.api.alive.len() - 1);
                        state.oracle.logged_in
                    });
                    let result = running.credentials.sign_out().await;
                    self.has_left(host, before, &result);
                }
            }
            Incident::LogIn { host } => self.log_in(host).await,
            Incident::Skew { host, by } => {
                if let Some(running) = &*self.hosts[host].lock().await {
                    running.skew(world, by);
                }
            }
        }
    }

    fn freeze(&self, host: usize, millis: u64) {
        self.world.with(|state| {
            state.links[host].frozen_until = state.now + millis;
            state.oracle.disturb(host, state.now, state.now + millis);
        });
    }

    /// Stops the program and starts it again. A supervisor that is told of unsaved tokens tries once more.
    async fn restart(&self, host: usize) {
        let mut slot = self.hosts[host].lock().await;
        let Some(running) = slot.take() else { return };
        for _ in 0..3 {
            if running.stop(&self.world).await {
                break;
            }
        }
        self.end_life(running.life);
        drop(running);
        *slot = Some(Running::start(&self.world, host).await);
    }

    async fn crash(&self, host: usize) {
        let life = self.world.with(|state| Life { host, number: state.links[host].life });
        self.end_life(life);
        let mut slot = self.hosts[host].lock().await;
        slot.take();
        *slot = Some(Running::start(&self.world, host).await);
    }

    fn end_life(&self, life: Life) {
        self.world.with(|state| {
            state.links[life.host].life = life.number + 1;
            state.links[life.host].frozen_until = 0;
            state.oracle.life_ended(life.host, life.number + 1);
        });
    }

    /// Nothing goes wrong any more: whoever can act acts, and a new login is found by all.
    async fn check_the_end(&self) {
        let world = &self.world;
        world.with(|state| state.is_calm = true);
        // Past every incident, and every pause after a failure; and past an expiry.
        pause(1_800_000).await;
        self.check_all("in the calm").await;
        pause(LIFETIME + 600_000).await;
        self.check_all("after the next expiry").await;
    }

    async fn check_all(&self, when: &str) {
        let world = &self.world;
        let newest = world.with(|state| state.api.alive.len() - 1);
        let failed = self.failing_hosts().await;
        if failed.is_empty() {
            return;
        }
        let is_required = match &*self.hosts[failed[0]].lock().await {
            Some(running) => running.credentials.status().is_login_required(),
            None => false,
        };
        world.with(|state| {
            state.oracle.must(is_required, || {
                format!("P2: {when}, hosts {failed:?} fail, and no login is required")
            });
            let is_signed_out = state.redis.record().is_some_and(StoredRecord::is_signed_out);
            if !is_signed_out {
                state.oracle.login_lost(newest, state.now);
            }
        });
        self.log_in(failed[0]).await;
        // A host that waits for a login reads the store when somebody calls, every 5 s at most.
        let mut failed = self.failing_hosts().await;
        for _ in 0..FOUND_WITHIN / 5_000 {
            if failed.is_empty() {
                break;
            }
            pause(5_000).await;
            failed = self.failing_hosts().await;
        }
        world.with(|state| {
            state.oracle.must(failed.is_empty(), || {
                format!("P2: {when}, hosts {failed:?} don't find the new login")
            });
        });
    }

    /// The hosts whose calls fail. A call that was begun for the login before is refused once, and where a
    /// login is required the first call begins the look into the store.
    async fn failing_hosts(&self) -> Vec<usize> {
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        let failing = self.failing_of(&all).await;
        if failing.is_empty() {
            return failing;
        }
        pause(6_000).await;
        self.failing_of(&failing).await
    }

    async fn failing_of(&self, hosts: &[usize]) -> Vec<usize> {
        let mut failing = Vec::new();
        for &host in hosts {
            let is_good = match &*self.hosts[host].lock().await {
                Some(running) => running.call(&self.world).await,
                None => false,
            };
            if !is_good {
                failing.push(host);
            }
        }
        failing
    }
}
