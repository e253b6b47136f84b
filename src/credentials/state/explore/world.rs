//! What surrounds the machine while it is explored: a worker, a store, an endpoint, a second process
//! and time, all of them data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::*;
use super::steps::{Delay, Ending, Step};
use crate::token::AccessToken;

/// The lease of a process, and an error: numbers that name them.
pub(super) type State = CredentialState<u32, u8>;

const LIFETIME: Duration = Duration::from_secs(7200);
const LEASE_TERM: Duration = Duration::from_secs(10);
const START: Moment = Moment { monotonic: 1_000, wall: 1_000 };

/// The state machine, all that it acts upon, and what a check has to remember.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) state: State,
    /// What the worker is doing.
    pub(super) action: Option<(u32, Action<u32>)>,
    /// What a worker that was replaced has not done yet.
    pub(super) delayed: Option<Action<u32>>,
    pub(super) now: Moment,
    pub(super) record: Option<StoredRecord>,
    pub(super) holder: Option<Holder>,
    /// Until when this process may rely on the lease that it was granted.
    lease_until: Moment,
    next_lease: u32,
    pub(super) grants: Vec<Grant>,
    /// Who waits, for what, since which login.
    pub(super) tickets: BTreeMap<Ticket, Expectation>,
    /// Generations whose refresh has completed.
    pub(super) completed: BTreeSet<(u32, RequestMode, u32)>,
    /// Refresh tokens of which this process was told that they are spent or refused.
    pub(super) known_spent: BTreeSet<(u8, u32)>,
    /// Leases that were granted without an answer to this process.
    pub(super) leaked: BTreeSet<u32>,
    pub(super) events_left: u8,
    /// The worker was lost, and no other has begun.
    died: bool,
}

/// Who has the lease; `lease` is `None` for the second process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    pub(super) lease: Option<u32>,
    until: Moment,
}

/// A login, as the endpoint knows it: which refresh token of it is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    pub(super) live: u32,
    /// An answer that held the live token was lost.
    pub(super) lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Expectation {
    Refresh { login_epoch: u32 },
    Change,
    Settle,
}

/// A text that says to which login a token belongs, and which of its tokens it is.
pub(super) fn refresh_token(login: u8, number: u32) -> RefreshToken {
    RefreshToken::new(format!("{login}.{number}")).unwrap()
}

/// The two numbers of a token, of either kind.
pub(super) fn parse(text: &str) -> (u8, u32) {
    let (login, number) = text.split_once('.').unwrap();
    (login.parse().unwrap(), number.parse().unwrap())
}

fn login_id(login: u8) -> LoginId {
    LoginId::from_bytes([login; 16])
}

fn issue(login: u8, number: u32, now: Moment) -> IssuedToken {
    let token = AccessToken::new(format!("{login}.{number}")).unwrap();
    IssuedToken { token, expires_at: Some(now.wall_time() + LIFETIME) }
}

fn config() -> Config {
    Config {
        has_store: true,
        renewal: Renewal::Refresh,
        base_url: "https://t".into(),
        window: RefreshWindow { leeway: Duration::from_secs(300), jitter: 0 },
        lease_wait: Duration::from_secs(3),
        limit: RefreshLimit { count: 5, window: Duration::from_secs(30) },
        keep_warm: None,
    }
}

impl World {
    /// A login with an access token of the provider mode, in the store; or nothing at all.
    pub(super) fn new(logged_in: bool, events: u8) -> Self {
        let issued = issue(1, 1, START);
        let tokens = TokenSet::new(refresh_token(1, 1)).with_access_token_until(
            RequestMode::Provider,
            issued.token,
            issued.expires_at,
        );
        let record = StoredRecord::new(login_id(1), 1, RecordContent::Tokens(tokens))
            .with_base_url(&config().base_url);
        let record = logged_in.then_some(record);
        World {
            state: State::new(config(), record.clone(), START),
            action: None,
            delayed: None,
            now: START,
            record,
            holder: None,
            lease_until: START,
            next_lease: 1,
            grants: vec![Grant { live: 1, lost: false }; usize::from(logged_in)],
            tickets: BTreeMap::new(),
            completed: BTreeSet::new(),
            known_spent: BTreeSet::new(),
            leaked: BTreeSet::new(),
            events_left: events,
            died: false,
        }
    }

    fn tick(&self) -> Tick {
        Tick { now: self.now, jitter: 0 }
    }

    pub(super) fn grant(&self, login: u8) -> Grant {
        self.grants[usize::from(login) - 1]
    }

    fn holder(&self) -> Option<Holder> {
        self.holder.filter(|holder| !self.now.has_reached(holder.until))
    }

    /// Does this process have the lease, by the store's word?
    pub(super) fn is_leased(&self) -> bool {
        let lease = self.state.lease().copied();
        lease.is_some() && self.holder().is_some_and(|holder| holder.lease == lease)
    }

    pub(super) fn free_for_other(&self) -> bool {
        self.holder().is_none_or(|holder| holder.lease.is_none())
    }

    /// Takes the step. Returns what the machine told the world with it, in order.
    pub(super) fn take(&mut self, step: Step) -> Vec<Effects<u8>> {
        if !self.free_steps().contains(&step) {
            self.events_left = self.events_left.saturating_sub(1);
        }
        match step {
            Step::Ask(mode, reason) => {
                let generation = self.state.generation(mode);
                let asked = Expectation::Refresh { login_epoch: self.state.login_epoch };
                return self.enqueue(Operation::Refresh { generation, reason }, asked);
            }
            Step::LogIn | Step::LogInOver => {
                let (login, tokens) = self.new_login();
                let overwrite = step == Step::LogInOver;
                let operation = Operation::LogIn { login, tokens, overwrite };
                return self.enqueue(operation, Expectation::Change);
            }
            Step::SignOut | Step::SignOutOver => {
                let overwrite = step == Step::SignOutOver;
                let operation = Operation::SignOut { login: login_id(99), overwrite };
                return self.enqueue(operation, Expectation::Change);
            }
            Step::Flush => return self.enqueue(Operation::Flush, Expectation::Settle),
            Step::Close => return self.enqueue(Operation::Close, Expectation::Settle),
            Step::Next => return vec![self.next()],
            Step::End(ending) => return vec![self.end(ending)],
            Step::Die { done } => return vec![self.die(done)],
            Step::Replace(delay) => self.replace(delay),
            Step::Delayed => {
                let action = self.delayed.take().expect("there is such an action");
                self.perform_unheard(action);
            }
            Step::LeasesRunOut => self.advance(LEASE_TERM + Duration::from_secs(1)),
            Step::TokensExpire => self.advance(LIFETIME),
            Step::TimePasses { power } => self.advance(Duration::from_millis(1 << power)),
            Step::OtherHolds => {
                self.holder = Some(Holder { lease: None, until: self.now.plus(LEASE_TERM) });
            }
            Step::OtherReleases => self.holder = None,
            Step::OtherRefreshes => self.other_refreshes(),
            Step::OtherLogsIn => {
                let (login, tokens) = self.new_login();
                let revision = self.stored_revision().max(self.now.wall) + 1;
                self.put(StoredRecord::new(login, revision, RecordContent::Tokens(tokens)));
            }
            Step::OtherSignsOut => {
                if let Some(record) = &self.record {
                    let next = record.with_content(RecordContent::SignedOut);
                    let next = next.at_revision(record.revision() + 1);
                    self.put(next);
                }
            }
        }
        Vec::new()
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
        self.holder = self.holder();
    }

    fn stored_revision(&self) -> u64 {
        self.record.as_ref().map_or(0, StoredRecord::revision)
    }

    fn put(&mut self, record: StoredRecord) {
        self.record = Some(record.with_base_url(&config().base_url));
        self.holder = None;
    }

    fn new_login(&mut self) -> (LoginId, TokenSet) {
        self.grants.push(Grant { live: 1, lost: false });
        let login = u8::try_from(self.grants.len()).unwrap();
        (login_id(login), TokenSet::new(refresh_token(login, 1)))
    }

    fn enqueue(&mut self, operation: Operation, asked: Expectation) -> Vec<Effects<u8>> {
        let (enqueued, effects) = self.state.enqueue(operation, self.tick());
        match enqueued {
            Enqueued::Waits { ticket, .. } => {
                self.tickets.insert(ticket, asked);
                vec![effects]
            }
            Enqueued::Settled(result) => {
                // Told at once: as if somebody had waited.
                self.tickets.insert(Ticket::MAX, asked);
                let mut told = Effects::default();
                told.wake.push((Ticket::MAX, result));
                vec![effects, told]
            }
        }
    }

    fn next(&mut self) -> Effects<u8> {
        // Workers are told apart only while two are alive.
        self.state.worker_epoch = 0;
        let started = self.state.start_worker();
        assert!(!self.died || started.is_some(), "nobody takes the place of a lost worker");
        self.died = false;
        let worker = started.or(self.state.worker).expect("there is work");
        let left = self.state.lease().map(|_| self.now.until(self.lease_until));
        let (action, effects) = self.state.next(self.tick(), left);
        self.action = (action != Action::Idle).then_some((worker, action));
        effects
    }

    fn renew(&mut self) {
        if self.state.lease_to_renew().is_some() && self.is_leased() {
            let until = self.now.plus(LEASE_TERM);
            self.lease_until = until;
            self.holder = self.holder.map(|holder| Holder { until, ..holder });
        }
    }

    fn end(&mut self, ending: Ending) -> Effects<u8> {
        let (worker, action) = self.action.take().expect("there is an action");
        let outcome = match (action, ending) {
            (Action::AcquireLease, Ending::Fails) => Outcome::NotAcquired { error: 1 },
            (Action::AcquireLease, Ending::FailsButIsDone) => {
                let leaked = self.acquire();
                self.leaked.extend(leaked);
                Outcome::NotAcquired { error: 1 }
            }
            (Action::AcquireLease, _) => {
                let lease = self.acquire();
                Outcome::Acquired { lease, found: Some(self.load()) }
            }
            (Action::Load, Ending::Fails) => Outcome::Loaded { found: Found::Unavailable(1) },
            (Action::Load, Ending::Corrupt) => Outcome::Loaded { found: Found::Corrupt(1) },
            (Action::Load, Ending::Locked) => Outcome::Loaded { found: Found::Locked(1) },
            (Action::Load, _) => Outcome::Loaded { found: self.load() },
            (Action::SendRefresh { refresh_token, mode }, ending) => {
                self.renew();
                if self.state.is_request_obsolete() && ending == Ending::Well {
                    Outcome::Abandoned
                } else {
                    self.answer(&refresh_token, mode, ending)
                }
            }
            (Action::Save { .. }, Ending::Fails) => {
                Outcome::NotSaved { conflict: false, lease_lost: false, error: 1 }
            }
            (Action::Save { lease, expected, record }, ending) => {
                self.renew();
                let outcome = self.save(lease, expected, &record);
                match ending {
                    Ending::FailsButIsDone => {
                        Outcome::NotSaved { conflict: false, lease_lost: false, error: 1 }
                    }
                    _ => outcome,
                }
            }
            (Action::ReleaseLease { .. }, Ending::Fails) => Outcome::NotReleased { error: 1 },
            (Action::ReleaseLease { lease }, ending) => {
                self.release(lease);
                match ending {
                    Ending::FailsButIsDone => Outcome::NotReleased { error: 1 },
                    _ => Outcome::Released,
                }
            }
            (Action::Sleep { pause, .. }, ending) => {
                if ending == Ending::Well {
                    // It is renewed meanwhile.
                    self.renew();
                    self.now = self.now.plus(pause);
                    self.renew();
                    self.holder = self.holder();
                }
                Outcome::Woke
            }
            (Action::ReadSource, _) => unreachable!("these credentials are refreshed"),
            (Action::Idle, _) => unreachable!("an idle worker has ended"),
        };
        self.state.complete(worker, outcome, self.tick())
    }

    fn acquire(&mut self) -> Option<u32> {
        if self.holder().is_some() {
            return None;
        }
        let lease = self.next_lease;
        self.next_lease += 1;
        let until = self.now.plus(LEASE_TERM);
        self.holder = Some(Holder { lease: Some(lease), until });
        self.lease_until = until;
        Some(lease)
    }

    fn load(&self) -> Found<u8> {
        self.record.clone().map_or(Found::Empty, |record| Found::Record(Box::new(record)))
    }

    fn release(&mut self, lease: u32) {
        self.holder = self.holder.filter(|holder| holder.lease != Some(lease));
    }

    fn save(&mut self, lease: u32, expected: Expected, record: &StoredRecord) -> Outcome<u32, u8> {
        if self.holder().is_none_or(|holder| holder.lease != Some(lease)) {
            return Outcome::NotSaved { conflict: false, lease_lost: true, error: 1 };
        }
        if self.record.as_ref() == Some(record) || expected.allows(self.record.as_ref()) {
            self.record = Some(record.clone());
            return Outcome::Saved;
        }
        Outcome::NotSaved { conflict: true, lease_lost: false, error: 1 }
    }

    /// The endpoint takes a refresh token; `None` if it is spent.
    fn spend(&mut self, token: (u8, u32)) -> Option<u32> {
        let grant = &mut self.grants[usize::from(token.0) - 1];
        if grant.live != token.1 {
            return None;
        }
        grant.live += 1;
        Some(grant.live)
    }

    fn answer(
        &mut self,
        sent: &RefreshToken,
        mode: RequestMode,
        ending: Ending,
    ) -> Outcome<u32, u8> {
        let token = parse(sent.expose());
        let generation = self.state.generation(mode);
        let heard = !self.state.is_request_obsolete();
        let failed = |class, rotated, retry_after| Outcome::RefreshFailed {
            failure: RequestFailure { class, retry_after, rotated, error: 2 },
        };
        let fails = |class, rotated| failed(class, rotated, None);
        match ending {
            Ending::Fails => return fails(FailureClass::OutcomeUnknown, None),
            Ending::Transient => return fails(FailureClass::Transient, None),
            Ending::RateLimited => {
                let retry_after = Some(Duration::from_secs(1800));
                return failed(FailureClass::Transient, None, retry_after);
            }
            Ending::ProbablyRejected => return fails(FailureClass::ProbablyRejected, None),
            Ending::NotTheEndpoint => return fails(FailureClass::NotTheEndpoint, None),
            Ending::Configuration => return fails(FailureClass::Configuration, None),
            _ => {}
        }
        if ending == Ending::FailsButIsDone {
            self.grants[usize::from(token.0) - 1].lost |= self.spend(token).is_some();
            return fails(FailureClass::OutcomeUnknown, None);
        }
        let is_live = self.grant(token.0).live == token.1;
        let number = match ending {
            Ending::WithoutRotation if is_live => None,
            _ => match self.spend(token) {
                Some(number) => Some(number),
                None => {
                    self.known_spent.insert(token);
                    return fails(FailureClass::Rejected, None);
                }
            },
        };
        let rotated = number.map(|number| refresh_token(token.0, number));
        if rotated.is_some() {
            self.known_spent.insert(token);
        }
        if ending == Ending::WithRotatedToken {
            return fails(FailureClass::OutcomeUnknown, rotated);
        }
        if heard {
            self.completed.insert((generation.login_epoch, mode, generation.count));
        }
        let issued = issue(token.0, number.unwrap_or(token.1), self.now);
        let response = Minted { refresh_token: rotated, issued };
        Outcome::Refreshed { response, sent_at: self.now }
    }

    fn die(&mut self, done: bool) -> Effects<u8> {
        let (worker, action) = self.action.take().expect("there is an action");
        if done {
            self.perform_unheard(action);
        }
        self.died = true;
        self.state.worker_gone(worker, 3, self.tick())
    }

    fn replace(&mut self, delay: Delay) {
        let (_, action) = self.action.take().expect("there is an action");
        match delay {
            Delay::Done => self.perform_unheard(action),
            Delay::Later => self.delayed = Some(action),
            Delay::Never => {}
        }
        if self.state.replace_worker().is_none() {
            // Nothing is left to do: the worker ends.
            self.state.worker_gone(1, 3, self.tick());
        }
        self.died = true;
        // The new one asks for its action later.
        self.state.worker = None;
    }

    /// An action is done of which the machine never hears.
    fn perform_unheard(&mut self, action: Action<u32>) {
        match action {
            Action::AcquireLease => {
                let until = self.lease_until;
                let leaked = self.acquire();
                self.leaked.extend(leaked);
                self.lease_until = until;
            }
            Action::SendRefresh { refresh_token, .. } => {
                let token = parse(refresh_token.expose());
                self.grants[usize::from(token.0) - 1].lost |= self.spend(token).is_some();
            }
            Action::Save { lease, expected, record } => {
                self.save(lease, expected, &record);
            }
            Action::ReleaseLease { lease } => self.release(lease),
            Action::Load | Action::ReadSource | Action::Sleep { .. } | Action::Idle => {}
        }
    }

    fn other_refreshes(&mut self) {
        let Some(record) = self.record.clone() else { return };
        let RecordContent::Tokens(tokens) = record.content() else { return };
        let token = parse(tokens.refresh_token().expose());
        let next = record.clone().at_revision(record.revision() + 1);
        let next = match self.spend(token) {
            Some(number) => {
                let issued = issue(token.0, number, self.now);
                next.with_content(RecordContent::Tokens(
                    tokens.clone().with_refresh_token(refresh_token(token.0, number)),
                ))
                .map_tokens(|tokens| {
                    tokens.with_access_token_until(
                        RequestMode::Customer,
                        issued.token,
                        issued.expires_at,
                    )
                })
            }
            None => next.with_content(RecordContent::Rejected(tokens.clone())),
        };
        self.put(next);
    }

    /// A long time passes: every pause and every lease is over, and every access token has expired.
    pub(super) fn rest(&mut self) {
        self.advance(Duration::from_secs(100_000));
    }

    /// Somebody asks for a refresh.
    pub(super) fn ask_again(&mut self) -> Vec<Effects<u8>> {
        let generation = self.state.generation(RequestMode::Provider);
        let asked = Expectation::Refresh { login_epoch: self.state.login_epoch };
        self.enqueue(Operation::Refresh { generation, reason: Reason::Requested }, asked)
    }
}
