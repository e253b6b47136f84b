//! One process of the fleet: credentials on the shared store, a layer, and orders from the parent.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use sqlx::postgres::PgPoolOptions;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::store::{FileStore, PostgresStore, RedisStore};
use tower_teamup_auth::testing::CALLER;
use tower_teamup_auth::token::Clock;
use tower_teamup_auth::{Auth, AuthLayer, Credentials, RequestMode};

/// Requests that each process sends at once.
pub(crate) const REQUESTS: usize = 5;

/// The key under which the fleet's tokens stand in Redis and in PostgreSQL.
pub(crate) const KEY: &str = "studio-7";

/// What the parent orders; anything else is the name of a round of requests.
pub(crate) const TWO_HOURS_PASS: &str = "two hours pass";
pub(crate) const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);

pub(crate) async fn run(base_url: &str, store: &str) -> anyhow::Result<()> {
    // A clock that can be moved stands in for two hours of waiting.
    let clock = Clock::tokio();
    let http_client: HyperClient = hyper_client();
    let builder =
        Credentials::builder(RequestMode::Provider).base_url(base_url).clock(clock.clone());
    // The refresh limit stays as it is. It counts the refreshes that this process makes because of a
    // 401, and refuses the fifth within 30 seconds; tokens adopted from the store are not counted.
    // Two of the five expiries show in a 401, so even a process that wins both races is far from it.
    let builder = match store.split_once(':') {
        Some(("file", path)) => builder.store(FileStore::new(path)),
        Some(("redis", _)) => builder.store(RedisStore::connect(store, KEY).await?),
        _ => builder.store(postgres_store(store).await?),
    };
    let credentials = builder.build().await?;
    let api = ServiceBuilder::new().layer(AuthLayer::new(credentials.clone())).service(http_client);

    println!("ready");
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await? {
        match order.as_str() {
            TWO_HOURS_PASS => {
                clock.shift_wall(TWO_HOURS);
                println!("done");
            }
            round => println!("{}", send(&api, base_url, round).await),
        }
    }
    credentials.shutdown().await?;
    Ok(())
}

/// The fleet's store in the PostgreSQL of this URL. Two connections are enough for one credential.
pub(crate) async fn postgres_store(url: &str) -> anyhow::Result<PostgresStore> {
    let pool = PgPoolOptions::new().max_connections(2).connect(url).await?;
    Ok(PostgresStore::new(pool).with_key(KEY))
}

/// Sends the requests all at once, and counts those that were answered 200.
async fn send(api: &Auth<HyperClient>, base_url: &str, round: &str) -> usize {
    let requests: JoinSet<Result<StatusCode, BoxError>> = (0..REQUESTS)
        .map(|request| {
            let api = api.clone();
            let caller = format!("{round}-{}-{request}", std::process::id());
            let request = Request::get(format!("{base_url}/events?page_size=1"))
                .header(CALLER, caller)
                .body(Full::default());
            async move {
                let response = api.oneshot(request?).await?;
                let status = response.status();
                response.into_body().collect().await?;
                Ok(status)
            }
        })
        .collect();
    let mut ok = 0;
    for answer in requests.join_all().await {
        match answer {
            Ok(StatusCode::OK) => ok += 1,
            Ok(status) => eprintln!("process {}: answered {status}", std::process::id()),
            Err(error) => eprintln!("process {}: {error}", std::process::id()),
        }
    }
    ok
}
