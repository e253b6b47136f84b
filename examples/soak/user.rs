//! Those who have logged in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Mutex;
use tower::Layer;
use tower::timeout::Timeout;
use tower_teamup_auth::refresh::HttpService;
use tower_teamup_auth::store::{FileStore, MemoryStore, TokenStore};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{Auth, AuthLayer, Credentials, CredentialsBuilder, Error, RequestMode};

use crate::callers::Body;
use crate::failover::FailoverStore;
use crate::runtimes::Watched;

pub(crate) type Http<B> = Client<HttpConnector, B>;

/// How long a credential may take to recover once nothing goes wrong any more.
const RECOVERY: Duration = Duration::from_secs(60);
/// How long a send may take, inside of the layer: a request that hyper's client takes up while its connection over
/// HTTP/2 ends may have no outcome, seldom. A call that hangs in the layer is not ended by this.
const SEND_LIMIT: Duration = Duration::from_secs(30);
const A_MOMENT: Duration = Duration::from_millis(100);

/// One process of a login.
pub(crate) struct User {
    /// The account's name at the server. Processes of one login have the same.
    pub(crate) name: String,
    pub(crate) base_url: String,
    /// The base of another host: no token may arrive there.
    pub(crate) elsewhere: String,
    pub(crate) api: Auth<Timeout<Http<Body>>>,
    pub(crate) credentials: Credentials,
    store: Kept,
    /// Who logs in again where that is required. Of the processes of one login, one has a person.
    person: Option<Person>,
}

/// Somebody who can log in at the server.
struct Person {
    server: FakeTeamUp,
    /// How often that was required.
    logins: Mutex<usize>,
}

/// Where a user's tokens are kept.
#[derive(Clone)]
pub(crate) enum Kept {
    Nowhere,
    InMemory(MemoryStore),
    InAFile(FileStore),
    WithFailovers(FailoverStore),
}

/// Everything that a user begins with.
pub(crate) struct Beginning {
    pub(crate) name: String,
    pub(crate) server: FakeTeamUp,
    pub(crate) elsewhere: FakeTeamUp,
    pub(crate) http2: bool,
    pub(crate) store: Kept,
    /// Set where the runtime of a refresh request may end before its answer comes.
    pub(crate) watched: Option<Watched>,
}

impl Beginning {
    /// Logs in, or finds what another one with the same store has begun with.
    pub(crate) async fn log_in(self) -> anyhow::Result<Arc<User>> {
        let tokens = self.server.issue_tokens_to(&self.name, &RequestMode::ALL);
        let person = Person { server: self.server.clone(), logins: Mutex::default() };
        self.begin(|builder| builder.tokens(tokens), Some(person)).await
    }

    /// Goes on with what another one with the same store has begun with.
    pub(crate) async fn join(self) -> anyhow::Result<Arc<User>> {
        self.begin(CredentialsBuilder::require_stored, None).await
    }

    async fn begin(
        self,
        with: impl FnOnce(CredentialsBuilder) -> CredentialsBuilder,
        person: Option<Person>,
    ) -> anyhow::Result<Arc<User>> {
        let base_url = self.server.base_url();
        let builder = builder(&base_url, self.http2, &self.store);
        let builder = match self.watched {
            Some(watched) => builder.refresh_client::<HttpService<Full<Bytes>>>(watched),
            None => builder,
        };
        let credentials = with(builder).build().await?;
        let elsewhere = self.elsewhere.base_url();
        Ok(User::new(
            &self.name,
            [&base_url, &elsewhere],
            self.http2,
            credentials,
            self.store,
            person,
        ))
    }
}

impl User {
    fn new(
        name: &str,
        [base_url, elsewhere]: [&str; 2],
        http2: bool,
        credentials: Credentials,
        store: Kept,
        person: Option<Person>,
    ) -> Arc<Self> {
        let client = Timeout::new(client(http2), SEND_LIMIT);
        let api = AuthLayer::new(credentials.clone()).layer(client);
        let [name, base_url, elsewhere] = [name, base_url, elsewhere].map(str::to_owned);
        Arc::new(User { name, base_url, elsewhere, api, credentials, store, person })
    }

    /// In another process: goes on with what the store holds.
    pub(crate) async fn resume(
        name: &str,
        servers: [&str; 2],
        http2: bool,
        store: Kept,
    ) -> anyhow::Result<Arc<Self>> {
        let credentials = builder(servers[0], http2, &store).require_stored().build().await?;
        Ok(User::new(name, servers, http2, credentials, store, None))
    }

    /// Writes into the log what the credential says of itself.
    pub(crate) fn show(&self) {
        tracing::trace!(target: "soak", credentials = ?self.credentials, api = ?self.api);
    }

    /// What a person does when a program says that a login is required. Where there is none, another
    /// process of the login sees to it.
    pub(crate) async fn log_in_again(&self) {
        let Some(person) = &self.person else {
            return tokio::time::sleep(A_MOMENT).await;
        };
        // One at a time; whoever comes second finds the work done.
        let mut logins = person.logins.lock().await;
        let refused = |error: &Error| error.is_login_required();
        if self.refresh().await.as_ref().is_err_and(refused) {
            let tokens = person.server.issue_tokens_to(&self.name, &RequestMode::ALL);
            // The store may be away: then the login is in memory, and is saved later.
            if let Err(error) = self.credentials.log_in(tokens).await
                && !error.is_store()
            {
                eprintln!("a login failed: {error}");
            }
            *logins += 1;
        }
    }

    /// What a person does who comes back to a login that is good. Requests wait meanwhile, and refreshes are
    /// under way.
    pub(crate) async fn log_in_anew(&self) {
        let Some(person) = &self.person else { return };
        let _one_at_a_time = person.logins.lock().await;
        let tokens = person.server.issue_tokens_to(&self.name, &RequestMode::ALL);
        if let Err(error) = self.credentials.log_in(tokens).await {
            eprintln!("a new login failed: {error}");
        }
    }

    /// How often a person had to log in again.
    pub(crate) async fn logins(&self) -> usize {
        match &self.person {
            Some(person) => *person.logins.lock().await,
            None => 0,
        }
    }

    async fn refresh(&self) -> Result<(), Error> {
        self.credentials.refresh(RequestMode::Provider).await
    }

    /// Can it refresh? What has just failed may be remembered for a while, and a login that another
    /// process has made is found a little later.
    pub(crate) async fn recovers(&self) -> Result<(), Error> {
        let recovery = async {
            loop {
                match self.refresh().await {
                    Err(error) if self.person.is_none() || !error.is_login_required() => {
                        tokio::time::sleep(A_MOMENT).await;
                    }
                    outcome => return outcome,
                }
            }
        };
        match tokio::time::timeout(RECOVERY, recovery).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => self.refresh().await,
        }
    }

    /// Can a new process refresh with what the store holds?
    pub(crate) async fn what_is_stored_is_good(&self) -> Result<(), Error> {
        if let Kept::Nowhere = self.store {
            return Ok(());
        }
        let builder = builder(&self.base_url, false, &self.store);
        builder.build().await?.refresh(RequestMode::Provider).await
    }
}

fn builder(base_url: &str, http2: bool, store: &Kept) -> CredentialsBuilder {
    let builder = Credentials::builder(RequestMode::Provider)
        .base_url(base_url)
        // A connection of its own: a fault that drops an API connection over HTTP/2 drops all that
        // is on it.
        .refresh_client(client::<Full<Bytes>>(http2))
        .refresh_limit(100, Duration::from_secs(10));
    match store {
        Kept::Nowhere => builder,
        Kept::InMemory(store) => with(builder, store),
        Kept::InAFile(store) => with(builder, store),
        Kept::WithFailovers(store) => with(builder, store),
    }
}

fn with(builder: CredentialsBuilder, store: &(impl TokenStore + Clone)) -> CredentialsBuilder {
    builder.store(store.clone())
}

fn client<B>(http2: bool) -> Http<B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).http2_only(http2).build(connector())
}

/// As the crate's own client of refresh requests: a connection lives on the runtime of its request, and no
/// request of another one is on it.
pub(crate) fn client_without_pool(http2: bool) -> Http<Full<Bytes>> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(http2).pool_max_idle_per_host(0).build(connector())
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}
