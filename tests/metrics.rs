//! The metrics, as a recorder hears them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use metrics::{LocalRecorderGuard, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::RequestMode::{Customer, Provider};
use tower_teamup_auth::store::{
    Attempt, Expected, MemoryStore, StoreError, StoredRecord, TokenStore,
};
use tower_teamup_auth::testing::{FakeTeamUp, Fault};
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{
    AuthLayer, Credentials, CredentialsBuilder, HISTOGRAM_BUCKETS, RequestMode, TokenSet,
    describe_metrics,
};

/// What was recorded so far. A snapshot sets all that the recorder holds back to nothing, so this
/// adds up.
struct Heard {
    /// While it lives, what this thread tells is recorded.
    _recording: LocalRecorderGuard<'static>,
    snapshotter: Snapshotter,
    counted: BTreeMap<String, u64>,
    measured: BTreeMap<String, Vec<f64>>,
    gauges: BTreeMap<String, f64>,
    described: BTreeMap<String, (Option<Unit>, String)>,
}

impl Heard {
    fn on_this_thread() -> Self {
        let recorder = Box::leak(Box::new(DebuggingRecorder::new()));
        Heard {
            _recording: metrics::set_default_local_recorder(recorder),
            snapshotter: recorder.snapshotter(),
            counted: BTreeMap::new(),
            measured: BTreeMap::new(),
            gauges: BTreeMap::new(),
            described: BTreeMap::new(),
        }
    }

    fn listen(&mut self) {
        for (key, unit, help, value) in self.snapshotter.snapshot().into_vec() {
            let (_, key) = key.into_parts();
            let labels: Vec<_> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let name = format!("{}{{{}}}", key.name(), labels.join(","));
            let help = help.map(|help| help.to_string()).unwrap_or_default();
            self.described.insert(key.name().to_owned(), (unit, help));
            match value {
                DebugValue::Counter(count) => *self.counted.entry(name).or_default() += count,
                DebugValue::Gauge(value) => *self.gauges.entry(name).or_default() += value.0,
                DebugValue::Histogram(values) => self
                    .measured
                    .entry(name)
                    .or_default()
                    .extend(values.into_iter().map(|value| value.0)),
            }
        }
    }

    fn counted(&mut self, name: &str) -> u64 {
        self.listen();
        self.counted.get(name).copied().unwrap_or_default()
    }

    fn measured(&mut self, name: &str) -> Vec<f64> {
        self.listen();
        self.measured.get(name).cloned().unwrap_or_default()
    }

    fn gauge(&mut self, name: &str) -> f64 {
        self.listen();
        self.gauges.get(name).copied().unwrap_or_else(|| panic!("{:?}", self.gauges))
    }
}

/// A store in memory whose next writes fail.
#[derive(Clone)]
struct Failing {
    inner: MemoryStore,
    writes_to_fail: Arc<AtomicUsize>,
}

impl Failing {
    fn new(tokens: TokenSet) -> Self {
        Failing { inner: MemoryStore::with_record(tokens), writes_to_fail: Arc::default() }
    }
}

impl TokenStore for Failing {
    type Lease = <MemoryStore as TokenStore>::Lease;

    async fn load(&self) -> Result<Option<StoredRecord>, StoreError> {
        self.inner.load().await
    }

    async fn try_acquire(&self) -> Result<Attempt<Self::Lease>, StoreError> {
        self.inner.try_acquire().await
    }

    async fn release(&self, lease: Self::Lease) -> Result<(), StoreError> {
        self.inner.release(lease).await
    }

    async fn save(
        &self,
        lease: &Self::Lease,
        expected: Expected,
        record: &StoredRecord,
    ) -> Result<(), StoreError> {
        let left = self.writes_to_fail.load(Ordering::SeqCst);
        if left > 0 {
            self.writes_to_fail.store(left - 1, Ordering::SeqCst);
            return Err(StoreError::unavailable("the disk is full", "on purpose"));
        }
        self.inner.save(lease, expected, record).await
    }

    async fn delete(&self, lease: &Self::Lease) -> Result<(), StoreError> {
        self.inner.delete(lease).await
    }
}

type Http = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

fn builder(server: &FakeTeamUp) -> CredentialsBuilder {
    Credentials::builder(Provider)
        .base_url(server.base_url())
        .clock(Clock::tokio())
        .refresh_client(client())
}

async fn status(credentials: &Credentials, server: &FakeTeamUp) -> StatusCode {
    status_of(credentials, server, "/echo").await
}

async fn status_of(credentials: &Credentials, server: &FakeTeamUp, path: &str) -> StatusCode {
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(client());
    let request = Request::get(server.url(path)).body(Full::default()).unwrap();
    let response = api.oneshot(request).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

#[expect(clippy::disallowed_methods, reason = "an expiry is a wall clock's")]
fn wall_time() -> SystemTime {
    SystemTime::now()
}

async fn pass(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

#[tokio::test]
async fn fresh_token_touches_no_metric_and_a_rejected_one_is_told() {
    let mut heard = Heard::on_this_thread();
    let server = FakeTeamUp::start().await;
    let credentials =
        builder(&server).tokens(server.issue_tokens(&[Provider])).build().await.unwrap();
    for _ in 0..3 {
        assert_eq!(status(&credentials, &server).await, StatusCode::OK);
    }
    heard.listen();
    assert_eq!((heard.described.len(), heard.counted.len()), (0, 0));

    server.expire_access_tokens();
    assert_eq!(status(&credentials, &server).await, StatusCode::OK);
    assert_eq!(heard.counted("teamup_auth_retries_total{mode=provider}"), 1);
    let requests = "{mode=provider,outcome=refreshed}";
    assert_eq!(heard.counted(&format!("teamup_auth_refresh_requests_total{requests}")), 1);
    let took = heard.measured(&format!("teamup_auth_refresh_request_duration_seconds{requests}"));
    assert!(matches!(took[..], [took] if (0.0..10.0).contains(&took)), "{took:?}");
    let remaining = heard.measured("teamup_auth_token_remaining_seconds{mode=provider}");
    assert!(matches!(remaining[..], [left] if (7190.0..=7200.0).contains(&left)), "{remaining:?}");
    let expiry = heard.gauge("teamup_auth_token_expiry_timestamp_seconds{mode=provider}");
    #[expect(clippy::disallowed_methods, reason = "the gauge shows the machine's own time")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!((expiry - now.as_secs_f64() - 7200.0).abs() < 60.0, "{expiry} {now:?}");
}

#[tokio::test]
async fn failures_are_told_by_outcome_and_by_kind() {
    let mut heard = Heard::on_this_thread();
    let server = FakeTeamUp::start().await;
    let tokens = || server.issue_tokens(&[]);
    let outcomes = |mode| {
        move |outcome: &str| {
            format!("teamup_auth_refresh_requests_total{{mode={mode},outcome={outcome}}}")
        }
    };
    let failures =
        |kind: &str| format!("teamup_auth_refresh_failures_total{{mode=customer,kind={kind}}}");

    // A transient failure is mended within the refresh, and so is no failure of it.
    let credentials = builder(&server).tokens(tokens()).build().await.unwrap();
    server.fail_refresh(Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    credentials.refresh(Customer).await.unwrap();
    let of = outcomes(Customer);
    assert_eq!(heard.counted(&of("transient")), 1);
    assert_eq!(heard.counted(&of("refreshed")), 1);
    assert_eq!(heard.counted(&failures("transient")), 0);

    server.fail_refresh(Fault::status(StatusCode::NOT_FOUND));
    credentials.refresh(Customer).await.unwrap_err();
    assert_eq!(heard.counted(&of("not_the_endpoint")), 1);
    assert_eq!(heard.counted(&failures("protocol")), 1);
    pass(Duration::from_secs(30)).await;

    server.fail_refreshes(2, Fault::garbage());
    credentials.refresh(Customer).await.unwrap_err();
    assert_eq!(heard.counted(&of("outcome_unknown")), 2);
    assert_eq!(heard.counted(&failures("outcome_unknown")), 1);
    pass(Duration::from_secs(30)).await;

    server.fail_refresh(Fault::error(StatusCode::FORBIDDEN, "mode_not_allowed"));
    credentials.refresh(Customer).await.unwrap_err();
    assert_eq!(heard.counted(&of("configuration")), 1);
    assert_eq!(heard.counted(&failures("configuration")), 1);

    // In words that nobody knows: a person is asked all the same.
    server.fail_refresh(Fault::status(StatusCode::BAD_REQUEST));
    credentials.refresh(Customer).await.unwrap_err();
    assert_eq!(heard.counted(&of("probably_rejected")), 1);
    assert_eq!(heard.counted(&failures("login_required")), 1);
    pass(Duration::from_secs(3600)).await;

    server.fail_refresh(Fault::error(StatusCode::BAD_REQUEST, "invalid_grant"));
    credentials.refresh(Customer).await.unwrap_err();
    assert_eq!(heard.counted(&of("rejected")), 1);
    assert_eq!(heard.counted(&failures("login_required")), 2);
    // Everybody who asks now is told so locally: that is no further refresh.
    credentials.refresh(Customer).await.unwrap_err();
    assert_eq!(heard.counted(&failures("login_required")), 2);
}

#[tokio::test]
async fn limit_that_is_reached_is_told_once_until_it_is_reached_again() {
    let mut heard = Heard::on_this_thread();
    let server = FakeTeamUp::start().await;
    let credentials =
        builder(&server).tokens(server.issue_tokens(&[Provider])).build().await.unwrap();
    let limits = "teamup_auth_refresh_limits_total{mode=provider}";
    // Routes that are known to refuse fresh tokens cause no refresh, so each is another one.
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for reached in 1..=2 {
        server.fail_every_api(Fault::unauthorized());
        for letter in letters {
            let path = format!("/echo/{}", letter.repeat(reached));
            let status = status_of(&credentials, &server, &path).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(server.rotations(), 4 * reached);
        assert_eq!(heard.counted(limits), reached as u64);
        pass(Duration::from_secs(31)).await;
    }
}

#[tokio::test]
async fn unsaved_tokens_are_counted_until_they_are_saved() {
    let mut heard = Heard::on_this_thread();
    let server = FakeTeamUp::start().await;
    let store = Failing::new(server.issue_tokens(&[Provider]));
    let credentials = builder(&server).store(store.clone()).build().await.unwrap();
    store.writes_to_fail.store(4, Ordering::SeqCst);
    credentials.refresh(Provider).await.unwrap();
    assert_eq!(heard.gauge("teamup_auth_unsaved_credentials{}"), 1.0);
    assert!(heard.measured("teamup_auth_unsaved_duration_seconds{}").is_empty());
    // Only the store is at work from now on.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(heard.gauge("teamup_auth_unsaved_credentials{}"), 0.0);
    // Four pauses of 0.2, 0.4, 0.8 and 1.6 seconds, each longer by up to a half.
    let took = heard.measured("teamup_auth_unsaved_duration_seconds{}");
    assert!(matches!(took[..], [took] if (3.0..=4.6).contains(&took)), "{took:?}");
    credentials.shutdown().await.unwrap();
}

/// Nobody can save its tokens any more: neither a handle nor a runtime with its worker is left.
#[test]
fn unsaved_tokens_are_counted_no_longer_than_their_credential_lives() {
    let mut heard = Heard::on_this_thread();
    let server = FakeTeamUp::start_blocking();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let credentials = runtime.block_on(async {
        let store = Failing::new(server.issue_tokens(&[Provider]));
        let credentials = builder(&server).store(store.clone()).build().await.unwrap();
        store.writes_to_fail.store(4, Ordering::SeqCst);
        credentials.refresh(Provider).await.unwrap();
        credentials
    });
    drop(runtime);
    assert_eq!(heard.gauge("teamup_auth_unsaved_credentials{}"), 1.0);
    drop(credentials);
    assert_eq!(heard.gauge("teamup_auth_unsaved_credentials{}"), 0.0);
    server.shutdown_blocking();
}

#[tokio::test]
async fn tokens_of_another_process_are_told_as_adopted() {
    let mut heard = Heard::on_this_thread();
    let server = FakeTeamUp::start().await;
    let store = MemoryStore::with_record(server.issue_tokens(&[Provider]));
    let one = builder(&server).store(store.clone()).build().await.unwrap();
    let other = builder(&server).store(store).build().await.unwrap();
    server.expire_access_tokens();
    let now = wall_time().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    for credentials in [one, other] {
        assert_eq!(status(&credentials, &server).await, StatusCode::OK);
        // Set by the refresh, and by the adoption.
        assert!(heard.gauge("teamup_auth_token_expiry_timestamp_seconds{mode=provider}") > now);
        heard.gauges.clear();
    }
    assert_eq!(heard.counted("teamup_auth_adoptions_total{}"), 1);
    let refreshed = "teamup_auth_refresh_requests_total{mode=provider,outcome=refreshed}";
    assert_eq!((heard.counted(refreshed), server.refresh_requests()), (1, 1));
}

#[tokio::test]
async fn login_tells_when_its_token_expires() {
    let mut heard = Heard::on_this_thread();
    let server = FakeTeamUp::start().await;
    let credentials = builder(&server).build().await.unwrap();
    credentials.log_in(server.issue_tokens(&[Provider])).await.unwrap();
    let now = wall_time().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(heard.gauge("teamup_auth_token_expiry_timestamp_seconds{mode=provider}") > now);
}

#[test]
fn counters_exist_from_the_start() {
    let mut heard = Heard::on_this_thread();
    describe_metrics();
    heard.listen();
    let of = |name: &str| heard.counted.keys().filter(|series| series.starts_with(name)).count();
    assert_eq!(of("teamup_auth_refresh_requests_total{"), 2 * 7);
    assert_eq!(of("teamup_auth_refresh_failures_total{"), 2 * 7);
    assert_eq!(of("teamup_auth_adoptions_total{"), 1);
    assert_eq!(of("teamup_auth_retries_total{"), 2);
    assert_eq!(of("teamup_auth_refresh_limits_total{"), 2);
    assert!(heard.counted.values().all(|count| *count == 0));
    assert!(heard.gauges.contains_key("teamup_auth_unsaved_credentials{}"));
    // The documentation lists each value of each label.
    let page = include_str!("../src/docs/metrics.rs");
    for series in heard.counted.keys() {
        let (_, labels) = series.split_once('{').unwrap();
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (_, value) = label.split_once('=').unwrap();
            assert!(page.contains(&format!("`{value}`")), "{value}");
        }
    }
}

#[tokio::test]
async fn histograms_have_advised_buckets_that_grow_and_stand_in_the_documentation() {
    let page = include_str!("../src/docs/metrics.rs");
    let histograms = page.lines().filter(|line| line.contains("` | histogram |"));
    assert_eq!(histograms.count(), HISTOGRAM_BUCKETS.len());
    for (name, buckets) in HISTOGRAM_BUCKETS {
        assert!(page.contains(&format!("//! | `{name}` | histogram |")), "{name}");
        assert!(buckets.is_sorted_by(|earlier, later| earlier < later), "{name}");
        let row: Vec<_> = buckets.iter().map(f64::to_string).collect();
        assert!(page.contains(&format!("//! | `{name}` | {} |", row.join(", "))), "{name}");
    }
}

#[tokio::test]
async fn every_metric_is_described_and_listed_in_the_documentation() {
    let mut heard = Heard::on_this_thread();
    describe_metrics();
    let page = include_str!("../src/docs/metrics.rs");
    let listed: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split('`').next())
        .map(str::to_owned)
        .collect();

    // Described metrics appear in a snapshot once they are recorded: touch each name listed.
    for name in &listed {
        match name {
            _ if name.ends_with("_total") => metrics::counter!(name.clone()).increment(0),
            _ if name.ends_with("_credentials") || name.contains("timestamp") => {
                metrics::gauge!(name.clone()).set(0.0);
            }
            _ => metrics::histogram!(name.clone()).record(0.0),
        }
    }
    heard.listen();
    assert_eq!(listed.len(), 10);
    for name in listed {
        let (unit, help) = &heard.described[&name];
        let expected = if name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        assert_eq!(*unit, Some(expected), "{name}");
        assert!(!help.is_empty(), "{name}");
    }
    assert!(RequestMode::ALL.iter().all(|mode| page.contains(&format!("`{mode}`"))));
}
