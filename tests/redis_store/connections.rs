//! Connections of the program's own, TLS, a Unix socket, and a cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::cluster::ClusterClient;
use tower_teamup_auth::store::ListKeys;
use tower_teamup_auth::store::{Expected, RedisSource, RedisStore, TokenStore};

use crate::redis_server::{RedisCluster, RedisServer, free_port};
use crate::support::{KEY, LEASE, lease, record, store_at, told};

/// What every store must do, wherever it is.
async fn refresh_once(store: &RedisStore) {
    store.check().await.unwrap();
    let held = lease(store).await;
    let before = store.load().await.unwrap();
    let next = record(before.as_ref().map_or(0, |record| record.revision()) + 1, "a");
    store.save(&held, Expected::found(before.as_ref()), &next).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(next));
    let held = store.renew(&held).await.unwrap();
    store.release(held).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_manager_recovers_after_a_restart() {
    let mut server = RedisServer::start();
    let client = redis::Client::open(server.url()).unwrap();
    let store = RedisStore::new(client.get_connection_manager().await.unwrap());
    refresh_once(&store).await;
    server.kill();
    assert!(store.load().await.unwrap_err().is_unavailable());
    server.restart();
    // The manager may still be between two of its attempts.
    let mut tries = 0;
    while let Err(error) = store.load().await {
        assert!(error.is_unavailable() && tries < 50, "{error:?}");
        tries += 1;
        store.changed().await;
    }
    refresh_once(&store.with_key("another")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_asked_for_a_connection_for_each_call_and_a_connector_once() {
    let server = RedisServer::start();
    let taken = Arc::new(AtomicUsize::new(0));
    let client = redis::Client::open(server.url()).unwrap();
    let take = {
        let taken = Arc::clone(&taken);
        move || {
            taken.fetch_add(1, Ordering::SeqCst);
            let client = client.clone();
            async move { client.get_multiplexed_async_connection().await }
        }
    };
    let pooled = store_at(RedisSource::pool(take.clone()));
    refresh_once(&pooled).await;
    assert_eq!(taken.swap(0, Ordering::SeqCst), 7);
    let connected = store_at(RedisSource::connector(take));
    refresh_once(&connected).await;
    assert_eq!(taken.load(Ordering::SeqCst), 1);
    // Until the connection is gone.
    server.query::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    refresh_once(&connected).await;
    assert_eq!(taken.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_followed_wherever_a_key_moves() {
    let cluster = RedisCluster::start();
    let client = ClusterClient::new(cluster.urls()).unwrap();
    let store = store_at(RedisSource::connection(client.get_async_connection().await.unwrap()));
    let mut kept_by = [0; 3];
    for user in 0..12 {
        let key = format!("user-{user}");
        refresh_once(&store.with_key(&key)).await;
        let name = format!("tower-teamup-auth:{{{key}}}");
        let slot: u16 = cluster.nodes[0].query(&["CLUSTER", "KEYSLOT", &name]);
        let beside = format!("{name}:lease");
        assert_eq!(slot, cluster.nodes[0].query::<u16>(&["CLUSTER", "KEYSLOT", &beside]));
        kept_by[usize::from(slot) * 3 / 16384] += 1;
    }
    assert!(kept_by.iter().all(|&keys| keys > 0), "{kept_by:?}: one node was never asked");

    // A slot that changes hands, while the store is connected to the node that had it.
    let slot: u16 = cluster.nodes[0].query(&["CLUSTER", "KEYSLOT", LEASE]);
    let from = usize::from(slot) * 3 / 16384;
    let (from, to) = (&cluster.nodes[from], &cluster.nodes[(from + 1) % 3]);
    let slot = slot.to_string();
    let id = to.query::<String>(&["CLUSTER", "MYID"]);
    let keys: Vec<String> = from.query(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    for key in keys {
        from.query::<()>(&["DEL", &key]);
    }
    for node in [to, from] {
        node.query::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
    }
    let before = to.calls("hset");
    refresh_once(&store).await;
    assert!(to.calls("hset") > before);

    // A cluster can't list keys, and says so; neither can one of its nodes.
    for store in [&store, &store_at(cluster.nodes[0].url())] {
        let error = store.family("users").unwrap().list().await.unwrap_err();
        assert!(told(&error).contains("cluster"), "{error:?}");
    }
    // By the URL of a node, the keys of another node are out of reach, and the error says why.
    let error = store_at(from.url()).load().await.unwrap_err();
    assert!(told(&error).contains("RedisSource::connection"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_an_address_too() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let path = socket.to_str().unwrap();
    let server = RedisServer::start_with(&["--unixsocket", path]);
    let store = RedisStore::connect(format!("unix://{path}"), "user-1").await.unwrap();
    refresh_once(&store).await;
    assert!(server.query::<bool>(&["EXISTS", KEY]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_is_not_trusted_is_refused() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (public, private) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&public, certificate.cert.pem()).unwrap();
    std::fs::write(&private, certificate.signing_key.serialize_pem()).unwrap();
    let port = free_port().to_string();
    let (public, private) = (public.to_str().unwrap(), private.to_str().unwrap());
    let files = ["--tls-cert-file", public, "--tls-key-file", private, "--tls-auth-clients", "no"];
    let _server = RedisServer::start_with(&[&["--tls-port", &port], &files[..]].concat());
    let at = |host: &str| RedisStore::builder(format!("rediss://{host}:{port}"), "user-1");
    let trusting = |host: &str| at(host).root_certificates(certificate.cert.pem()).build().unwrap();
    refresh_once(&trusting("localhost")).await;
    for stranger in [trusting("127.0.0.1"), at("localhost").build().unwrap()] {
        let error = stranger.load().await.unwrap_err();
        assert!(told(&error).contains("certificate"), "{error:?}");
    }
}
