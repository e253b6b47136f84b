//! A process of a fleet: it has credentials of its own on the shared store, and does as it is told.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::mpsc as blocking;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::store::{FileStore, StoredRecord};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{Auth, AuthLayer, Credentials, Error, RequestMode, TokenSet};

use crate::log;
use crate::process::{OtherProcess, part, say, told};
use crate::redis_server::until;
use crate::shared::{HOUR, Shared, redis_store};
use crate::witness;

/// What the error of a caller says whose time limit has passed.
pub(crate) const NO_TOKEN_IN_TIME: &str = "no token came within the time limit";

const MODE: RequestMode = RequestMode::Provider;

const ANSWERED: &str = "answered ";
const REACHED: &str = "reached ";
const GO_ON: &str = "go on";
const BE_BUSY: &str = "be busy";
const BE_FREE: &str = "be free";

/// How a worker is to be.
#[derive(Clone)]
pub(crate) struct Plan {
    api: String,
    /// The step of a refresh, or of a save of the file store, at which it stops once.
    stop_at: Option<String>,
    lease_lifetime: Duration,
    wait_timeout: Duration,
    refresh_request_timeout: Duration,
    /// The threads of its runtime.
    threads: usize,
}

impl Plan {
    pub(crate) fn new(server: &FakeTeamUp) -> Self {
        Plan {
            api: server.base_url(),
            stop_at: None,
            lease_lifetime: HOUR,
            wait_timeout: Duration::from_secs(30),
            refresh_request_timeout: Duration::from_secs(120),
            threads: 2,
        }
    }

    pub(crate) fn stopping_at(mut self, step: &str) -> Self {
        self.stop_at = Some(step.to_owned());
        self
    }

    pub(crate) fn lease_lifetime(mut self, lifetime: Duration) -> Self {
        self.lease_lifetime = lifetime;
        self
    }

    pub(crate) fn wait_timeout(mut self, limit: Duration) -> Self {
        self.wait_timeout = limit;
        self
    }

    pub(crate) fn refresh_request_timeout(mut self, limit: Duration) -> Self {
        self.refresh_request_timeout = limit;
        self
    }

    pub(crate) fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    pub(crate) fn runtime_threads(&self) -> usize {
        self.threads
    }

    fn to_role(&self) -> String {
        let millis = |duration: Duration| duration.as_millis();
        format!(
            "{} {} {} {} {} {}",
            self.api,
            self.stop_at.as_deref().unwrap_or("-"),
            millis(self.lease_lifetime),
            millis(self.wait_timeout),
            millis(self.refresh_request_timeout),
            self.threads
        )
    }

    fn from_role(role: &str) -> Self {
        let [api, stop_at, lease_lifetime, wait_timeout, refresh_request_timeout, threads] =
            *role.split(' ').collect::<Vec<_>>()
        else {
            panic!("`{role}` is no plan")
        };
        let millis = |text: &str| Duration::from_millis(text.parse().unwrap());
        Plan {
            api: api.to_owned(),
            stop_at: (stop_at != "-").then(|| stop_at.to_owned()),
            lease_lifetime: millis(lease_lifetime),
            wait_timeout: millis(wait_timeout),
            refresh_request_timeout: millis(refresh_request_timeout),
            threads: threads.parse().unwrap(),
        }
    }
}

/// A worker as its parent sees it.
pub(crate) struct Worker {
    process: OtherProcess,
    /// The events that it has told of.
    log: Vec<String>,
    /// What it has answered while something else was waited for.
    answers: VecDeque<String>,
}

impl Worker {
    /// Starts `test` as a worker on the shared store, and waits until it has its credentials.
    pub(crate) fn start(test: &str, plan: &Plan, shared: &Shared) -> Self {
        let process = OtherProcess::start(test, &plan.to_role(), &shared.place());
        let mut worker = Worker { process, log: Vec::new(), answers: VecDeque::new() };
        assert_eq!(worker.answer(), "ready");
        worker
    }

    /// Has it send a request through its layer; the answer's status, or why there was none.
    pub(crate) fn request(&mut self) -> String {
        self.ask("request")
    }

    /// The same, sent again where its time limit was too short for a busy machine. The refresh that it waited
    /// for goes on.
    pub(crate) fn request_again(&mut self) -> String {
        let mut answer = String::new();
        until("a request ends within its time limit", || {
            answer = self.request();
            !answer.contains(NO_TOKEN_IN_TIME)
        });
        answer
    }

    /// Has it send a request, or refresh, and does not wait for the end.
    pub(crate) fn begin(&mut self, order: &str) {
        self.process.tell(order);
    }

    /// How what was begun has ended.
    pub(crate) fn ended(&mut self) -> String {
        self.answer()
    }

    /// Has it refresh now; "done", or why not.
    pub(crate) fn refresh(&mut self) -> String {
        self.ask("refresh")
    }

    /// The tokens of a new login.
    pub(crate) fn log_in(&mut self, tokens: &TokenSet) -> String {
        self.ask(&format!("log in {}", *StoredRecord::from(tokens.clone()).to_json()))
    }

    /// Begins a refresh, and waits until it stands at the step that its plan names.
    pub(crate) fn refresh_up_to_its_step(&mut self) {
        self.process.tell("refresh");
        let said = self.hear();
        assert!(said.starts_with(REACHED), "it said {said:?}: {:?}", self.log);
    }

    /// Lets it go on from that step, and waits for the refresh to end.
    pub(crate) fn finish_refresh(&mut self) -> String {
        self.process.tell(GO_ON);
        self.answer()
    }

    /// Has each of its `threads` run synchronous code, and waits until they do.
    pub(crate) fn becomes_busy(&mut self, threads: usize) {
        self.process.tell(BE_BUSY);
        let mut busy = 0;
        while busy < threads {
            let said = self.hear();
            match said.strip_prefix(ANSWERED) {
                Some(answer) => self.answers.push_back(answer.to_owned()),
                None => busy += 1,
            }
        }
    }

    pub(crate) fn becomes_free(&mut self) {
        self.process.tell(BE_FREE);
    }

    pub(crate) fn process(&self) -> &OtherProcess {
        &self.process
    }

    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Has it shut down, and sees that nothing was wrong.
    pub(crate) fn ends(mut self) {
        assert_eq!(self.ask("shut down"), "done");
        self.process.passes();
    }

    /// Waits until it has told of `event`: an answer may come before the events that led to it.
    pub(crate) fn tells_of(&mut self, event: &str) {
        while !self.has_told_of(event) {
            if let Some(said) = self.hear_or_keep() {
                panic!("it said {said:?} before it told of {event:?}: {:?}", self.log);
            }
        }
    }

    pub(crate) fn has_told_of(&self, event: &str) -> bool {
        self.log.iter().any(|line| line.contains(event))
    }

    pub(crate) fn log(&self) -> String {
        self.log.join("\n")
    }

    fn ask(&mut self, question: &str) -> String {
        self.process.tell(question);
        self.answer()
    }

    fn answer(&mut self) -> String {
        if let Some(answer) = self.answers.pop_front() {
            return answer;
        }
        let said = self.hear();
        match said.strip_prefix(ANSWERED) {
            Some(answer) => answer.to_owned(),
            None => panic!("it said {said:?}: {:?}", self.log),
        }
    }

    /// What it says next, save for the events.
    fn hear(&mut self) -> String {
        loop {
            if let Some(said) = self.hear_or_keep() {
                return said;
            }
        }
    }

    /// What it says next; `None` for an event, which is kept in the log.
    fn hear_or_keep(&mut self) -> Option<String> {
        let said = self.process.hear();
        if said.starts_with(ANSWERED) || said.starts_with(REACHED) {
            return Some(said);
        }
        witness::search("the log of a worker", &said);
        self.log.push(said);
        None
    }
}

/// Does a worker's work if this process is one; true when it is done.
pub(crate) async fn was_a_worker() -> bool {
    let Some((role, place)) = part::<OsString>() else { return false };
    // In a runtime of its own.
    tokio::task::spawn_blocking(move || work_by(&role, place)).await.unwrap();
    true
}

fn work_by(role: &str, place: OsString) {
    let plan = Plan::from_role(role);
    tracing::subscriber::set_global_default(log::subscriber(|| Telling)).unwrap();
    let runtime = match plan.threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        threads => {
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
        }
    };
    // The work is a task, so that what runs it is a worker thread of the runtime if it has any.
    let runtime = runtime.unwrap();
    let work = runtime.spawn(work(plan, place));
    runtime.block_on(work).unwrap();
}

async fn work(plan: Plan, place: OsString) {
    let (mut orders, go_on) = listen(plan.threads);
    let http_client: HyperClient = hyper_client();
    let credentials = credentials(&plan, place, http_client.clone(), go_on).await;
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(http_client);
    say(&format!("{ANSWERED}ready"));
    while let Some(order) = orders.recv().await {
        let answer = match order.as_str() {
            "request" => request(&api, &plan.api).await,
            "timed request" => format!("{} {}", request(&api, &plan.api).await, millis_now()),
            "refresh" => done(credentials.refresh(MODE).await),
            "refresh, and say who failed" => culprit(credentials.refresh(MODE).await),
            "shut down" => done(credentials.shutdown().await),
            _ => {
                let record = order.strip_prefix("log in ").expect("an order").as_bytes();
                let record = StoredRecord::from_json(record).unwrap();
                done(credentials.log_in(record.tokens().unwrap().clone()).await)
            }
        };
        say(&format!("{ANSWERED}{answer}"));
        if order == "shut down" {
            return;
        }
    }
}

/// Hears the parent on a thread of its own: orders are for the work, the word to go on is for the
/// step at which it stands. Threads that are to be busy run synchronous code until they are told.
fn listen(threads: usize) -> (mpsc::UnboundedReceiver<String>, blocking::Receiver<()>) {
    let runtime = Handle::current();
    let mut busy = Vec::new();
    let (order, orders) = mpsc::unbounded_channel();
    let (go_on, told_to_go_on) = blocking::channel();
    std::thread::spawn(move || {
        while let Some(line) = told() {
            let heard = match line.as_str() {
                GO_ON => go_on.send(()).is_ok(),
                BE_BUSY => {
                    busy.extend((0..threads).map(|_| keep_busy(&runtime)));
                    true
                }
                BE_FREE => {
                    busy.clear();
                    true
                }
                _ => order.send(line).is_ok(),
            };
            if !heard {
                return;
            }
        }
    });
    (orders, told_to_go_on)
}

/// Occupies a thread of the runtime until what is returned is dropped.
fn keep_busy(runtime: &Handle) -> blocking::Sender<()> {
    let (occupies, told) = blocking::channel();
    runtime.spawn(async move {
        say(&format!("{REACHED}busy"));
        // An error is the end of it. Nobody sends anything.
        let _ = told.recv();
    });
    occupies
}

async fn credentials(
    plan: &Plan,
    place: OsString,
    http_client: HyperClient,
    go_on: blocking::Receiver<()>,
) -> Credentials {
    let left = Mutex::new((plan.stop_at.clone(), go_on));
    let stop = std::sync::Arc::new(move |step: String| {
        let mut left = left.lock().unwrap();
        if left.0.take_if(|stop_at| *stop_at == step).is_some() {
            say(&format!("{REACHED}{step}"));
            // An error means that the parent has gone.
            let _ = tokio::task::block_in_place(|| left.1.recv());
        }
    });
    let stop_in_save = std::sync::Arc::clone(&stop);
    let builder = Credentials::builder(MODE)
        .base_url(&plan.api)
        .refresh_client(http_client)
        .wait_timeout(plan.wait_timeout)
        .refresh_request_timeout(plan.refresh_request_timeout)
        .at_each_step(move |step| stop(format!("{step:?}")));
    let builder = match place.to_str().filter(|place| place.starts_with("redis://")) {
        Some(url) => builder.store(redis_store(url.to_owned(), plan.lease_lifetime)),
        None => builder.store(
            FileStore::new(place).on_save_step(move |step| stop_in_save(format!("save-{step:?}"))),
        ),
    };
    builder.build().await.unwrap()
}

async fn request(api: &Auth<HyperClient>, base_url: &str) -> String {
    let answered = async {
        let request = Request::get(format!("{base_url}/events")).body(Full::default())?;
        let response = api.clone().oneshot(request).await?;
        let (head, body) = response.into_parts();
        body.collect().await?;
        Ok::<_, BoxError>((head.status, head.extensions.get::<Error>().cloned()))
    };
    match answered.await {
        Ok((StatusCode::OK, None)) => "200".to_owned(),
        Ok((status, reason)) => {
            format!("{status}: {}", reason.map_or("?".into(), |e| e.to_string()))
        }
        Err(error) => error.to_string(),
    }
}

/// The machine's own clock, the same in each process.
fn millis_now() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// Whom a person who reads the error would turn to.
fn culprit(result: Result<(), Error>) -> String {
    match result {
        Ok(()) => "nobody".to_owned(),
        Err(error) if error.is_store() => format!("the store: {error}"),
        Err(error) if error.refresh_error().is_some() => "the endpoint".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn done(result: Result<(), Error>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "done".to_owned())
}

/// Says each event to the parent.
struct Telling;

impl Write for Telling {
    /// The subscriber writes each event in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        say(String::from_utf8_lossy(line).trim_end());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
