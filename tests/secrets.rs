//! P5, type by type: every public type of the crate is shown here with secrets in it, and a type that
//! is missing from the table fails the test.
#![cfg(all(
    unix,
    feature = "encryption",
    feature = "keyring",
    feature = "redis",
    feature = "reqwest-middleware",
    feature = "testing"
))]

#[path = "support/witness.rs"]
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};
use tower_teamup_auth::body::{ReplayBody, ReplayBodyLayer, SendOnce, SendOnceLayer};
use tower_teamup_auth::client::{
    AuthMiddleware, HyperClient, HyperClientBuilder, ReqwestService, https_connector, hyper_client,
};
use tower_teamup_auth::limit::{RateLimitLayer, RateLimiter};
use tower_teamup_auth::login::{
    LoginError, LoopbackReceiver, OAuthLogin, PasswordLogin, PasswordResponse,
    PendingAuthorization, PendingLogin,
};
use tower_teamup_auth::m2m::{EnvironmentVariable, TokenFile};
use tower_teamup_auth::manager::CredentialsManager;
use tower_teamup_auth::refresh::{
    ApiError, FailureClass, HttpService, Refresh, RefreshEncoding, RefreshError, RefreshRequest,
    RefreshResponse, ResponseFormat,
};
use tower_teamup_auth::store::{
    EncryptionKey, Expected, FileStore, Fingerprint, LoginId, MemoryStore, RecordContent,
    RedisSource, RedisStore, SaveStep, Sealing, SqliteStore, StoreError, StoredRecord, TokenStore,
};
use tower_teamup_auth::testing::{FakeTeamUp, Fault, login as fake};
use tower_teamup_auth::token::{AccessToken, Clock};
use tower_teamup_auth::{
    AuthLayer, AuthScheme, BoxError, Credentials, Error, ProviderId, RefreshStep, RequestMode,
    TokenSet,
};

/// Types that hold no secret and can't be had without a server of another kind; the test beside each
/// looks at its `Debug`.
const SHOWN_ELSEWHERE: [(&str, &str); 3] = [
    ("KeyringStore", "src/store/keyring/mod.rs"),
    ("TimedLease", "src/store/timed_lease.rs"),
    ("Callback", "src/login/loopback/mod.rs"),
];

/// What no program outside the crate can name: a statement's table, in a sealed trait, and what the fuzz
/// targets alone see.
const UNNAMEABLE: [&str; 2] = ["Envelope", "Table"];

fn tokens() -> TokenSet {
    TokenSet::new("s3cret-refresh".parse().unwrap()).with_access_token(
        RequestMode::Provider,
        "s3cret-access".parse().unwrap(),
        Some(Duration::from_secs(60)),
    )
}

/// What is shown, under the name of its type.
#[derive(Default)]
struct Table(BTreeMap<&'static str, Vec<String>>);

impl Table {
    fn debug<T: Debug>(&mut self, name: &'static str, value: &T) {
        self.push(name, format!("{value:?}"));
        self.push(name, format!("{value:#?}"));
    }

    fn both<T: Debug + Display>(&mut self, name: &'static str, value: &T) {
        self.debug(name, value);
        self.push(name, value.to_string());
        self.push(name, format!("{value:#}"));
    }

    /// To show nothing at all would keep every secret, and help nobody.
    fn push(&mut self, name: &'static str, shown: String) {
        assert!(!shown.is_empty(), "{name} shows nothing");
        self.0.entry(name).or_default().push(shown);
    }

    fn error(&mut self, name: &'static str, error: &(dyn std::error::Error + 'static)) {
        for error in std::iter::successors(Some(error), |&error| error.source()) {
            self.both(name, &error);
        }
    }
}

/// Hands out what it is asked with, in an error that quotes it.
struct Quoting(std::sync::Mutex<Vec<String>>);

impl Refresh for Quoting {
    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        let mut table = Table::default();
        table.debug("RefreshRequest", &request);
        self.0.lock().unwrap().extend(table.0.into_values().flatten());
        Err(RefreshError::transient("not now"))
    }
}

async fn show_the_core(table: &mut Table, server: &FakeTeamUp) {
    let client: HyperClient = hyper_client();
    let builder = Credentials::builder(RequestMode::Provider)
        .provider_id(7)
        .base_url(server.base_url())
        .tokens(tokens())
        .refresh_client(client.clone());
    table.debug("CredentialsBuilder", &builder);
    table.debug("CredentialsBuilder", &Credentials::m2m("s3cret-m2m".parse().unwrap()));
    let credentials = builder.build().await.unwrap();
    table.debug("Credentials", &credentials);
    let m2m = Credentials::m2m("s3cret-m2m".parse().unwrap()).build().await.unwrap();
    table.debug("CurrentToken", &m2m.access_token(RequestMode::Provider).await.unwrap());
    let layer = AuthLayer::new(credentials.clone());
    table.debug("AuthLayer", &layer);
    let mut service = layer.layer(client);
    table.debug("Auth", &service);
    let request = Request::get(server.url("/echo")).body(Full::<Bytes>::default()).unwrap();
    let future = service.ready().await.unwrap().call(request);
    table.debug("ResponseFuture", &future);

    // The server knows nothing of these tokens: the refresh is refused, and quotes what it got.
    let quoting = br#"{"code":"invalid_grant","message":"s3cret-refresh is spent","type":"t"}"#;
    server.fail_refresh(
        Fault::status(StatusCode::BAD_REQUEST).body("application/json", &quoting[..]),
    );
    let answer = future.await.unwrap();
    table.debug("ResponseBody", answer.body());
    let reason = answer.extensions().get::<Error>().expect("the reason of the 401");
    table.error("Error", reason);
    table.debug("ApiError", reason.api_error().expect("TeamUp's words"));
    table.error("Error", &credentials.refresh(RequestMode::Provider).await.unwrap_err());
    let state = credentials.status();
    table.both("Status", &state);
    table.debug("Token", &state.token(RequestMode::Provider));
    table.debug("Failure", state.failure().expect("the refresh was refused"));
    table.debug("Changes", &credentials.subscribe());
    let refusals = ["http://s3cret@goteamup.com", "https://user:s3cret@exa mple.com"];
    for url in refusals {
        let builder = Credentials::builder(RequestMode::Provider).tokens(tokens()).base_url(url);
        table.error("Error", &builder.build().await.unwrap_err());
    }

    let asked = std::sync::Arc::new(Quoting(Default::default()));
    struct Shared(std::sync::Arc<Quoting>);
    impl Refresh for Shared {
        async fn refresh(&self, request: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
            self.0.refresh(request).await
        }
    }
    let builder = Credentials::builder(RequestMode::Provider)
        .tokens(tokens())
        .wait_timeout(Duration::from_millis(1))
        .refresh_with(Shared(std::sync::Arc::clone(&asked)));
    let credentials = builder.build().await.unwrap();
    credentials.refresh(RequestMode::Provider).await.unwrap_err();
    let shown = std::mem::take(&mut *asked.0.lock().unwrap());
    assert!(!shown.is_empty());
    table.0.insert("RefreshRequest", shown);
}

fn show_tokens_and_the_refresh(table: &mut Table) {
    let tokens = tokens();
    let access: AccessToken = "s3cret-access".parse().unwrap();
    table.debug("TokenSet", &tokens);
    table.debug("AccessToken", &access);
    table.debug("RefreshToken", tokens.refresh_token());
    // A token that is none: what was wrong with it is told, and not what it was.
    table.error("Error", &"s3cret\nline".parse::<AccessToken>().unwrap_err());
    for text in ["{\"refresh_token\":\"s3cret", "{\"version\":1,\"revision\":\"s3cret\"}"] {
        table.error("Error", &StoredRecord::from_json(text.as_bytes()).unwrap_err());
    }
    table.error("Error", &"s3cret".parse::<LoginId>().unwrap_err());
    let record = StoredRecord::from(tokens.clone())
        .with_base_url("https://goteamup.com/api/v2")
        .with_seeds([Fingerprint::of(tokens.refresh_token())]);
    table.debug("StoredRecord", &record);
    table.both("LoginId", &record.login());
    table.both("Fingerprint", &record.seeds()[0]);
    table.debug("RecordContent", record.content());
    table.debug("RecordContent", &RecordContent::Rejected(tokens.clone()));
    table.debug(
        "RefreshResponse",
        &RefreshResponse::new(access, None, tokens.refresh_token().clone()),
    );
    let error = RefreshError::not_the_endpoint("x").with_rotated(tokens.refresh_token().clone());
    table.error("RefreshError", &error);
    table.both("FailureClass", &FailureClass::Rejected);
    table.debug("ResponseFormat", &ResponseFormat::Json);
    table.debug("RefreshEncoding", &RefreshEncoding::Json);
    table.debug("HttpService", &None::<HttpService<Bytes>>);
    table.debug("Clock", &Clock::system());
    table.both("AuthScheme", &AuthScheme::Bearer);
    table.both("ParseHeaderError", &"Digest".parse::<AuthScheme>().unwrap_err());
    table.both("RequestMode", &RequestMode::Provider);
    table.both("ProviderId", &ProviderId::new(7));
    table.debug("RefreshStep", &RefreshStep::Answered);
}

async fn show_the_stores(table: &mut Table, folder: &Path) {
    let key = EncryptionKey::from_bytes(*b"s3cret-key-of-32-bytes-in-all-..");
    table.debug("EncryptionKey", &key);
    table.debug("MemoryStore", &MemoryStore::with_record(tokens()));
    let store = FileStore::new(folder.join("tokens.json")).encrypt_with(key.clone());
    table.debug("FileStore", &store);
    store.check().await.unwrap();
    let attempt = store.try_acquire().await.unwrap();
    table.debug("Attempt", &attempt);
    let lease = attempt.lease.unwrap();
    table.debug("Expected", &Expected::Empty);
    store.save(&lease, Expected::Empty, &tokens().into()).await.unwrap();
    table.debug("FileLease", &lease);
    let lease_in_memory = MemoryStore::new().try_acquire().await.unwrap().lease.unwrap();
    table.debug("MemoryLease", &lease_in_memory);
    table.debug("SaveStep", &None::<SaveStep>);
    let other = TokenSet::new("s3cret-of-another".parse().unwrap()).into();
    let conflict = store.save(&lease, Expected::Revision(99), &other).await.unwrap_err();
    table.error("StoreError", &conflict);
    // It holds what can't be shown until it is released.
    store.release(lease).await.unwrap();
    table.debug("Attempt", &store.try_acquire().await.unwrap());
    table.debug("FileFamily", &FileStore::family(folder).seal_with(Sealing::new(key.clone())));
    table.debug("Sealing", &Sealing::new(key.clone()).also_open_with(key.clone()));
    // Another key, and a file that is no token set and quotes one.
    let other = FileStore::new(store.path()).encrypt_with(EncryptionKey::from_bytes([7; 32]));
    table.error("StoreError", &other.load().await.unwrap_err());
    let spoilt = folder.join("spoilt.json");
    std::fs::write(&spoilt, "{\"version\":1,\"refresh_token\":\"s3cret").unwrap();
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&spoilt, owner_only).unwrap();
    table.error("StoreError", &FileStore::new(&spoilt).load().await.unwrap_err());
    table.error("StoreError", &StoreError::conflict());

    let redis = RedisStore::builder("redis://user:s3cret@127.0.0.1:1/", "studio-7");
    let redis = redis.encrypt_with(key);
    table.debug("RedisStoreBuilder", &redis);
    let redis = redis.build().unwrap();
    table.debug("RedisStore", &redis);
    table.debug("RedisFamily", &redis.family("users").unwrap());
    table.debug("RedisSource", &RedisSource::from("redis://user:s3cret@127.0.0.1:1/"));
    // Nobody listens there.
    table.error("StoreError", &redis.load().await.unwrap_err());
}

async fn show_bodies_and_clients(table: &mut Table) {
    let body = ReplayBody::new(Full::<Bytes>::from("s3cret"));
    table.debug("ReplayBody", &body);
    table.debug("ReplayBodyLayer", &ReplayBodyLayer::new());
    table.debug("ReplayBodyService", &ReplayBodyLayer::new().layer(()));
    // What is wrapped shows itself, as it would without the wrapper.
    table.debug("SendOnce", &SendOnce::new(()));
    table.debug("SendOnceLayer", &SendOnceLayer::new());
    table.debug("SendOnceService", &tower::Layer::layer(&SendOnceLayer::new(), "inner"));
    let client = reqwest::Client::new();
    let mut service = ReqwestService::new(client.clone());
    table.debug("ReqwestService", &service);
    let mut request = Request::get("http://127.0.0.1:1/").body(reqwest::Body::default()).unwrap();
    let mut secret = http::HeaderValue::from_static("Bearer s3cret");
    secret.set_sensitive(true);
    request.headers_mut().insert("authorization", secret);
    let future = service.ready().await.unwrap().call(request);
    table.debug("ReqwestFuture", &future);
    let error: BoxError = future.await.unwrap_err().into();
    table.error("ReqwestFuture", &*error);
    let credentials = Credentials::m2m("s3cret-m2m".parse().unwrap()).build().await.unwrap();
    table.debug("AuthMiddleware", &AuthMiddleware::new(credentials));
    table.debug("ApiError", &None::<ApiError>);
    let builder = HyperClientBuilder::new().proxy("http://user:s3cret@127.0.0.1:1");
    table.debug("HyperClientBuilder", &builder);
    let mut connector = https_connector();
    table.debug("HyperConnector", &connector);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://user:s3cret@{}/", listener.local_addr().unwrap());
    let connection = connector.call(url.parse().unwrap()).await.unwrap();
    table.debug("HyperConnection", &connection);
    let limiter = RateLimiter::default();
    table.debug("RateLimiter", &limiter);
    let layer = RateLimitLayer::new(limiter);
    table.debug("RateLimitLayer", &layer);
    let client: HyperClient = hyper_client();
    table.debug("RateLimit", &layer.layer(client.clone()));
    let request = Request::get("http://127.0.0.1:1/").body(Full::<Bytes>::default()).unwrap();
    let future = layer.layer(client).ready().await.unwrap().call(request);
    table.debug("ResponseFuture", &future);
}

async fn show_sql(table: &mut Table) {
    let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap();
    let builder = SqliteStore::builder(pool)
        .encrypt_with(EncryptionKey::from_bytes(*b"s3cret-key-of-32-bytes-in-all-.."));
    table.debug("SqlStoreBuilder", &builder);
    let store = builder.build().unwrap();
    table.debug("SqlStore", &store);
    table.debug("SqlFamily", &store.family());
    // There is no table yet.
    table.error("StoreError", &store.load().await.unwrap_err());
}

async fn show_logins_and_sources(table: &mut Table, server: &FakeTeamUp) {
    let client: HyperClient = hyper_client();
    let receiver = LoopbackReceiver::bind().await.unwrap();
    table.debug("LoopbackReceiver", &receiver);
    let login = OAuthLogin::new("client-id", client.clone())
        .client_secret("s3cret-of-the-client")
        .redirect_uri(receiver.redirect_uri())
        .base_url(server.base_url());
    table.debug("OAuthLogin", &login);
    let (_, pending) = login.begin().unwrap();
    table.debug("PendingAuthorization", &pending);
    let error = login.finish(pending, "state=s3cret&code=s3cret").await.unwrap_err();
    table.error("LoginError", &error);
    let error: LoginError = PendingAuthorization::from_cookie_value("s3cret").unwrap_err();
    table.error("LoginError", &error);

    let login = PasswordLogin::new("s3cret-key", client).base_url(server.base_url());
    table.debug("PasswordLogin", &login);
    let error = login.log_in("ada@example.com", "s3cret-password").await.unwrap_err();
    table.error("LoginError", &error);
    table.debug("PasswordResponse", &PasswordResponse::Tokens(tokens()));
    let pending = r#"{"id":"s3cret-id","two_factor_required_providers":[7]}"#;
    let pending: PendingLogin = serde_json::from_str(pending).unwrap();
    table.debug("PendingLogin", &pending);
    table.debug("PasswordResponse", &PasswordResponse::Pending(pending));

    let server = FakeTeamUp::builder().two_factor("123456").start().await;
    let client: HyperClient = hyper_client();
    let login = PasswordLogin::new(fake::DIRECT_AUTH_KEY, client).base_url(server.base_url());
    let PasswordResponse::Pending(pending) =
        login.log_in(fake::USERNAME, fake::PASSWORD).await.unwrap()
    else {
        panic!("two factors are asked for")
    };
    let started =
        login.start_verification(&pending, fake::PROVIDER, "+441632960000").await.unwrap();
    table.debug("VerificationStarted", &started);
    let key = login.verify("+441632960000", "123456").await.unwrap();
    table.debug("VerificationKey", &key);

    table.debug("TokenFile", &TokenFile::new("/run/secrets/teamup"));
    table.debug("EnvironmentVariable", &EnvironmentVariable::new("TEAMUP_TOKEN"));
}

async fn show_the_manager(table: &mut Table, server: &FakeTeamUp) {
    let template = Credentials::builder(RequestMode::Provider).base_url(server.base_url());
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("users");
    let builder = CredentialsManager::builder(template, FileStore::family(store.clone()));
    table.debug("ManagerBuilder", &builder);
    let users = builder.build().unwrap();
    table.debug("CredentialsManager", &users);
    let mut events = users.subscribe();
    table.debug("UserEvents", &events);
    // A folder that is a file: what is saved there fails.
    std::fs::write(&store, "").unwrap();
    assert!(users.log_in("ada", tokens()).await.is_err());
    std::fs::remove_file(&store).unwrap();
    users.log_in("ada", tokens()).await.unwrap();
    let event = events.next().await.unwrap();
    table.debug("UserEvent", &event);
    table.debug("UserEventKind", event.kind());
    table.both("Health", &users.health());
    let held = server.hold_refresh();
    let ada = users.get("ada").await.unwrap();
    let refresh = tokio::spawn(async move { ada.refresh(RequestMode::Provider).await });
    held.arrived(1).await;
    let unfinished = users.shutdown(std::time::Duration::ZERO).await.unwrap_err();
    table.both("Unfinished", &unfinished);
    refresh.abort();
    held.release();
    let _ = users.shutdown(std::time::Duration::from_secs(60)).await;
}

/// The public types that the sources declare, those of `testing` left out: a fake server's tokens
/// open nothing.
fn declared(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("src/testing") {
                declared(&path, names);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let words: Vec<_> = line.split_whitespace().take(3).collect();
                if let ["pub", "struct" | "enum" | "union", name] = words[..] {
                    let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
                    names.insert(name[..end].to_owned());
                }
            }
        }
    }
}

#[tokio::test]
async fn p5_every_public_type_is_shown_and_shows_no_secret() {
    witness::watch();
    let server = FakeTeamUp::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut table = Table::default();
    show_the_core(&mut table, &server).await;
    show_tokens_and_the_refresh(&mut table);
    show_the_stores(&mut table, folder.path()).await;
    show_bodies_and_clients(&mut table).await;
    show_sql(&mut table).await;
    show_logins_and_sources(&mut table, &server).await;
    show_the_manager(&mut table, &server).await;

    let mut names = BTreeSet::new();
    declared(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../src")), &mut names);
    for name in UNNAMEABLE {
        assert!(names.remove(name), "{name} is gone");
    }
    for (name, file) in SHOWN_ELSEWHERE {
        assert!(names.remove(name), "{name} is gone");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let source = std::fs::read_to_string(source).unwrap();
        assert!(source.contains(&format!("impl fmt::Debug for {name}")), "{name}'s is derived");
    }
    let shown: BTreeSet<_> = table.0.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(names, shown, "a public type is missing from this test, or gone");
    for (name, texts) in &table.0 {
        for text in texts {
            assert!(!witness::finds_a_token_in(text), "{name}: {text}");
        }
    }
}

#[tokio::test]
async fn p5_the_witness_knows_every_kind_of_token() {
    let server = FakeTeamUp::start().await;
    let tokens = server.issue_tokens(&RequestMode::ALL);
    let mut secrets = vec![
        tokens.refresh_token().expose().to_owned(),
        server.issue_m2m().expose().to_owned(),
        self::tokens().refresh_token().expose().to_owned(),
    ];
    secrets.extend(RequestMode::ALL.map(|mode| tokens.access_token(mode).unwrap().expose().into()));
    for secret in &secrets {
        assert!(witness::finds_a_token_in(&format!("error: `{secret}` is spent")), "{secret}");
    }
    for secret in &secrets[..2] {
        assert!(server.finds_its_token_in(&format!("error: `{secret}` is spent")), "{secret}");
    }
    assert!(!witness::finds_a_token_in(&format!("{tokens:?} {server:?}")));
}
