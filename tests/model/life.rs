//! The real `AuthLayer` and `Credentials` at work in a scripted world, and how a history is lived.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http_body_util::{Either, Full};
use tokio::task::JoinHandle;
use tower::limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer};
use tower::{Layer, Service, ServiceExt};
use tower_teamup_auth::body::SendOnce;
use tower_teamup_auth::refresh::HttpService;
use tower_teamup_auth::store::{RecordContent, StoredRecord};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, AuthLayer, Credentials, Error, RefreshStep, RequestMode, TokenSet};

use crate::histories::{Begin, CallPlan, History, Op, Tokens};
use crate::model::Change;
use crate::readiness::{Checked, Counts};
use crate::server::{BASE, Body, CALL, Delivered, Server};
use crate::store::Store;
use crate::terms::{Answer, EARLY_WAIT, Refresh, SECRET, WAIT};
use crate::world::World;

/// What can be sent again, and what can't.
type Content = Either<Full<Bytes>, SendOnce<Full<Bytes>>>;

type Stack = Auth<Checked<ConcurrencyLimit<Server>>>;

/// After the last step, everything that is still under way must end within this time.
const LONGEST_END: Duration = Duration::from_secs(600);

/// Longer than any pause after a failure, and than the endpoint may ask to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(5500);

/// Routes that refuse fresh tokens are remembered one by one.
const ROUTES: [&str; 3] = ["events", "customers", "memberships"];

/// What a history came to.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) steps: usize,
    pub(crate) calls: usize,
    pub(crate) refresh_requests: usize,
    pub(crate) double_spent: usize,
    pub(crate) seconds: u64,
}

/// The credential at work, and all that is under way with it.
struct Life {
    world: World,
    credentials: Credentials,
    clock: Clock,
    has_store: bool,
    is_crowded: bool,
    /// Two layers around the same credentials: one lives on, the other is cloned for each request.
    stacks: [Stack; 2],
    counts: [Arc<Counts>; 2],
    under_way: Vec<JoinHandle<()>>,
    /// These are not dropped: their saves must end.
    changes: Vec<JoinHandle<()>>,
}

impl Life {
    async fn begin(begin: &Begin) -> Life {
        let world = World::new(begin);
        let store = Store { world: world.clone() };
        let room = GlobalConcurrencyLimitLayer::new(begin.room.unwrap_or(1 << 20));
        let server = room.layer(Server(world.clone()));
        let clock = Clock::tokio();
        let tokens = world.tokens(Refresh { login: 0, index: 0 }, begin.tokens);
        world.with(|state| {
            for mode in RequestMode::ALL {
                state.model.begins_with(mode, access_token(&tokens, mode));
            }
        });
        let hook = world.clone();
        let builder = Credentials::builder(RequestMode::Provider)
            .base_url(BASE)
            .clock(clock.clone())
            .wait_timeout(WAIT)
            .early_wait(EARLY_WAIT)
            .at_each_step(move |step| {
                if step == RefreshStep::LeaseAcquired {
                    hook.with(|state| state.model.lease_acquired());
                }
            })
            .refresh_client::<HttpService<Body>>(server.clone());
        let builder = if begin.store {
            world.with(|state| state.kept.record = Some(StoredRecord::from(tokens)));
            builder.store(store)
        } else {
            builder.tokens(tokens)
        };
        let credentials = builder.build().await.expect("credentials");
        let inner = [Checked::recording(server.clone()), Checked::recording(server)];
        let counts = [inner[0].counts(), inner[1].counts()];
        let stacks = inner.map(|inner| AuthLayer::new(credentials.clone()).layer(inner));
        let mut life = Life {
            world,
            credentials,
            clock,
            has_store: begin.store,
            is_crowded: begin.room.is_some(),
            stacks,
            counts,
            under_way: Vec::new(),
            changes: Vec::new(),
        };
        if begin.grown {
            life.grow();
        }
        life
    }

    /// A service that has had some requests is another than a young one, so the lasting one has had
    /// them: to another origin, where nothing is asked of the credentials.
    fn grow(&mut self) {
        let plan = CallPlan {
            mode: RequestMode::Provider,
            ours: false,
            repeatable: true,
            lasting: true,
            answers: [(Answer::Fine, 0); 2],
            patience: None,
        };
        (0..20).for_each(|_| self.call(&plan));
    }

    async fn step(&mut self, op: &Op) {
        let world = self.world.clone();
        match *op {
            Op::Call(ref plan) => self.call(plan),
            Op::Drop(which) => {
                self.under_way.retain(|task| !task.is_finished());
                if let Some(count) = self.under_way.len().checked_sub(1) {
                    self.under_way.swap_remove(which % (count + 1)).abort();
                }
            }
            Op::Pass(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Op::Revoke => world.with(|state| state.api.access.clear()),
            Op::Script(refresh_request) => {
                world.with(|state| state.api.script.push_back(refresh_request))
            }
            Op::Lifetime(lifetime) => world.with(|state| state.api.lifetime = lifetime),
            Op::Jump(ahead) => {
                let hour = Duration::from_secs(3600);
                match ahead {
                    true => self.clock.shift_wall(hour),
                    false => self.clock.shift_wall_back(hour),
                }
                world.with(|state| {
                    state.wall_shift += if ahead { 3_600_000 } else { -3_600_000 };
                    state.model.jumped();
                });
            }
            Op::LogIn(tokens) => {
                let refresh = world.login();
                let tokens = world.tokens(refresh, tokens);
                let held = RequestMode::ALL.map(|mode| access_token(&tokens, mode));
                let credentials = self.credentials.clone();
                self.change(Change::LogIn(refresh, held), async move {
                    credentials.log_in(tokens).await
                });
            }
            Op::SignOut => {
                let credentials = self.credentials.clone();
                self.change(Change::SignOut, async move { credentials.sign_out().await });
            }
            Op::RefreshNow(mode) => {
                let credentials = self.credentials.clone();
                self.under_way.push(tokio::spawn(async move {
                    world.with(|state| state.model.refresh_now_began(mode));
                    let error = credentials.refresh(mode).await.err();
                    world.with(|state| state.model.refresh_now_ended(mode, error.as_ref()));
                }));
            }
            Op::Shutdown => {
                let credentials = self.credentials.clone();
                self.under_way.push(tokio::spawn(async move {
                    world.with(|state| state.model.shutdown_began());
                    if credentials.shutdown().await.is_ok() {
                        world.with(|state| {
                            let is_leased = state.kept.holder.is_some_and(|lease| !lease.late);
                            state.model.shutdown_done(state.kept.refresh(), is_leased);
                        });
                    }
                }));
            }
            Op::Fault(op, fault, times) => world.with(|state| {
                state.kept.faults[op as usize].extend(std::iter::repeat_n(fault, times));
            }),
            Op::Mend => world.with(|state| state.kept.faults = Default::default()),
            Op::NeighbourRefreshes(mode) => self.neighbour_refreshes(mode),
            Op::NeighbourLogsIn { tokens, barges } => self.neighbour_logs_in(tokens, barges),
        }
    }

    /// Sends a request through the service that lives as long as the history, or through a clone of
    /// its own.
    fn call(&mut self, plan: &CallPlan) {
        let world = self.world.clone();
        let plan = plan.clone();
        let [lasting, cloned] = &mut self.stacks;
        let ready = |stack: &mut Stack| {
            let mut cx = Context::from_waker(Waker::noop());
            Service::<Request<Content>>::poll_ready(stack, &mut cx).is_ready()
        };
        // Where there is no room, whoever waits for it waits in a service of its own.
        let task = if plan.lasting && !self.is_crowded && ready(lasting) {
            let call = world.begin_call(&plan);
            let answer = lasting.call(request(call, &plan));
            tokio::spawn(world.watch(call, answer, plan.patience))
        } else {
            let mut stack = cloned.clone();
            tokio::spawn(async move {
                let call = world.begin_call(&plan);
                let request = request(call, &plan);
                // The service lives as long as the answer is awaited: what it reserves is not given
                // back by its end.
                let answer = async move {
                    ServiceExt::<Request<Content>>::ready(&mut stack).await?;
                    stack.call(request).await
                };
                world.watch(call, answer, plan.patience).await;
            })
        };
        self.under_way.push(task);
    }

    fn change(
        &mut self,
        change: Change,
        work: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        let world = self.world.clone();
        self.changes.push(tokio::spawn(async move {
            // It takes effect when `work` is first polled, and nobody else is before that.
            world.with(|state| state.model.changed(change));
            if let Err(error) = work.await {
                world.with(|state| state.model.may_fail_with(&error));
            }
        }));
    }

    /// Another process renews the token of `mode`, if it gets the lease.
    fn neighbour_refreshes(&self, mode: RequestMode) {
        self.world.with(|state| {
            let kept = &state.kept;
            let Some(refresh) = kept.usable().filter(|_| kept.holder.is_none()) else { return };
            let Some(record) = kept.record.clone() else { return };
            if state.api.alive[refresh.login] != refresh.index {
                return;
            }
            let next = Refresh { index: refresh.index + 1, ..refresh };
            state.api.alive[refresh.login] = next.index;
            let now = state.model.now;
            let token = state.model.mint(mode, next, None, now, false);
            state.api.access.insert(token.clone(), mode);
            let mut tokens = TokenSet::new(next.text().parse().expect("a token"));
            let before = record.tokens().expect("it has a refresh token");
            for other in RequestMode::ALL {
                if let Some(token) = before.access_token(other).filter(|_| other != mode) {
                    let until = before.expires_at(other);
                    tokens = tokens.with_access_token_until(other, token.clone(), until);
                }
            }
            let token = token.parse().expect("a token");
            tokens = tokens.with_access_token_until(mode, token, None);
            let content = RecordContent::Tokens(tokens);
            let next = StoredRecord::new(record.login(), record.revision() + 1, content);
            state.kept.record = Some(next.with_seeds(record.seeds().iter().copied()));
            state.kept.by_neighbour = true;
            state.model.overtaken(false);
        });
    }

    /// The user logs in at another process; one that `barges` finds that the lease has run out.
    fn neighbour_logs_in(&self, tokens: Tokens, barges: bool) {
        let is_leased = self.world.with(|state| state.kept.holder.is_some());
        if !self.has_store || (is_leased && !barges) {
            return;
        }
        let refresh = self.world.login();
        let tokens = self.world.tokens(refresh, tokens);
        self.world.with(|state| {
            // As a credential numbers a login: above what is known and above the wall clock.
            let known = state.kept.record.as_ref().map_or(0, StoredRecord::revision);
            let since = state.wall().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
            let revision = (known + 1).max(since.as_millis() as u64);
            let login = StoredRecord::from(tokens.clone()).login();
            let record = StoredRecord::new(login, revision, RecordContent::Tokens(tokens));
            state.kept.record = Some(record);
            state.kept.by_neighbour = true;
            state.kept.holder = None;
            state.model.overtaken(is_leased);
        });
    }

    /// What must be true whenever nothing moves.
    fn check(&self) {
        let world = &self.world;
        let shown = format!("{:?} {:?}", self.credentials, self.stacks);
        world.must_be(!shown.contains(SECRET), "P5: a secret in `Debug`");
        world.with(|state| {
            if state.kept.holder.is_none() {
                state.model.right_is_free(state.kept.usable());
            }
        });
        for counts in &self.counts {
            let breaches = counts.breaches();
            world.must_be(breaches.is_empty(), &format!("P6: {breaches:?}"));
            world.must_be(counts.reserved() == 0, "P6: readiness is held");
        }
    }

    fn broken(&self) -> Result<(), String> {
        self.world.with(|state| match &state.model.broken[..] {
            [] => Ok(()),
            broken => Err(broken.join("; ")),
        })
    }

    /// Everything is mended: what is under way must end, and the newest tokens must be safe.
    async fn end(&mut self) {
        let world = self.world.clone();
        world.with(|state| {
            state.kept.faults = Default::default();
            state.api.script.clear();
            state.api.lifetime = None;
        });
        for task in self.under_way.drain(..).chain(self.changes.drain(..)) {
            let ended = tokio::time::timeout(LONGEST_END, task).await;
            world.must_be(ended.is_ok(), "a call never ends");
            world.must_be(!matches!(ended, Ok(Err(error)) if error.is_panic()), "a call panicked");
        }
        tokio::time::sleep(LONGEST_PAUSE).await;
        let is_safe = |when: &str| {
            let when = format!("P2: {when}");
            world.with(|state| state.model.newest_is_stored(&when, state.kept.refresh()));
        };
        is_safe("in the end");
        // The first refresh may find that another process has logged in.
        for is_last in [false, true] {
            if !world.with(|state| state.model.must_refresh(&state.api.alive)) {
                break;
            }
            world.with(|state| state.model.refresh_now_began(RequestMode::Provider));
            let refreshed = self.credentials.refresh(RequestMode::Provider);
            let refreshed = tokio::time::timeout(LONGEST_END, refreshed).await;
            let is_done = match &refreshed {
                Ok(Err(error)) => !is_last && error.is_login_changed(),
                Ok(Ok(())) => true,
                Err(_) => false,
            };
            let why = format!("P2: no refresh is possible any more: {refreshed:?}");
            world.must_be(is_done, &why);
            is_safe("after a refresh");
        }
    }
}

fn access_token(tokens: &TokenSet, mode: RequestMode) -> Option<String> {
    tokens.access_token(mode).map(|token| token.expose().to_owned())
}

fn request(call: usize, plan: &CallPlan) -> Request<Content> {
    let content = Full::new(Bytes::from(format!("body of {call}")));
    let body = match plan.repeatable {
        true => Either::Left(content),
        false => Either::Right(SendOnce::new(content)),
    };
    let base = if plan.ours { BASE } else { "https://elsewhere.test" };
    let request = Request::post(format!("{base}/{}", ROUTES[call % ROUTES.len()]))
        .header(CALL, call.to_string());
    // A request that says nothing of its own goes another way than one that does.
    let request = match plan.mode {
        RequestMode::Provider => request,
        mode => request.extension(mode),
    };
    request.body(body).expect("a request")
}

impl World {
    fn begin_call(&self, plan: &CallPlan) -> usize {
        self.with(|state| {
            state.answers.push(plan.answers);
            state.model.call_began(plan.mode, plan.ours, plan.repeatable)
        })
    }

    /// Polls `answer` at most `patience` times, each time that it is woken, and then drops it.
    async fn watch(
        self,
        call: usize,
        answer: impl Future<Output = Delivered>,
        patience: Option<usize>,
    ) {
        let mut answer = Box::pin(answer);
        let mut polls = 0;
        let answer = poll_fn(|cx| {
            polls += 1;
            let poll = answer.as_mut().poll(cx);
            if polls == 1 {
                self.with(|state| state.model.call_polled(call));
            }
            match poll {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if Some(polls) == patience => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        if let Some(answer) = answer.await {
            self.call_ended(call, answer);
        }
    }
}

/// Lives a history from its beginning to its end; the error names what was broken, and when.
pub(crate) async fn live(history: &History) -> Result<Figures, String> {
    // Jitter is drawn from here: what failed must fail again.
    fastrand::seed(history.begin.seed);
    let mut life = Life::begin(&history.begin).await;
    for (number, step) in history.steps.iter().enumerate() {
        life.step(&step.op).await;
        for _ in 0..step.settles {
            tokio::task::yield_now().await;
        }
        life.check();
        life.broken().map_err(|broken| format!("step {number}: {broken}"))?;
    }
    life.end().await;
    life.check();
    life.broken().map_err(|broken| format!("at the end: {broken}"))?;
    Ok(life.world.with(|state| Figures {
        steps: history.steps.len(),
        calls: state.answers.len(),
        refresh_requests: state.api.refresh_requests,
        double_spent: state.api.double_spent,
        seconds: state.model.now.mono as u64 / 1000,
    }))
}
