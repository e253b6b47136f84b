//! A store that takes ten seconds to answer.
//!
//! Time is paused, so nothing here talks over a socket: the API and the refresh endpoint are
//! services in memory.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use tower_teamup_auth::store::{
    Attempt, Expected, MemoryStore, StoreError, StoredRecord, TokenStore,
};
use tower_teamup_auth::token::{AccessToken, Clock, RefreshToken};
use tower_teamup_auth::{AuthLayer, Credentials, RefreshStep, ResponseBody, TokenSet};

use crate::log::Log;
use crate::scene::{MODE, SAVED, UNSAVED, kept_token, once_at};

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// A store that can be made slow, before it does its work or after.
#[derive(Clone, Default)]
struct Slow {
    store: MemoryStore,
    pauses: Arc<Mutex<(Duration, Duration)>>,
}

impl Slow {
    async fn slowly<T>(&self, work: impl Future<Output = T>) -> T {
        let (before, after) = *self.pauses.lock().unwrap();
        tokio::time::sleep(before).await;
        let done = work.await;
        tokio::time::sleep(after).await;
        done
    }

    fn pause(&self, before: Duration, after: Duration) {
        *self.pauses.lock().unwrap() = (before, after);
    }

    fn be_fast(&self) {
        self.pause(Duration::ZERO, Duration::ZERO);
    }
}

impl TokenStore for Slow {
    type Lease = <MemoryStore as TokenStore>::Lease;

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        self.slowly(self.store.load()).await
    }

    async fn try_acquire(&self) -> Result<Attempt<Self::Lease>, StoreError> {
        self.slowly(self.store.try_acquire()).await
    }

    async fn release(&self, lease: Self::Lease) -> Result<(), StoreError> {
        self.slowly(self.store.release(lease)).await
    }

    async fn save(
        &self,
        lease: &Self::Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        self.slowly(self.store.save(lease, expected, record)).await
    }

    async fn delete(&self, lease: &Self::Lease) -> Result<(), StoreError> {
        self.slowly(self.store.delete(lease)).await
    }
}

/// Counts the rotations; the refresh token and the access token say how many there were.
#[derive(Clone, Default)]
struct Endpoint(Arc<Mutex<u32>>);

impl Endpoint {
    fn rotations(&self) -> u32 {
        *self.0.lock().unwrap()
    }
}

impl Refresh for Endpoint {
    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        let mut rotations = self.0.lock().unwrap();
        if request.refresh_token().expose() != format!("refresh-{rotations}") {
            return Err(RefreshError::rejected("the refresh token is spent"));
        }
        *rotations += 1;
        Ok(RefreshResponse::new(
            AccessToken::new(format!("access-{rotations}")).unwrap(),
            Some(Duration::from_secs(7200)),
            RefreshToken::new(format!("refresh-{rotations}")).unwrap(),
        ))
    }
}

type Api = BoxCloneSyncService<Request<Empty<Bytes>>, Response<ResponseBody<String>>, BoxError>;

struct Scene {
    store: Slow,
    endpoint: Endpoint,
    credentials: Credentials,
    api: Api,
    log: Log,
}

/// The API takes the newest access token only.
async fn set_up(hook: impl FnOnce(&Slow) -> Box<dyn Fn(RefreshStep) + Send + Sync>) -> Scene {
    let (store, endpoint, log) = (Slow::default(), Endpoint::default(), Log::catch());
    let tokens = TokenSet::new("refresh-0".parse().unwrap()).with_access_token(
        MODE,
        AccessToken::new("access-0").unwrap(),
        Some(Duration::from_secs(7200)),
    );
    let credentials = Credentials::builder(MODE)
        .base_url("https://api.invalid")
        .tokens(tokens)
        .store(store.clone())
        .refresh_with(endpoint.clone())
        .clock(Clock::tokio())
        .at_each_step(hook(&store))
        .build()
        .await
        .unwrap();
    let newest = endpoint.clone();
    let api = service_fn(move |request: Request<Empty<Bytes>>| {
        let good = format!("Bearer access-{}", newest.rotations());
        let status = match request.headers()["authorization"] == *good {
            true => StatusCode::OK,
            false => StatusCode::UNAUTHORIZED,
        };
        async move {
            let mut response = Response::new(String::new());
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }
    });
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(api);
    Scene { store, endpoint, credentials, api: BoxCloneSyncService::new(api), log }
}

impl Scene {
    async fn goes_on(&self) {
        let request = Request::get("https://api.invalid/events").body(Empty::new()).unwrap();
        let response = self.api.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{}", self.log.text());
    }
}

#[tokio::test(start_paused = true)]
async fn slow_before_the_refresh_request_nothing_is_spent_and_nobody_waits_for_it() {
    let scene = set_up(|_| Box::new(|_| ())).await;
    scene.store.pause(TEN_SECONDS, Duration::ZERO);
    let refresh = tokio::spawn({
        let credentials = scene.credentials.clone();
        async move { credentials.refresh(MODE).await }
    });
    scene.log.until_it_says("refresh started").await;
    // The refresh waits for the lease, and requests go on beside it.
    scene.goes_on().await;
    assert!(!refresh.is_finished());

    let error = refresh.await.unwrap().unwrap_err();
    assert!(error.is_store() && error.is_transient(), "{error:?}");
    assert!(scene.log.says("the store did not grant a lease within 5s"), "{}", scene.log.text());
    scene.goes_on().await;
    assert_eq!(scene.endpoint.rotations(), 0);

    scene.store.be_fast();
    tokio::time::sleep(TEN_SECONDS).await;
    scene.credentials.refresh(MODE).await.unwrap();
    scene.goes_on().await;
    assert_eq!(scene.endpoint.rotations(), 1);
    assert_eq!(kept_token(&scene.store).await, "refresh-1");
}

#[tokio::test(start_paused = true)]
async fn p2_slow_after_the_answer_the_newest_pair_is_used_and_saved_later() {
    // What is not in the store when the patience is over, and what is there without a word of it.
    for (before, after) in [(TEN_SECONDS, Duration::ZERO), (Duration::ZERO, TEN_SECONDS)] {
        let scene = set_up(|store| {
            let store = store.clone();
            Box::new(once_at(RefreshStep::Answered, move || store.pause(before, after)))
        })
        .await;
        scene.credentials.refresh(MODE).await.unwrap();
        assert!(scene.log.says(UNSAVED), "{}", scene.log.text());
        assert!(scene.log.says("the store did not save within 5s"), "{}", scene.log.text());
        scene.goes_on().await;

        let error = scene.credentials.refresh(MODE).await.unwrap_err();
        assert!(error.is_store() && error.is_transient(), "{error:?}");
        scene.goes_on().await;
        assert_eq!(scene.endpoint.rotations(), 1);

        scene.store.be_fast();
        scene.log.until_it_says(SAVED).await;
        assert_eq!(kept_token(&scene.store).await, "refresh-1");
        tokio::time::sleep(TEN_SECONDS).await;
        scene.credentials.refresh(MODE).await.unwrap();
        scene.goes_on().await;
        assert_eq!(scene.endpoint.rotations(), 2);
        assert_eq!(kept_token(&scene.store).await, "refresh-2");
    }
}
