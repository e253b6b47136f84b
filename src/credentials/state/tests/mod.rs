//! The rules of the state machine, walked step by step: each test is the worker, the store, the endpoint
//! and the clock.

mod adoption;
mod failures;
mod leases;
mod logins;
mod m2m;
mod refreshes;
mod saves;
mod settling;
mod workers;

use std::time::Duration;

use super::*;
use crate::token::AccessToken;

pub(super) const CUSTOMER: RequestMode = RequestMode::Customer;
pub(super) const PROVIDER: RequestMode = RequestMode::Provider;

/// Two hours, as TeamUp has it.
const LIFETIME: Duration = Duration::from_secs(7200);

type Told = Vec<(Ticket, Result<(), Failure<&'static str>>)>;

/// A credential with one worker, whose every step a test takes.
struct TestCredential {
    state: CredentialState<u32, &'static str>,
    worker: u32,
    now: Moment,
    lease_left: Option<Duration>,
    told: Told,
    happened: Vec<Happened<&'static str>>,
    published: bool,
}

fn config() -> Config {
    Config {
        has_store: true,
        renewal: Renewal::Refresh,
        base_url: "https://goteamup.com/api".into(),
        window: RefreshWindow { leeway: Duration::from_secs(300), jitter: 0 },
        lease_wait: Duration::from_secs(30),
        limit: RefreshLimit { count: 5, window: Duration::from_secs(30) },
        keep_warm: None,
    }
}

const START: Moment = Moment { monotonic: 1_000, wall: 1_000_000 };

fn login(id: u8) -> LoginId {
    LoginId::from_bytes([id; 16])
}

fn refresh_token(text: &str) -> RefreshToken {
    RefreshToken::new(text).unwrap()
}

fn issued(text: &str, from: Moment, lifetime: Option<Duration>) -> IssuedToken {
    let expires_at = lifetime.map(|lifetime| from.wall_time() + lifetime);
    IssuedToken { token: AccessToken::new(text).unwrap(), expires_at }
}

fn tokens(refresh: &str) -> TokenSet {
    TokenSet::new(refresh_token(refresh))
}

/// With an access token of the provider mode that lives for two hours from `from` on.
fn tokens_with(refresh: &str, access: &str, from: Moment) -> TokenSet {
    let issued = issued(access, from, Some(LIFETIME));
    tokens(refresh).with_access_token_until(PROVIDER, issued.token, issued.expires_at)
}

fn record(login_id: u8, revision: u64, content: RecordContent) -> StoredRecord {
    StoredRecord::new(login(login_id), revision, content).with_base_url(&config().base_url)
}

fn found(record: &StoredRecord) -> Found<&'static str> {
    Found::Record(Box::new(record.clone()))
}

fn minted(refresh: Option<&str>, issued: IssuedToken) -> Minted {
    Minted { refresh_token: refresh.map(refresh_token), issued }
}

fn failure(class: FailureClass) -> RequestFailure<&'static str> {
    RequestFailure { class, retry_after: None, rotated: None, error: "endpoint" }
}

impl TestCredential {
    fn new(record: Option<StoredRecord>) -> Self {
        TestCredential::with(config(), record)
    }

    /// Login 1 at revision 1, refresh token `r1`, no access token.
    fn logged_in() -> Self {
        TestCredential::new(Some(record(1, 1, RecordContent::Tokens(tokens("r1")))))
    }

    /// The same with the access token `a1` of the provider mode.
    fn with_access_token() -> Self {
        TestCredential::new(Some(record(
            1,
            1,
            RecordContent::Tokens(tokens_with("r1", "a1", START)),
        )))
    }

    fn with(config: Config, record: Option<StoredRecord>) -> Self {
        TestCredential {
            state: CredentialState::new(config, record, START),
            worker: 0,
            now: START,
            lease_left: None,
            told: Vec::new(),
            happened: Vec::new(),
            published: false,
        }
    }

    fn tick(&self) -> Tick {
        Tick { now: self.now, jitter: 0 }
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    fn take(&mut self, effects: Effects<&'static str>) {
        self.told.extend(effects.wake);
        self.happened.extend(effects.happened);
        self.published |= effects.publish;
    }

    fn enqueue(&mut self, operation: Operation) -> Enqueued<&'static str> {
        let (enqueued, effects) = self.state.enqueue(operation, self.tick());
        self.take(effects);
        enqueued
    }

    fn ask(&mut self, mode: RequestMode, reason: Reason) -> Enqueued<&'static str> {
        let generation = self.state.generation(mode);
        self.enqueue(Operation::Refresh { generation, reason })
    }

    /// A refresh that has to wait.
    #[track_caller]
    fn refresh(&mut self, mode: RequestMode) -> Ticket {
        waits(&self.ask(mode, Reason::Expired))
    }

    #[track_caller]
    fn log_in(&mut self, id: u8, refresh: &str) -> Ticket {
        let tokens = tokens(refresh);
        waits(&self.enqueue(Operation::LogIn { login: login(id), tokens, overwrite: false }))
    }

    #[track_caller]
    fn sign_out(&mut self) -> Ticket {
        waits(&self.enqueue(Operation::SignOut { login: login(99), overwrite: false }))
    }

    fn next(&mut self) -> Action<u32> {
        if let Some(worker) = self.state.start_worker() {
            self.worker = worker;
        }
        let (action, effects) = self.state.next(self.tick(), self.lease_left);
        self.take(effects);
        action
    }

    fn complete(&mut self, outcome: Outcome<u32, &'static str>) {
        let effects = self.state.complete(self.worker, outcome, self.tick());
        self.take(effects);
    }

    #[track_caller]
    fn expect(&mut self, expected: &Action<u32>) {
        assert_eq!(self.next(), *expected);
    }

    #[track_caller]
    fn acquire(&mut self, found: Found<&'static str>) {
        self.expect(&Action::AcquireLease);
        self.complete(Outcome::Acquired { lease: Some(7), found: Some(found) });
    }

    /// Another process has the lease.
    #[track_caller]
    fn busy(&mut self, found: Found<&'static str>) {
        self.expect(&Action::AcquireLease);
        self.complete(Outcome::Acquired { lease: None, found: Some(found) });
    }

    #[track_caller]
    fn load(&mut self, found: Found<&'static str>) {
        self.expect(&Action::Load);
        self.complete(Outcome::Loaded { found });
    }

    #[track_caller]
    fn send(&mut self, refresh: &str, mode: RequestMode) {
        let refresh_token = refresh_token(refresh);
        self.expect(&Action::SendRefresh { refresh_token, mode });
    }

    /// The endpoint answers with these tokens.
    fn answer(&mut self, refresh: &str, access: &str) {
        let response = minted(Some(refresh), issued(access, self.now, Some(LIFETIME)));
        self.complete(Outcome::Refreshed { response, sent_at: self.now });
    }

    fn fail(&mut self, class: FailureClass) {
        self.complete(Outcome::RefreshFailed { failure: failure(class) });
    }

    /// The next action is a save of this, over what is expected.
    #[track_caller]
    fn saving(&mut self) -> (Expected, StoredRecord) {
        match self.next() {
            Action::Save { expected, record, .. } => (expected, *record),
            other => panic!("no save but {other:?}"),
        }
    }

    #[track_caller]
    fn save(&mut self) -> StoredRecord {
        let (_, record) = self.saving();
        self.complete(Outcome::Saved);
        record
    }

    #[track_caller]
    fn fail_save(&mut self) {
        self.saving();
        self.complete(Outcome::NotSaved { conflict: false, lease_lost: false, error: "disk" });
    }

    #[track_caller]
    fn release(&mut self) {
        assert!(matches!(self.next(), Action::ReleaseLease { .. }));
        self.complete(Outcome::Released);
    }

    /// Sleeps as long as the machine wants to.
    #[track_caller]
    fn sleep(&mut self) -> Duration {
        match self.next() {
            Action::Sleep { pause, .. } => {
                self.advance(pause);
                self.complete(Outcome::Woke);
                pause
            }
            other => panic!("no sleep but {other:?}"),
        }
    }

    #[track_caller]
    fn idle(&mut self) {
        self.expect(&Action::Idle);
    }

    fn result(&self, ticket: Ticket) -> Option<&Result<(), Failure<&'static str>>> {
        let told: Vec<_> = self.told.iter().filter(|(told, _)| *told == ticket).collect();
        assert!(told.len() <= 1, "a ticket is told once");
        told.first().map(|(_, result)| result)
    }

    #[track_caller]
    fn is_ok(&self, ticket: Ticket) {
        assert_eq!(self.result(ticket), Some(&Ok(())));
    }

    #[track_caller]
    fn error(&self, ticket: Ticket) -> &Failure<&'static str> {
        match self.result(ticket) {
            Some(Err(failure)) => failure,
            other => panic!("no failure but {other:?}"),
        }
    }

    fn record(&self) -> &StoredRecord {
        self.state.record.as_ref().expect("there is a record")
    }

    fn refresh_text(&self) -> &str {
        self.record().tokens().map_or("", |tokens| tokens.refresh_token().expose())
    }

    fn access_text(&self, mode: RequestMode) -> Option<&str> {
        self.state.issued(mode).map(|issued| issued.token.expose())
    }

    /// Takes the lease, finds `stored`, sends its refresh token, and is answered with another and an
    /// access token.
    #[track_caller]
    fn rotate(
        &mut self,
        stored: &StoredRecord,
        mode: RequestMode,
        spent: &str,
        refresh: &str,
        access: &str,
    ) {
        self.acquire(found(stored));
        self.send(spent, mode);
        self.answer(refresh, access);
    }

    /// Saves, gives the lease back, and has nothing left to do.
    #[track_caller]
    fn save_and_release(&mut self) -> StoredRecord {
        let saved = self.save();
        self.release();
        self.idle();
        saved
    }

    /// A whole refresh of `mode` in which nothing goes wrong.
    #[track_caller]
    fn refresh_to(&mut self, mode: RequestMode, refresh: &str, access: &str) {
        let stored = self.record().clone();
        let before = self.refresh_text().to_owned();
        let ticket = self.refresh(mode);
        self.rotate(&stored, mode, &before, refresh, access);
        self.save_and_release();
        self.is_ok(ticket);
    }
}

#[track_caller]
fn waits(enqueued: &Enqueued<&'static str>) -> Ticket {
    match enqueued {
        Enqueued::Waits { ticket, .. } => *ticket,
        settled => panic!("settled: {settled:?}"),
    }
}
