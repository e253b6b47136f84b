//! Refreshes of whole credentials, one after the other and at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use tower_teamup_auth::store::TokenStore;
use tower_teamup_auth::{Credentials, RequestMode, TokenSet};

use crate::disk::Disk;
use crate::stopwatch::Stopwatch;

const MODE: RequestMode = RequestMode::Provider;

/// Longer than any store takes here: a refresh that fails would be no measurement.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long refreshes took, and how many came to nothing.
pub(crate) struct Times {
    sorted: Vec<Duration>,
    pub(crate) failed: usize,
    whole: Duration,
}

impl Times {
    pub(crate) fn count(&self) -> usize {
        self.sorted.len()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.sorted.len() as f64 / self.whole.as_secs_f64()
    }

    /// So many of a hundred took no longer; zero where there were none.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

/// Answers at once with a pair that is as long as TeamUp's.
struct Minted(AtomicU64);

impl Refresh for Minted {
    async fn refresh(&self, _: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let token = |kind| format!("{kind}-{number:0>40}");
        let [access, refresh] = ["access", "refresh"].map(token);
        Ok(RefreshResponse::new(
            access.parse().expect("a good token"),
            Some(Duration::from_secs(7200)),
            refresh.parse().expect("a good token"),
        ))
    }
}

/// Credentials on this store, with a record in it.
pub(crate) async fn credentials(store: impl TokenStore) -> Credentials {
    let tokens = TokenSet::new("a-refresh-token".parse().expect("a good token"));
    let builder = Credentials::builder(MODE).tokens(tokens).store(store).wait_timeout(PATIENCE);
    let credentials = builder.refresh_with(Minted(AtomicU64::new(0))).build().await;
    let credentials = credentials.expect("a store that works");
    credentials.refresh(MODE).await.expect("a store that works");
    credentials
}

/// So many, one after the other, or as many as the time allows. Fsyncs are
/// measured in between.
pub(crate) async fn in_turn(
    credentials: &Credentials,
    most: usize,
    time: Duration,
    mut disk: Option<&mut Disk>,
) -> Times {
    const BETWEEN: usize = 4;
    let mut sorted = Vec::new();
    let mut whole = Duration::ZERO;
    while sorted.len() < most && whole < time {
        if let (0, Some(disk)) = (sorted.len() % BETWEEN, &mut disk) {
            tokio::task::block_in_place(|| disk.sample());
        }
        let stopwatch = Stopwatch::start();
        credentials.refresh(MODE).await.expect("a store that works");
        let took = stopwatch.elapsed();
        whole += took;
        sorted.push(took);
    }
    sorted.sort_unstable();
    Times { sorted, failed: 0, whole }
}

/// One of each credential, all at once.
pub(crate) async fn at_once(credentials: Vec<Credentials>) -> Times {
    let (open, gate) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for credentials in credentials {
        let mut gate = gate.clone();
        tasks.spawn(async move {
            gate.wait_for(|open| *open).await.expect("the gate opens");
            let stopwatch = Stopwatch::start();
            let refreshed = credentials.refresh(MODE).await;
            (refreshed, stopwatch.elapsed())
        });
    }
    let start = Stopwatch::start();
    open.send_replace(true);
    let (mut sorted, mut failed) = (Vec::new(), Vec::new());
    while let Some(ended) = tasks.join_next().await {
        match ended.expect("no task panics") {
            (Ok(()), time) => sorted.push(time),
            (Err(error), _) => failed.push(error),
        }
    }
    let whole = start.elapsed();
    if let Some(error) = failed.first() {
        eprintln!("{} refreshes failed; the first: {error}", failed.len());
    }
    sorted.sort_unstable();
    Times { sorted, failed: failed.len(), whole }
}
