//! A10: a subscriber or a recorder of metrics that panics once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tower_teamup_auth::testing::FakeTeamUp;
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Subscriber, span};

use crate::scene::{Place, api_of, process_on};
use crate::support::{Protocol, credentials, expired_tokens, get, status};

/// Counts what it is told, and panics at one of them.
#[derive(Clone)]
struct Counting {
    told: Arc<AtomicUsize>,
    panics_at: usize,
}

impl Counting {
    fn new(panics_at: usize) -> Self {
        Counting { told: Arc::default(), panics_at }
    }

    fn hear(&self) {
        let told = self.told.fetch_add(1, Ordering::SeqCst);
        assert_ne!(told, self.panics_at, "as the test wants it");
    }

    fn has_panicked(&self) -> bool {
        self.told.load(Ordering::SeqCst) > self.panics_at
    }
}

impl Subscriber for Counting {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_teamup_auth")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        self.hear();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Recorder for Counting {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.hear();
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.hear();
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        self.hear();
        Histogram::noop()
    }
}

/// A request by the clock and one after a 401, on a program whose `listener` panics once.
async fn nothing_is_lost(listener: &Counting, listen: impl FnOnce()) {
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
    let credentials = builder.tokens(expired_tokens(&server)).build().await.unwrap();
    let api = api_of(&credentials);
    listen();
    let mut rotations = 0;
    for round in ["expired", "refused"] {
        for caller in ["first", "next"] {
            // The panic of a caller's own event is the caller's: it is lost, and nothing else.
            let (api, request) = (api.clone(), get(&server, "/echo", format!("{round} {caller}")));
            let call = tokio::spawn(async move { crate::support::call(&api, request).await });
            match call.await {
                Ok(answer) => assert_eq!(answer.unwrap().status, 200),
                Err(error) => assert!(error.is_panic() && listener.has_panicked()),
            }
        }
        rotations += 1;
        assert_eq!(status(&api, &server, "after").await, 200);
        assert_eq!(server.rotations(), rotations, "{}: {}", listener.panics_at, server.journal());
        server.expire_access_tokens();
    }
    assert_eq!((server.refresh_requests(), server.double_spends()), (2, 0));
    credentials.shutdown().await.unwrap();
    // The pair that the store holds is the newest one.
    process_on(&server, &place).await.refresh(crate::scene::MODE).await.unwrap();
    assert_eq!((server.rotations(), server.double_spends()), (3, 0), "{}", server.journal());
}

#[tokio::test]
async fn a10_a_subscriber_that_panics_at_any_event_of_a_refresh_loses_nothing() {
    for panics_at in 0.. {
        let listener = Counting::new(panics_at);
        let mut guard = None;
        // With a second subscriber every event asks the one of its own thread.
        let _second = Dispatch::new(NoSubscriber::new());
        nothing_is_lost(&listener, || {
            guard = Some(tracing::subscriber::set_default(listener.clone()));
        })
        .await;
        if !listener.has_panicked() {
            assert!(panics_at > 4, "a refresh tells of {panics_at} events");
            return;
        }
    }
}

#[tokio::test]
async fn a10_a_recorder_of_metrics_that_panics_at_any_metric_of_a_refresh_loses_nothing() {
    for panics_at in 0.. {
        let listener = Counting::new(panics_at);
        let recorder: &'static Counting = Box::leak(Box::new(listener.clone()));
        let mut guard = None;
        nothing_is_lost(&listener, || {
            guard = Some(metrics::set_default_local_recorder(recorder));
        })
        .await;
        if !listener.has_panicked() {
            assert!(panics_at > 2, "a refresh tells of {panics_at} metrics");
            return;
        }
    }
}
