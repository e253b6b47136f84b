//! The servers, and those who have an account with them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Mutex;
use tower::Layer;
use tower_teamup_auth::store::{FileStore, MemoryStore, TokenStore};
use tower_teamup_auth::testing::FakeTeamUp;
use tower_teamup_auth::{Auth, AuthLayer, Credentials, CredentialsBuilder, Error, RequestMode};

use crate::audit::Audit;
use crate::callers::Body;

pub(crate) type Http<B> = Client<HttpConnector, B>;

/// Entries that each journal keeps; the audits read each entry long before it goes.
const KEPT: usize = 5_000;

/// How long a credential may take to recover once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) steady: FakeTeamUp,
    pub(crate) lossy: FakeTeamUp,
    /// Another host: no token may arrive there.
    pub(crate) elsewhere: FakeTeamUp,
    pub(crate) audits: Audits,
    pub(crate) accounts: Vec<Arc<User>>,
    _folder: tempfile::TempDir,
}

pub(crate) struct Audits {
    pub(crate) steady: Audit,
    pub(crate) lossy: Audit,
    pub(crate) elsewhere: Audit,
}

/// One who has logged in.
pub(crate) struct User {
    /// The account's name at the server. Two processes of one login have the same.
    pub(crate) name: String,
    pub(crate) server: FakeTeamUp,
    pub(crate) api: Auth<Http<Body>>,
    pub(crate) credentials: Credentials,
    store: Kept,
    /// How often the user had to log in again.
    logins: Mutex<usize>,
}

/// Where a user's tokens are kept.
#[derive(Clone)]
enum Kept {
    Nowhere,
    InMemory(MemoryStore),
    InAFile(FileStore),
}

impl World {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server =
            FakeTeamUp::builder().access_token_lifetime(Duration::from_secs(1)).keep_entries(KEPT);
        let steady = server.clone().start().await;
        let lossy = server.start().await;
        let elsewhere = FakeTeamUp::builder().keep_entries(KEPT).start().await;
        let audits = Audits {
            steady: Audit::of(&steady),
            lossy: Audit::of(&lossy),
            elsewhere: Audit::of(&elsewhere),
        };
        let folder = tempfile::tempdir()?;
        let file = |name: &str| Kept::InAFile(FileStore::new(Path::join(folder.path(), name)));
        let mut accounts = Vec::new();
        for http2 in [false, true] {
            let shared = file(if http2 { "shared-2.json" } else { "shared-1.json" });
            let own = file(if http2 { "own-2.json" } else { "own-1.json" });
            let memory = || Kept::InMemory(MemoryStore::new());
            // The last two of the steady ones are two processes on one file.
            let stores = [Kept::Nowhere, memory(), own, shared.clone(), shared];
            for (kept, name) in
                stores.into_iter().zip(["none", "memory", "own", "shared", "shared"])
            {
                accounts.push(User::log_in(name, &steady, http2, kept).await?);
            }
            for (kept, name) in [Kept::Nowhere, memory()].into_iter().zip(["none", "memory"]) {
                accounts.push(User::log_in(name, &lossy, http2, kept).await?);
            }
        }
        Ok(World { steady, lossy, elsewhere, audits, accounts, _folder: folder })
    }

    /// Writes into the log what the credentials say of themselves.
    pub(crate) fn show_themselves(&self) {
        for user in &self.accounts {
            tracing::trace!(target: "soak", credentials = ?user.credentials, api = ?user.api);
        }
    }

    /// How many credentials can't refresh any more, now that nothing goes wrong, in memory or from
    /// what their store holds; and how many had to log in again.
    pub(crate) async fn count_the_lost(&self) -> Lost {
        let mut lost = Lost::default();
        for user in &self.accounts {
            let of_lossy = user.server.address() == self.lossy.address();
            // A last answer may have been lost: then this is the time to notice.
            if of_lossy && user.recovers().await.is_err() {
                user.log_in_again().await;
            }
            lost.count(user, user.recovers().await, "in memory");
            *(if of_lossy { &mut lost.logins } else { &mut lost.steady_logins }) +=
                *user.logins.lock().await;
        }
        for user in &self.accounts {
            if let Err(error) = user.credentials.shutdown().await {
                lost.count(user, Err(error), "at shutdown");
            }
        }
        for user in &self.accounts {
            if let Some(builder) = user.of_what_is_stored() {
                let outcome = match builder.build().await {
                    Ok(credentials) => refresh(&credentials).await,
                    Err(error) => Err(error),
                };
                lost.count(user, outcome, "in the store");
            }
        }
        lost
    }

    /// Ends everything that has a task.
    ///
    /// # Errors
    ///
    /// When an audit has not seen all.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop(self.accounts);
        for server in [&self.steady, &self.lossy, &self.elsewhere] {
            server.shutdown().await;
        }
        self.audits.steady.end().await?;
        self.audits.lossy.end().await?;
        self.audits.elsewhere.end().await
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    pub(crate) credentials: usize,
    /// New logins of users whose server loses answers.
    pub(crate) logins: usize,
    /// New logins of the others.
    pub(crate) steady_logins: usize,
}

impl Lost {
    fn count(&mut self, user: &User, outcome: Result<(), Error>, place: &str) {
        if let Err(error) = outcome {
            self.credentials += 1;
            eprintln!("lost {place}: {:?}: {error}", user.credentials);
        }
    }
}

impl User {
    async fn log_in(
        name: &str,
        server: &FakeTeamUp,
        http2: bool,
        store: Kept,
    ) -> anyhow::Result<Arc<Self>> {
        let name = format!("{name}-{}", if http2 { 2 } else { 1 });
        let tokens = server.issue_tokens_to(&name, &RequestMode::ALL);
        let builder = builder(server, http2, &store).tokens(tokens);
        let credentials = builder.build().await?;
        let api = AuthLayer::new(credentials.clone()).layer(client(http2));
        let (server, logins) = (server.clone(), Mutex::default());
        Ok(Arc::new(User { name, server, api, credentials, store, logins }))
    }

    /// What a person does when a program says that a login is required.
    pub(crate) async fn log_in_again(&self) {
        // One at a time; whoever comes second finds the work done.
        let mut logins = self.logins.lock().await;
        let refused = |error: &Error| error.is_login_required();
        if refresh(&self.credentials).await.as_ref().is_err_and(refused) {
            let tokens = self.server.issue_tokens_to(&self.name, &RequestMode::ALL);
            if let Err(error) = self.credentials.log_in(tokens).await {
                eprintln!("a login could not be saved: {error}");
            }
            *logins += 1;
        }
    }

    /// Can it refresh? What has just failed may be remembered for a while.
    async fn recovers(&self) -> Result<(), Error> {
        let recovery = async {
            loop {
                match refresh(&self.credentials).await {
                    Err(error) if !error.is_login_required() => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    outcome => return outcome,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, recovery).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => refresh(&self.credentials).await,
        }
    }

    fn of_what_is_stored(&self) -> Option<CredentialsBuilder> {
        match self.store {
            Kept::Nowhere => None,
            _ => Some(builder(&self.server, false, &self.store)),
        }
    }
}

async fn refresh(credentials: &Credentials) -> Result<(), Error> {
    credentials.refresh(RequestMode::Provider).await
}

fn builder(server: &FakeTeamUp, http2: bool, store: &Kept) -> CredentialsBuilder {
    let builder = Credentials::builder(RequestMode::Provider)
        .base_url(server.base_url())
        // A connection of its own: a fault that drops an API connection over HTTP/2 drops all that
        // is on it.
        .refresh_client(client::<Full<Bytes>>(http2))
        .refresh_limit(100, Duration::from_secs(10));
    match store {
        Kept::Nowhere => builder,
        Kept::InMemory(store) => with(builder, store),
        Kept::InAFile(store) => with(builder, store),
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
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).http2_only(http2).build(connector)
}
