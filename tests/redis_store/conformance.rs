//! The contract, which the store has to keep wherever Redis is, plain and sealed.

use std::sync::Arc;
use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::sentinel::{SentinelClient, SentinelServerType};
use tokio::sync::Mutex;
use tower_teamup_auth::store::EncryptionKey;
use tower_teamup_auth::store::{RedisSource, RedisStore, RedisStoreBuilder};
use tower_teamup_auth::testing::conformance::Conformance;

use crate::redis_server::{RedisCluster, RedisSentinel, RedisServer};
use crate::support::LEASE;

/// A server that a busy machine makes slow breaks no contract. Leases end when the suite says so.
const UNHURRIED: Duration = Duration::from_secs(120);

/// Checks the store that `open` sets up, plain and then sealed; `server` has the key.
async fn check(server: &RedisServer, open: impl AsyncFn() -> RedisStoreBuilder) {
    for is_sealed in [false, true] {
        server.query::<()>(&["FLUSHALL"]);
        let url = server.url();
        let open = async || {
            let key = EncryptionKey::from_bytes([7; 32]);
            let builder = open().await.timeout(UNHURRIED).lease_lifetime(2 * UNHURRIED);
            let builder = if is_sealed { builder.encrypt_with(key) } else { builder };
            builder.build().unwrap()
        };
        Conformance::new(open)
            .expire_lease(move || {
                let client = redis::Client::open(url.clone()).unwrap();
                redis::cmd("DEL").arg(LEASE).exec(&mut client.get_connection().unwrap()).unwrap();
                std::future::ready(())
            })
            .check()
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_redis() {
    let server = RedisServer::start();
    check(&server, async || RedisStore::builder(server.url(), "user-1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_redis_connection_manager_and_pool() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.url()).unwrap();
    check(&server, async || {
        let manager = client.get_connection_manager().await.unwrap();
        RedisStore::builder(RedisSource::connection(manager), "user-1")
    })
    .await;
    check(&server, async || {
        let client = client.clone();
        let source = RedisSource::pool(move || {
            let client = client.clone();
            async move { client.get_multiplexed_async_connection().await }
        });
        RedisStore::builder(source, "user-1")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_redis_tls() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (public, private) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&public, certificate.cert.pem()).unwrap();
    std::fs::write(&private, certificate.signing_key.serialize_pem()).unwrap();
    let port = crate::redis_server::free_port().to_string();
    let (public, private) = (public.to_str().unwrap(), private.to_str().unwrap());
    let server = RedisServer::start_with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        public,
        "--tls-key-file",
        private,
        "--tls-auth-clients",
        "no",
    ]);
    check(&server, async || {
        RedisStore::builder(format!("rediss://localhost:{port}"), "user-1")
            .root_certificates(certificate.cert.pem())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_redis_cluster() {
    let cluster = RedisCluster::start();
    let slot: u16 = cluster.nodes[0].query(&["CLUSTER", "KEYSLOT", LEASE]);
    let node = &cluster.nodes[usize::from(slot) * 3 / 16384];
    let client = ClusterClient::new(cluster.urls()).unwrap();
    check(node, async || {
        let connection = client.get_async_connection().await.unwrap();
        RedisStore::builder(RedisSource::connection(connection), "user-1")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_redis_sentinel() {
    let primary = RedisServer::start();
    let port = primary.port().to_string();
    let _replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
    let sentinel = RedisSentinel::start(&primary);
    check(&primary, async || RedisStore::builder(through(&sentinel), "user-1")).await;
}

/// Connections to the primary that Sentinel names.
pub(crate) fn through(sentinel: &RedisSentinel) -> RedisSource {
    let urls = vec![sentinel.url()];
    let client = SentinelClient::build(urls, "tokens", None, SentinelServerType::Master).unwrap();
    let client = Arc::new(Mutex::new(client));
    RedisSource::connector(move || {
        let client = Arc::clone(&client);
        async move { client.lock().await.get_async_connection().await }
    })
}
