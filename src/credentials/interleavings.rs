//! The interleavings of the threads and tasks of one credential, drawn by shuttle: the mutex around the
//! state, the snapshots, the waiters, workers that are lost or replaced.
//!
//! The worker, the store client and the waits are the shipped ones. The store is a `MemoryStore`, the
//! endpoint a value of this file. `scripts/interleavings` runs it.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use shuttle::future::{block_on, yield_now};
use shuttle::thread;

use super::core::{ChangeHook, Core, Renewer, Submitted};
use super::deadlines::RefreshWindow;
use super::snapshot::{LocalSnapshot, Snapshot};
use super::state::{Config, CredentialState, Operation, Reason, RefreshLimit, Renewal};
use super::sync::{CLOCK, WORKERS_MAY_DIE};
use super::{PendingRefresh, Settings, StoreClient};
use crate::error::Error;
use crate::headers::{AuthScheme, RequestMode};
use crate::origin::{Origin, Origins};
use crate::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use crate::store::{
    Attempt, Expected, LoginId, MemoryLease, MemoryStore, RecordContent, StoreError, StoredRecord,
    TokenStore,
};
use crate::token::TokenSet;

const PROVIDER: RequestMode = RequestMode::Provider;
const CUSTOMER: RequestMode = RequestMode::Customer;

/// What user code does: it asks the credential something. Under the mutex it would never be answered:
/// shuttle panics there, and the credential catches what user code panics with.
#[derive(Default)]
struct Observer {
    core: OnceLock<Weak<Core>>,
    calls: AtomicUsize,
    /// A look that was never answered.
    was_blocked: AtomicBool,
}

/// Notes that a look ends in a panic.
struct Looking<'a>(&'a AtomicBool);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

impl Observer {
    fn look(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let _looking = Looking(&self.was_blocked);
        if let Some(core) = self.core.get().and_then(Weak::upgrade) {
            core.read(|state| state.has_work());
        }
    }
}

impl Wake for Observer {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

/// Mints, rotates, and is asked by one at a time.
#[derive(Default)]
struct Endpoint {
    observer: Arc<Observer>,
    running: AtomicUsize,
    /// The login and the number of each refresh token that was spent.
    spent: Mutex<BTreeSet<(u8, u32)>>,
    /// A worker may be lost with the answer: then a spent token is sent once more.
    loses_answers: bool,
    /// Requests of the first login are never answered.
    is_silent: bool,
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Refresh for Endpoint {
    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        self.observer.look();
        let running = self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(&self.running);
        assert_eq!(running, 0, "two workers send a refresh request at once");
        yield_now().await;
        let (login, number) = parse(request.refresh_token().expose());
        let is_new = self.spent.lock().unwrap().insert((login, number));
        if self.is_silent && login == 1 {
            std::future::pending::<()>().await;
        }
        assert!(is_new || self.loses_answers, "P2: {login}.{number} was spent before");
        if !is_new {
            return Err(RefreshError::rejected("this token was spent before"));
        }
        yield_now().await;
        let [access, refresh] = [(); 2].map(|()| format!("{login}.{}", number + 1));
        let lifetime = Some(Duration::from_secs(7200));
        Ok(RefreshResponse::new(access.parse().unwrap(), lifetime, refresh.parse().unwrap()))
    }
}

fn parse(token: &str) -> (u8, u32) {
    let (login, number) = token.split_once('.').unwrap();
    (login.parse().unwrap(), number.parse().unwrap())
}

/// A `MemoryStore` whose `changed` needs no timer.
#[derive(Clone, Debug, Default)]
struct Store(MemoryStore);

impl TokenStore for Store {
    type Lease = MemoryLease;

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        yield_now().await;
        self.0.load().await
    }

    async fn try_acquire(&self) -> Result<Attempt<MemoryLease>, StoreError> {
        yield_now().await;
        self.0.try_acquire().await
    }

    async fn renew(&self, lease: &MemoryLease) -> Result<MemoryLease, StoreError> {
        self.0.renew(lease).await
    }

    async fn release(&self, lease: MemoryLease) -> Result<(), StoreError> {
        yield_now().await;
        self.0.release(lease).await
    }

    async fn save(
        &self,
        lease: &MemoryLease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        yield_now().await;
        self.0.save(lease, expected, record).await
    }

    async fn delete(&self, lease: &MemoryLease) -> Result<(), StoreError> {
        self.0.delete(lease).await
    }

    async fn changed(&self) {
        yield_now().await;
    }
}

struct Scene {
    core: Arc<Core>,
    endpoint: Arc<Endpoint>,
    store: Store,
}

impl Scene {
    fn new(loses_answers: bool) -> Self {
        Scene::with(Endpoint { loses_answers, ..Endpoint::default() })
    }

    fn with(endpoint: Endpoint) -> Self {
        let endpoint = Arc::new(endpoint);
        let observer = Arc::clone(&endpoint.observer);
        let base_url: Arc<str> = "https://t.test/api".into();
        let tokens = TokenSet::new("1.1".parse().unwrap());
        let record =
            StoredRecord::new(LoginId::from_bytes([1; 16]), 1, RecordContent::Tokens(tokens))
                .with_base_url(&base_url);
        let store = Store::default();
        store.0.write(record.clone());
        let limit = RefreshLimit { count: 5, window: Duration::from_secs(30) };
        let config = Config {
            has_store: true,
            renewal: Renewal::Refresh,
            base_url: Arc::clone(&base_url),
            window: RefreshWindow { leeway: Duration::from_secs(300), jitter: 0 },
            lease_wait: Duration::from_secs(30),
            limit,
            keep_warm: None,
        };
        let base = Origin::for_credentials("base URL", &base_url.parse().unwrap()).unwrap();
        let settings = Settings {
            mode: PROVIDER,
            provider_id: None,
            scheme: AuthScheme::Bearer,
            origins: Origins::new(base, Vec::new()),
            limit,
            wait_timeout: Duration::from_secs(30),
            early_wait: Duration::from_secs(3),
            refresh_request_timeout: Duration::from_secs(120),
            clock: CLOCK.clone(),
            runtime: None,
            at_each_step: None,
        };
        let state = CredentialState::new(config, Some(record), settings.clock.now());
        let snapshot = Snapshot::empty(None).followed_by(&state.view(), settings.scheme);
        let client =
            StoreClient::new(Some(Arc::new(store.clone())), Duration::from_secs(5), base_url);
        let renewer = Renewer::Refresh(endpoint.clone());
        let mut core = Core::new(state, snapshot, client, renewer, settings);
        let hook: ChangeHook = Box::new({
            let observer = Arc::clone(&observer);
            move |_| observer.look()
        });
        core.on_change = Some(Box::new(hook));
        let core = Arc::new(core);
        observer.core.set(Arc::downgrade(&core)).unwrap();
        Scene { core, endpoint, store }
    }
}

/// Polls `task` with a waker that wakes the thread, and calls user code first.
struct Watched<F> {
    task: F,
    observer: Arc<Observer>,
}

struct WatchedWaker {
    thread: Waker,
    observer: Arc<Observer>,
}

impl Wake for WatchedWaker {
    fn wake(self: Arc<Self>) {
        self.observer.look();
        self.thread.wake_by_ref();
    }
}

impl<F: Future + Unpin> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let observer = Arc::clone(&self.observer);
        let waker = Arc::new(WatchedWaker { thread: cx.waker().clone(), observer });
        pin!(&mut self.task).poll(&mut Context::from_waker(&waker.into()))
    }
}

fn wait_for(core: &Arc<Core>, observer: &Arc<Observer>, submitted: Submitted) -> Result<(), Error> {
    let task = PendingRefresh::new(core, submitted, PROVIDER);
    block_on(Watched { task, observer: Arc::clone(observer) })
}

/// Asks for the token after the one that this thread sees, and waits for it.
fn refresh(core: &Arc<Core>, observer: &Arc<Observer>, mode: RequestMode) -> Result<(), Error> {
    let before = core.snapshot.load().mode(mode).generation;
    let operation = Operation::Refresh { generation: before, reason: Reason::Expired };
    let submitted = core.submit(operation);
    let ended = wait_for(core, observer, submitted);
    if ended.is_ok() {
        let after = core.snapshot.load().mode(mode).generation;
        assert_ne!(before, after, "a waiter was woken before the snapshot with its token came");
    }
    ended
}

fn submit_login(core: &Arc<Core>, login: u8) -> Submitted {
    let tokens = TokenSet::new(format!("{login}.1").parse().unwrap());
    let login = LoginId::from_bytes([login; 16]);
    core.submit(Operation::LogIn { login, tokens, overwrite: false })
}

fn log_in(core: &Arc<Core>, observer: &Arc<Observer>, login: u8) -> Result<(), Error> {
    let submitted = submit_login(core, login);
    let seen = core.snapshot.load().mode(PROVIDER).generation.login_epoch;
    assert!(seen >= 1, "a login has begun and requests still see the one before");
    wait_for(core, observer, submitted)
}

/// What is seen at rest: the newest snapshot is the state's, and the store has its record.
fn check_end(scene: &Scene) {
    let (core, store) = (&scene.core, &scene.store);
    for mode in RequestMode::ALL {
        let seen = core.snapshot.load().mode(mode).generation;
        assert_eq!(seen, core.read(|state| state.generation(mode)), "the snapshot is stale");
    }
    let flushed = wait_for(core, &scene.endpoint.observer, core.submit(Operation::Flush));
    flushed.expect("the store is well");
    let newest = core.read(|state| state.view().record.cloned());
    let stored = block_on(store.load()).unwrap();
    assert_eq!(stored, newest, "P12: the store lacks what was flushed");
    assert!(core.read(|state| state.is_at_rest()));
    let was_blocked = scene.endpoint.observer.was_blocked.load(Ordering::SeqCst);
    assert!(!was_blocked, "user code was called under the mutex");
}

/// How many executions are drawn for a test.
fn executions() -> usize {
    let text = std::env::var("INTERLEAVINGS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(500)
}

/// Half of the executions let any thread go on at each step; the others let some threads starve.
fn check(test: fn()) {
    let mut config = shuttle::Config::new();
    config.stack_size = 0x40000;
    config.max_steps = shuttle::MaxSteps::FailAfter(100_000);
    let random = shuttle::scheduler::RandomScheduler::new(executions());
    shuttle::Runner::new(random, config.clone()).run(test);
    let starving = shuttle::scheduler::PctScheduler::new(3, executions());
    shuttle::Runner::new(starving, config).run(test);
}

#[test]
fn p1_every_waiter_is_woken_after_its_snapshot_came_whoever_runs_first() {
    check(|| {
        let scene = Scene::new(false);
        let callers = [PROVIDER, PROVIDER, CUSTOMER].map(|mode| {
            let (core, observer) = (Arc::clone(&scene.core), Arc::clone(&scene.endpoint.observer));
            thread::spawn(move || refresh(&core, &observer, mode).expect("the endpoint is well"))
        });
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        check_end(&scene);
        // One that asks late may see the new token already, and asks for the one after it.
        let spent = scene.endpoint.spent.lock().unwrap().len();
        assert!((2..=3).contains(&spent), "{spent} refreshes for three callers");
        assert!(scene.endpoint.observer.calls.load(Ordering::SeqCst) > 0);
    });
}

#[test]
fn p2_a_worker_that_is_replaced_or_lost_runs_no_action_beside_its_successor() {
    check(|| {
        let scene = Scene::new(false);
        let (core, observer) = (Arc::clone(&scene.core), Arc::clone(&scene.endpoint.observer));
        let caller = thread::spawn(move || refresh(&core, &observer, PROVIDER));
        let core = Arc::clone(&scene.core);
        let replacing = thread::spawn(move || {
            for _ in 0..2 {
                core.replace_worker();
                thread::yield_now();
            }
        });
        caller.join().unwrap().expect("no request is dropped by a replacement");
        replacing.join().unwrap();
        check_end(&scene);
    });
}

#[test]
fn p2_every_waiter_is_told_although_workers_are_lost_at_any_point() {
    check(|| {
        WORKERS_MAY_DIE.store(true, Ordering::SeqCst);
        let scene = Scene::new(true);
        let callers = [PROVIDER, CUSTOMER].map(|mode| {
            let (core, observer) = (Arc::clone(&scene.core), Arc::clone(&scene.endpoint.observer));
            thread::spawn(move || {
                if let Err(error) = refresh(&core, &observer, mode) {
                    assert!(error.is_outcome_unknown() || error.is_login_required(), "{error:?}");
                }
            })
        });
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        WORKERS_MAY_DIE.store(false, Ordering::SeqCst);
        check_end(&scene);
    });
}

#[test]
fn p11_of_two_logins_at_once_the_snapshot_has_the_later_one() {
    check(|| {
        let scene = Scene::new(false);
        let people = [2, 3].map(|login| {
            let core = Arc::clone(&scene.core);
            thread::spawn(move || {
                submit_login(&core, login);
                core.snapshot.load().mode(PROVIDER).generation.login_epoch
            })
        });
        let seen = people.map(|person| person.join().unwrap());
        // Before anything else is published, which would mend it.
        let last = scene.core.snapshot.load().mode(PROVIDER).generation.login_epoch;
        assert_eq!(last, 2, "the snapshot of an earlier login came last");
        assert!(seen.contains(&2), "{seen:?}");
        check_end(&scene);
    });
}

#[test]
fn p11_a_login_ends_a_request_that_is_never_answered() {
    check(|| {
        let scene = Scene::with(Endpoint { is_silent: true, ..Endpoint::default() });
        let (core, observer) = (Arc::clone(&scene.core), Arc::clone(&scene.endpoint.observer));
        let caller = thread::spawn(move || {
            if let Err(error) = refresh(&core, &observer, PROVIDER) {
                assert!(error.is_login_changed(), "{error:?}");
            }
        });
        while scene.endpoint.running.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        log_in(&scene.core, &scene.endpoint.observer, 2).expect("the store is well");
        caller.join().unwrap();
        check_end(&scene);
    });
}

#[test]
fn p11_a_login_is_seen_at_once_and_by_every_copy_of_the_snapshot() {
    check(|| {
        let scene = Scene::new(false);
        let (core, observer) = (Arc::clone(&scene.core), Arc::clone(&scene.endpoint.observer));
        let caller = thread::spawn(move || {
            if let Err(error) = refresh(&core, &observer, PROVIDER) {
                assert!(error.is_login_changed(), "{error:?}");
            }
        });
        let (core, observer) = (Arc::clone(&scene.core), Arc::clone(&scene.endpoint.observer));
        let person = thread::spawn(move || log_in(&core, &observer, 2).expect("the store is well"));
        let core = Arc::clone(&scene.core);
        let service = thread::spawn(move || {
            let mut copy = LocalSnapshot::of(&core.snapshot);
            let mut last = (0, 0);
            for _ in 0..4 {
                let seen = copy.newest(&core.snapshot).mode(PROVIDER).generation;
                let seen = (seen.login_epoch, seen.count);
                assert!(seen >= last, "a copy went back from {last:?} to {seen:?}");
                last = seen;
                thread::yield_now();
            }
            copy
        });
        caller.join().unwrap();
        person.join().unwrap();
        let mut copy = service.join().unwrap();
        let newest = scene.core.snapshot.load().mode(PROVIDER).generation;
        assert_eq!(copy.newest(&scene.core.snapshot).mode(PROVIDER).generation, newest);
        check_end(&scene);
        let record = block_on(scene.store.load()).unwrap().unwrap();
        assert_eq!(record.login(), LoginId::from_bytes([2; 16]));
    });
}
