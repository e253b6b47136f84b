//! What all hosts share: the time, the chances, the links between machines, and both servers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::oracle::Oracle;
use crate::redis::Redis;
use crate::teamup::Api;

/// One life of a host, from its start to its end. What belongs to an ended one never goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) host: usize,
    pub(crate) number: u32,
}

/// How a host is connected. Times are milliseconds of the simulation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    pub(crate) life: u32,
    pub(crate) frozen_until: u64,
    pub(crate) no_redis_until: u64,
    pub(crate) no_teamup_until: u64,
    /// By how much its wall clock is wrong.
    pub(crate) skew: i64,
}

pub(crate) struct State {
    pub(crate) rng: fastrand::Rng,
    pub(crate) now: u64,
    pub(crate) links: Vec<Link>,
    pub(crate) api: Api,
    pub(crate) redis: Redis,
    pub(crate) oracle: Oracle,
    /// Nothing more goes wrong.
    pub(crate) is_calm: bool,
}

/// A clone is the same world.
#[derive(Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    started: Instant,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "the simulation has a clock of its own, paused")]
    pub(crate) fn new(seed: u64, hosts: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let links = vec![Link::default(); hosts];
        let api = Api::new(&mut rng);
        let state = State {
            rng,
            now: 0,
            links,
            api,
            redis: Redis::default(),
            oracle: Oracle::new(hosts),
            is_calm: false,
        };
        World { state: Arc::new(Mutex::new(state)), started: Instant::now() }
    }

    /// Looks at the world, or changes it.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = u64::try_from(self.started.elapsed().as_millis()).expect("a short simulation");
        look(&mut state)
    }

    /// A number at random.
    pub(crate) fn draw(&self, range: impl std::ops::RangeBounds<u64>) -> u64 {
        self.with(|state| state.rng.u64(range))
    }

    /// Lets `millis` pass in a life. A frozen host goes on when it is thawed, an ended life never.
    pub(crate) async fn pass(&self, life: Life, millis: u64) {
        let mut pause = millis;
        loop {
            sleep(Duration::from_millis(pause)).await;
            let (is_over, left) = self.with(|state| {
                let link = &state.links[life.host];
                (link.life != life.number, link.frozen_until.saturating_sub(state.now))
            });
            if is_over {
                std::future::pending::<()>().await;
            }
            if left == 0 {
                return;
            }
            pause = left;
        }
    }
}
