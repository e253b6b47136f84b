//! Extremes of what a program or a server may bring: errors, and never a panic.
#![cfg(all(feature = "hyper", feature = "testing"))]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};
use tower_teamup_auth::store::{
    Expected, LoginId, MemoryStore, RecordContent, StoredRecord, TokenStore,
};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{AuthLayer, Credentials, CredentialsBuilder, Error, RequestMode, TokenSet};

const MODE: RequestMode = RequestMode::Provider;

/// Mints tokens that live for as long as it is told.
struct Mint(Option<Duration>);

impl Refresh for Mint {
    async fn refresh(&self, _: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        let [access, refresh] = ["minted", "rotated"];
        Ok(RefreshResponse::new(access.parse().unwrap(), self.0, refresh.parse().unwrap()))
    }
}

fn builder(lifetime: Option<Duration>) -> CredentialsBuilder {
    let tokens = TokenSet::new("r".parse().unwrap());
    Credentials::builder(MODE).tokens(tokens).refresh_with(Mint(lifetime))
}

fn request_with(headers: usize) -> Request<Full<Bytes>> {
    let mut map = HeaderMap::new();
    for number in 0..headers {
        let name = HeaderName::try_from(format!("x-{number}")).unwrap();
        map.append(name, HeaderValue::from_static("1"));
    }
    let mut request = Request::get("https://goteamup.com/api/v2/x").body(Full::default()).unwrap();
    *request.headers_mut() = map;
    request
}

#[tokio::test]
async fn a_request_whose_header_map_is_full_is_an_error_and_is_not_sent() {
    let credentials = builder(None).provider_id(7).build().await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let client = service_fn(move |_: Request<Full<Bytes>>| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    // The first has to wait for a token, the others find one.
    let layer = AuthLayer::new(credentials);
    for (headers, is_sent) in [
        (24_576, false),
        (10, true),
        (24_576, false),
        (24_575, false),
        (24_573, true),
        (23_000, true),
    ] {
        sent.store(0, Ordering::SeqCst);
        let answer = layer.layer(client.clone()).oneshot(request_with(headers)).await;
        assert_eq!(sent.load(Ordering::SeqCst), usize::from(is_sent), "{headers}");
        match answer {
            Ok(_) => assert!(is_sent, "{headers}"),
            Err(error) => {
                let error = Error::find(&*error).expect("an error of the layer");
                assert!(error.is_invalid_request() && !is_sent, "{headers}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_of_any_lifetime_is_used_and_shown() {
    for lifetime in [
        Some(Duration::ZERO),
        Some(Duration::from_nanos(1)),
        Some(Duration::from_secs(8_000 * 31_556_952)),
        Some(Duration::from_secs(i64::MAX as u64)),
        Some(Duration::MAX),
        None,
    ] {
        let store = MemoryStore::new();
        let credentials = builder(lifetime).store(store.clone()).build().await.unwrap();
        credentials.refresh(MODE).await.unwrap();
        credentials.shutdown().await.unwrap();
        let status = credentials.status();
        assert!(!format!("{status} {status:?}").is_empty());
        let record = store.load().await.unwrap().unwrap();
        let again = StoredRecord::from_json(record.to_json().as_bytes()).unwrap();
        assert_eq!(again.revision(), record.revision(), "{lifetime:?}");
    }
}

#[tokio::test]
async fn clocks_at_their_ends_refresh_and_end() {
    for (ahead, back) in [(Duration::MAX, Duration::ZERO), (Duration::ZERO, Duration::MAX)] {
        let clock = Clock::tokio();
        clock.shift_wall(ahead);
        clock.shift_wall_back(back);
        let lifetime = Some(Duration::from_secs(7200));
        let store = MemoryStore::new();
        let credentials =
            builder(lifetime).clock(clock).store(store.clone()).build().await.unwrap();
        credentials.refresh(MODE).await.unwrap();
        let status = credentials.status();
        assert!(!format!("{status} {status:?}").is_empty());
        credentials.log_in(TokenSet::new("second".parse().unwrap())).await.unwrap();
        credentials.sign_out().await.unwrap();
        credentials.shutdown().await.unwrap();
        assert!(store.load().await.unwrap().unwrap().is_signed_out());
    }
}

#[tokio::test]
async fn at_the_end_of_the_revisions_a_refresh_goes_on_and_a_login_is_an_error() {
    let login: LoginId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
    let tokens = RecordContent::Tokens(TokenSet::new("r".parse().unwrap()));
    let store = MemoryStore::new();
    let lease = store.try_acquire().await.unwrap().lease.unwrap();
    let last = StoredRecord::new(login, StoredRecord::MAX_REVISION, tokens);
    store.save(&lease, Expected::Empty, &last).await.unwrap();
    store.release(lease).await.unwrap();
    let credentials = Credentials::builder(MODE)
        .refresh_with(Mint(None))
        .store(store.clone())
        .build()
        .await
        .unwrap();
    credentials.refresh(MODE).await.unwrap();
    credentials.flush().await.unwrap();
    let record = store.load().await.unwrap().unwrap();
    assert_eq!(record.revision(), StoredRecord::MAX_REVISION);
    assert_eq!(record.tokens().unwrap().refresh_token().expose(), "rotated");
    credentials.log_in(TokenSet::new("second".parse().unwrap())).await.unwrap_err();
    credentials.shutdown().await.unwrap();
}

#[tokio::test]
async fn odd_lifetimes_of_the_endpoint_are_no_panic() {
    let wall = SystemTime::UNIX_EPOCH;
    assert!(wall.checked_add(Duration::from_secs(u64::MAX)).is_none(), "one that is too far");
    for expires_in in
        ["0", "-1", "18446744073709551615", "1e300", "-1e300", "0.5", "\"7200\"", "null", "1e-400"]
    {
        let server = FakeTeamUp::builder().expires_in(expires_in).start().await;
        let credentials = Credentials::builder(MODE)
            .base_url(server.base_url())
            .tokens(server.issue_tokens(&[]))
            .build()
            .await
            .unwrap();
        credentials.refresh(MODE).await.expect(expires_in);
        assert!(!credentials.status().to_string().is_empty());
        credentials.shutdown().await.unwrap();
    }
}
