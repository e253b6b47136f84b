//! A host: a credential on the shared store, and the callers who use it.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::{Layer, ServiceExt};
use tower_teamup_auth::refresh::HttpService;
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{AuthLayer, Credentials, Error, RequestMode};

use crate::oracle::CallContext;
use crate::redis::Store;
use crate::teamup::{BASE, Body, CALL, TeamUp};
use crate::world::{Life, World};

/// What runs in one life of a host.
pub(crate) struct Running {
    pub(crate) life: Life,
    pub(crate) credentials: Credentials,
    clock: Clock,
    caller: JoinHandle<()>,
}

impl Running {
    /// Starts the program, again and again until it has read its store.
    pub(crate) async fn start(world: &World, host: usize) -> Self {
        let life = world.with(|state| Life { host, number: state.links[host].life });
        loop {
            // A new clock begins at the machine's time, however long the simulation has gone on.
            let clock = Clock::tokio();
            let ahead = world.with(|state| state.links[host].skew + state.now as i64);
            shift_wall(&clock, ahead);
            let server = TeamUp { world: world.clone(), life };
            let built = Credentials::builder(RequestMode::Provider)
                .base_url(BASE)
                .clock(clock.clone())
                .store(Store { world: world.clone(), life })
                .refresh_client::<HttpService<Body>>(server)
                .build()
                .await;
            if let Ok(credentials) = built {
                let caller = tokio::spawn(call_often(world.clone(), life, credentials.clone()));
                return Running { life, credentials, clock, caller };
            }
            world.pass(life, 5_000).await;
        }
    }

    /// Sets the wall clock.
    pub(crate) fn skew(&self, world: &World, by: i64) {
        shift_wall(&self.clock, by);
        world.with(|state| {
            let skew = &mut state.links[self.life.host].skew;
            *skew += by;
            state.oracle.largest_skew = state.oracle.largest_skew.max(skew.unsigned_abs());
        });
    }

    /// Stops the program as a supervisor does that waits for it, and tells whether it said that
    /// everything was saved.
    pub(crate) async fn stop(&self, world: &World) -> bool {
        self.caller.abort();
        let is_saved = self.credentials.shutdown().await.is_ok();
        if is_saved {
            world.with(|state| {
                let stored = state.redis.stored();
                state.oracle.shut_down(self.life, stored, state.now);
            });
        }
        is_saved
    }

    /// One call now, and whether it was answered well.
    pub(crate) async fn call(&self, world: &World) -> bool {
        call(world, self.life, &self.credentials).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.caller.abort();
    }
}

fn shift_wall(clock: &Clock, by: i64) {
    let amount = Duration::from_millis(by.unsigned_abs());
    if by < 0 { clock.shift_wall_back(amount) } else { clock.shift_wall(amount) }
}

/// Calls every half to three and a half minutes; now and then four at once, or one that nobody waits for.
async fn call_often(world: World, life: Life, credentials: Credentials) {
    loop {
        world.pass(life, world.draw(30_000..210_000)).await;
        let calls = if world.draw(0..20) == 0 { 4 } else { 1 };
        let calls = (0..calls).map(|_| {
            let (world, credentials) = (world.clone(), credentials.clone());
            let patience = if world.draw(0..10) == 0 { world.draw(0..500) } else { 3_600_000 };
            tokio::spawn(async move {
                let call = call(&world, life, &credentials);
                let _ = timeout(Duration::from_millis(patience), call).await;
            })
        });
        for call in calls.collect::<Vec<_>>() {
            let _ = call.await;
        }
    }
}

async fn call(world: &World, life: Life, credentials: &Credentials) -> bool {
    let number = world.with(|state| {
        let number = state.oracle.calls;
        state.oracle.call_began(number, state.now);
        number
    });
    let request = Request::get("https://api.test/api/v2/events")
        .header(CALL, number)
        .body(Full::<Bytes>::default())
        .expect("a request");
    let inner = TeamUp { world: world.clone(), life };
    let result = AuthLayer::new(credentials.clone()).layer(inner).oneshot(request).await;
    let error = match &result {
        Ok(response) => response.extensions().get::<Error>(),
        Err(error) => Error::find(error),
    };
    if let Some(error) = error {
        world.with(|state| {
            let context = CallContext::of(state, life);
            state.oracle.call_failed(&context, number, error);
        });
    }
    result.is_ok_and(|response| response.status().is_success())
}
