//! What the cases share: a clock that stands, a file of their own, and a store that stops in a save.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;
use tower_teamup_auth::store::{FileStore, StoredRecord, TokenStore};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{Auth, Credentials, RequestMode};

use crate::support::{Http, Protocol, credentials, layered};

pub(crate) const MODE: RequestMode = RequestMode::Provider;

/// A test of seconds that still runs by then hangs, however busy the machine.
const LONGEST_STANDSTILL: Duration = Duration::from_secs(300);

/// Tokio's clock, which stands unless it is told to move.
///
/// A paused clock moves by itself while sockets are waited for, unless a blocking task runs: this
/// value holds one. For a runtime of one thread.
///
/// What waits for a timer never ends while the clock stands, and whoever finds a lease taken waits for
/// one. What may meet the lease of another process is awaited through [`running`](Self::running).
pub(crate) struct StandingClock {
    _holds: mpsc::Sender<()>,
}

impl StandingClock {
    pub(crate) fn start() -> Self {
        tokio::time::pause();
        let (holds, held) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || {
            if held.recv_timeout(LONGEST_STANDSTILL) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("the test waits for what only a timer can end, and its clock stands");
                std::process::abort();
            }
        });
        StandingClock { _holds: holds }
    }

    /// Lets so many seconds pass, one after the other: what counts running time counts each.
    pub(crate) async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            // A timer ends with the next whole millisecond of the clock.
            tokio::time::advance(Duration::from_millis(1001)).await;
            run_tasks().await;
        }
    }

    /// Lets the time run as it does on the wall, until `work` is done.
    pub(crate) async fn running<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::time::resume();
        let done = work.await;
        tokio::time::pause();
        done
    }

    /// Lets the time pass at once, as for a process that stood still meanwhile.
    pub(crate) async fn jump(&self, by: Duration) {
        tokio::time::advance(by).await;
        run_tasks().await;
    }
}

/// Lets everything go on that can: each yield looks at the sockets, too.
pub(crate) async fn run_tasks() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A file in a folder of its own.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap().join("tokens.json")
    }

    pub(crate) fn store(&self) -> FileStore {
        FileStore::new(self.path())
    }

    pub(crate) async fn record(&self) -> StoredRecord {
        self.store().load().await.unwrap().expect("a record")
    }

    /// The refresh token that the file holds.
    pub(crate) async fn refresh_token(&self) -> String {
        let record = self.record().await;
        record.tokens().expect("tokens").refresh_token().expose().to_owned()
    }
}

/// The layer over a client of its own, as another program has it.
pub(crate) fn api_of(credentials: &Credentials) -> Auth<Http> {
    layered(credentials.clone(), Protocol::Http1.client())
}

/// A further process on the same file: credentials of its own, with what is stored.
pub(crate) async fn process_on(server: &FakeTeamUp, place: &Place) -> Credentials {
    let builder = credentials(server, &Protocol::Http1.client());
    builder.store(place.store()).build().await.unwrap()
}

/// A point at which somebody stands still until the test lets them go on.
pub(crate) struct Gate {
    reached: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

/// A gate, and what stops at it: the first call alone.
pub(crate) fn gate() -> (Gate, impl Fn() + Send + Sync + 'static) {
    let (reach, reached) = mpsc::channel();
    let (go_on, told) = mpsc::channel::<()>();
    let ends = std::sync::Mutex::new(Some((reach, told)));
    let stop = move || {
        let ends = ends.lock().unwrap().take();
        if let Some((reach, told)) = ends {
            let _ = reach.send(());
            // An error means that the test is over.
            let _ = told.recv();
        }
    };
    (Gate { reached, go_on }, stop)
}

impl Gate {
    /// Waits until somebody stands there.
    pub(crate) fn reached(&self) {
        self.reached.recv_timeout(Duration::from_secs(60)).expect("somebody comes to the gate");
    }

    pub(crate) fn open(&self) {
        self.go_on.send(()).unwrap();
    }
}
