//! A service with 1,000 users, 100 of whose credentials fit into memory. Their tokens expire, some
//! logins are revoked, and the service is restarted, while requests come for users at random.
//!
//! ```text
//! cargo run -p examples --example users
//! cargo run -p examples --example users -- --postgres postgres://localhost/tokens
//! ```

#[path = "../shared/scratch.rs"]
mod scratch;
mod world;

use std::time::Duration;

use anyhow::ensure;
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::manager::{CredentialsManager, UserEventKind, UserEvents};
use tower_teamup_auth::store::{FileStore, PostgresStore};
use tower_teamup_auth::{Auth, AuthLayer, BoxError, Credentials, Error, RequestMode};

use crate::world::{Mails, World};

/// What a request handler works with. A clone is the same service.
#[derive(Clone)]
struct Service {
    users: CredentialsManager,
    api: Auth<HyperClient>,
    url: String,
}

impl Service {
    /// The users' logins are in the store, so a restart loses none.
    async fn start(world: &World) -> anyhow::Result<Self> {
        let template = Credentials::builder(RequestMode::Customer).base_url(world.base_url());
        let users = match world.postgres() {
            Some(url) => {
                let store = PostgresStore::new(sqlx::PgPool::connect(&url).await?);
                store.migrate().await?;
                CredentialsManager::builder(template, store.family()).max_in_memory(100).build()?
            }
            None => CredentialsManager::builder(template, FileStore::family(world.folder()))
                .max_in_memory(100)
                .build()?,
        };
        let http_client: HyperClient = hyper_client();
        let api = ServiceBuilder::new().layer(AuthLayer::per_request()).service(http_client);
        Ok(Service { users, api, url: format!("{}/events", world.base_url()) })
    }

    /// One request for a user. `None`: that user has to log in again.
    async fn call(&self, user: &str) -> Result<Option<StatusCode>, BoxError> {
        let credentials = self.users.get(user).await?;
        let request = Request::get(&self.url).extension(credentials).body(Full::default())?;
        match self.api.clone().oneshot(request).await {
            Ok(answer) if Error::find(&answer).is_some_and(Error::is_login_required) => Ok(None),
            Ok(answer) => Ok(Some(answer.status())),
            Err(error) if Error::find(&error).is_some_and(Error::is_login_required) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Ends with the manager.
async fn mail(mut events: UserEvents, mails: Mails) {
    while let Some(event) = events.next().await {
        if let UserEventKind::LoginRequired(_) = event.kind() {
            mails.please_log_in_again(event.key());
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut service = Service::start(&world).await?;
    for (user, tokens) in world.first_logins() {
        service.users.log_in(&user, tokens).await?;
    }
    for _round in 0..4 {
        let mailing = tokio::spawn(mail(service.users.subscribe(), world.mails()));
        world.let_time_pass();
        let serving = service.clone();
        world.visit(move |user| {
            let service = serving.clone();
            async move { service.call(&user).await }
        });
        world.all_answered().await?;
        println!("{} in memory: {}", service.users.iter().count(), service.users.health());
        // A restart: what is under way is waited for.
        service.users.shutdown(Duration::from_secs(10)).await?;
        drop(service);
        mailing.await?;
        service = Service::start(&world).await?;
    }
    println!("{}", world.account());
    ensure!(world.is_as_expected(), "not everybody got what they should");
    Ok(())
}
