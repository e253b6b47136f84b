//! A process at work: the real layer and credentials, and all that is under way with them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Either;
use tokio::task::JoinHandle;
use tower::limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer};
use tower::{Layer, Service, ServiceExt};
use tower_teamup_auth::body::SendOnce;
use tower_teamup_auth::refresh::HttpService;
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, AuthLayer, Credentials, Error, RefreshStep, RequestMode, TokenSet};

use crate::histories::{Begin, CallPlan, Tokens};
use crate::journal::Cause;
use crate::model::Change;
use crate::polled::polled;
use crate::readiness::{Checked, Counts};
use crate::server::{self, BASE, CALL, Delivered, Server};
use crate::store::Store;
use crate::terms::{Answer, EARLY_WAIT, SECRET, WAIT};
use crate::world::World;

/// What can be sent again, and what can't.
type Content = Either<server::Content, SendOnce<server::Content>>;

type Stack = Auth<Checked<ConcurrencyLimit<Server>>>;

/// Routes that refuse fresh tokens are remembered one by one.
pub(crate) const ROUTES: [&str; 3] = ["events", "customers", "memberships"];

/// A store that does not work at once is tried again after this time, so often.
const BUILD_PAUSE: Duration = Duration::from_secs(5);
const BUILD_TRIES: usize = 40;

/// One life of a process.
pub(crate) struct Running {
    pub(crate) world: World,
    pub(crate) credentials: Credentials,
    clock: Clock,
    is_crowded: bool,
    /// Two layers around the same credentials: one lives on, the other is cloned for each request.
    stacks: [Stack; 2],
    counts: [Arc<Counts>; 2],
    pub(crate) under_way: Vec<JoinHandle<()>>,
    /// These are not dropped: their saves must end.
    pub(crate) changes: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts the program, with `tokens` if there is no store. The clock is the machine's.
    pub(crate) async fn start(
        world: World,
        clock: Clock,
        begin: &Begin,
        tokens: Option<TokenSet>,
    ) -> Self {
        let room = GlobalConcurrencyLimitLayer::new(begin.room.unwrap_or(1 << 20));
        let server = room.layer(Server(world.clone()));
        let credentials = build(&world, &clock, &server, tokens).await;
        let inner = [Checked::recording(server.clone()), Checked::recording(server)];
        let counts = [inner[0].counts(), inner[1].counts()];
        let stacks = inner.map(|inner| AuthLayer::new(credentials.clone()).layer(inner));
        let mut running = Running {
            world,
            credentials,
            clock,
            is_crowded: begin.room.is_some(),
            stacks,
            counts,
            under_way: Vec::new(),
            changes: Vec::new(),
        };
        if begin.grown {
            running.grow();
        }
        running
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

    /// Sends a request through the service that lives as long as the process, or through a clone of
    /// its own.
    pub(crate) fn call(&mut self, plan: &CallPlan) {
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

    /// The caller of something that is under way goes away.
    pub(crate) fn drop_caller(&mut self, which: usize) {
        self.under_way.retain(|task| !task.is_finished());
        if let Some(count) = self.under_way.len().checked_sub(1) {
            self.under_way.swap_remove(which % (count + 1)).abort();
        }
    }

    /// Sets the wall clock.
    pub(crate) fn jump(&self, by: i64) {
        let amount = Duration::from_millis(by.unsigned_abs());
        match by {
            0.. => self.clock.shift_wall(amount),
            _ => self.clock.shift_wall_back(amount),
        }
        self.world.with(|state| state.jump(by));
    }

    pub(crate) fn log_in(&mut self, tokens: Tokens) {
        let refresh = self.world.with(|state| state.login());
        let tokens = self.world.tokens(refresh, tokens);
        let held = RequestMode::ALL.map(|mode| access_token(&tokens, mode));
        let credentials = self.credentials.clone();
        self.change(Change::LogIn(refresh, held), async move { credentials.log_in(tokens).await });
    }

    pub(crate) fn sign_out(&mut self) {
        let credentials = self.credentials.clone();
        self.change(Change::SignOut, async move { credentials.sign_out().await });
    }

    fn change(
        &mut self,
        change: Change,
        work: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        let world = self.world.clone();
        self.changes.push(tokio::spawn(async move {
            // It takes effect when `work` is first polled, and nobody else is before that.
            world.with(|state| state.model().changed(change));
            if let Err(error) = work.await {
                world.with(|state| state.model().may_fail_with(&error));
            }
        }));
    }

    pub(crate) fn refresh(&mut self, mode: RequestMode) {
        let (world, credentials) = (self.world.clone(), self.credentials.clone());
        self.under_way.push(tokio::spawn(async move {
            world.with(|state| state.model().refresh_now_began(mode));
            let error = credentials.refresh(mode).await.err();
            world.with(|state| state.model().refresh_now_ended(mode, error.as_ref()));
        }));
    }

    pub(crate) fn shut_down(&mut self) {
        let (world, credentials) = (self.world.clone(), self.credentials.clone());
        self.under_way.push(tokio::spawn(async move {
            world.with(|state| state.model().shutdown_began());
            let result = credentials.shutdown().await;
            world.with(|state| match result {
                Ok(()) => state.shutdown_done(),
                Err(_) => {
                    let process = state.acting().process;
                    state.journal.incident(Cause::Unsaved, Some(process));
                    state.waits_are_long();
                }
            });
        }));
    }

    /// The process ends without a word. What is left of it goes on never.
    pub(crate) fn die(self) -> (World, Clock) {
        let next = self.world.dies();
        for task in self.under_way.into_iter().chain(self.changes) {
            task.abort();
        }
        (next, self.clock)
    }

    /// What must be true whenever nothing moves.
    pub(crate) fn check(&self) {
        let world = &self.world;
        let shown = format!("{:?} {:?}", self.credentials, self.stacks);
        world.must_be(!shown.contains(SECRET), "P5: a secret in `Debug`");
        world.with(|state| {
            if state.kept.holder.is_none() && !state.kept.has_lost {
                let usable = state.kept.usable();
                state.model().right_is_free(usable);
            }
        });
        for counts in &self.counts {
            let breaches = counts.breaches();
            world.must_be(breaches.is_empty(), &format!("P6: {breaches:?}"));
            world.must_be(counts.reserved() == 0, "P6: readiness is held");
        }
    }
}

async fn build(
    world: &World,
    clock: &Clock,
    server: &ConcurrencyLimit<Server>,
    tokens: Option<TokenSet>,
) -> Credentials {
    let mut tries = 0;
    loop {
        let hook = world.clone();
        let builder = Credentials::builder(RequestMode::Provider)
            .base_url(BASE)
            .clock(clock.clone())
            .wait_timeout(WAIT)
            .early_wait(EARLY_WAIT)
            .at_each_step(move |step| hook.passed(step))
            .refresh_client::<HttpService<server::Content>>(server.clone());
        let builder = match tokens.clone() {
            Some(tokens) => builder.tokens(tokens),
            None => builder.store(Store { world: world.clone() }),
        };
        match builder.build().await {
            Ok(credentials) => return credentials,
            Err(error) => {
                tries += 1;
                assert!(error.is_store() && tries < BUILD_TRIES, "no credentials: {error}");
            }
        }
        tokio::time::sleep(BUILD_PAUSE).await;
    }
}

pub(crate) fn access_token(tokens: &TokenSet, mode: RequestMode) -> Option<String> {
    tokens.access_token(mode).map(|token| token.expose().to_owned())
}

pub(crate) fn route(of: usize) -> String {
    format!("/api/v2/{}", ROUTES[of % ROUTES.len()])
}

fn request(call: usize, plan: &CallPlan) -> Request<Content> {
    let content = server::Content::new(Bytes::from(format!("body of {call}")));
    let body = match plan.repeatable {
        true => Either::Left(content),
        false => Either::Right(SendOnce::new(content)),
    };
    let origin = if plan.ours { "https://api.test" } else { "https://elsewhere.test" };
    let request = Request::post(format!("{origin}{}", route(call))).header(CALL, call.to_string());
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
            state.answers().push(plan.answers);
            state.model().call_began(plan.mode, plan.ours, plan.repeatable)
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
        let mut is_first = true;
        let told = poll_fn(|cx| {
            let poll = answer.as_mut().poll(cx);
            if std::mem::take(&mut is_first) {
                self.with(|state| state.model().call_polled(call));
            }
            poll
        });
        if let Some(answer) = polled(told, patience.unwrap_or(usize::MAX)).await {
            self.call_ended(call, answer);
        }
    }

    /// The worker has passed a step of a refresh, and dies there if that was asked for.
    fn passed(&self, step: RefreshStep) {
        let dies = self.with(|state| {
            if step == RefreshStep::LeaseAcquired {
                state.model().lease_acquired();
            }
            state.process().worker_dies_at.take_if(|at| *at == step).is_some()
        });
        if dies {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
}
