//! `RedisStore` on what is more than one Redis on a plain socket: a cluster, TLS, a Unix socket.

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/tokens.rs"]
mod tokens;
#[path = "support/witness.rs"]
mod witness;

use redis_server::{RedisServer, free_port, until};
use tokens::rotated;
use tower_teamup_auth::store::{RedisStore, TokenStore};

/// What every store must do, wherever it is.
async fn refresh_once(store: &RedisStore) {
    store.check().await.unwrap();
    let lease = store.lock().await.unwrap();
    let over = store.load().await.unwrap().map(|tokens| tokens.revision());
    let next = rotated(over.map_or(0, |revision| revision + 1));
    store.save(&lease, over, &next).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(next));
    store.clear(&lease).await.unwrap();
}

fn cluster_node() -> (RedisServer, String) {
    let bus = free_port().to_string();
    let node = RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    (node, bus)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_of_a_cluster_that_keeps_the_key_is_found_wherever_it_moves() {
    let ((one, _), (other, bus)) = (cluster_node(), cluster_node());
    one.query::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    other.query::<()>(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    other.query::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", "2"]);
    one.query::<()>(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), &bus]);
    for node in [&one, &other] {
        until("the cluster is whole", || {
            let state: String = node.query(&["CLUSTER", "INFO"]);
            state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:2")
        });
    }

    let at_home = RedisStore::builder(one.url(), "user-1").build().unwrap();
    let mut kept_by = [0, 0];
    for user in 0..8 {
        let key = format!("user-{user}");
        let store = at_home.with_key(&key).unwrap();
        refresh_once(&store).await;

        let name = format!("tower-teamup-auth:{{{key}}}");
        let slot: u16 = one.query(&["CLUSTER", "KEYSLOT", &name]);
        let lease: u16 = one.query(&["CLUSTER", "KEYSLOT", &format!("{name}:lease")]);
        assert_eq!(slot, lease);
        kept_by[usize::from(slot / 8192)] += 1;
    }
    assert!(kept_by.iter().all(|&keys| keys > 0), "{kept_by:?}: one node was never asked");

    // A slot that changes hands, while the store is connected to the node that had it.
    let name = "tower-teamup-auth:{user-1}";
    refresh_once(&at_home).await;
    let slot: u16 = one.query(&["CLUSTER", "KEYSLOT", name]);
    let (from, to) = if slot < 8192 { (&one, &other) } else { (&other, &one) };
    let (slot, id) = (slot.to_string(), to.query::<String>(&["CLUSTER", "MYID"]));
    until("the lease is given back", || {
        from.query::<u64>(&["CLUSTER", "COUNTKEYSINSLOT", &slot]) == 0
    });
    for node in [to, from] {
        node.query::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
    }
    let before = to.calls("hset");
    refresh_once(&at_home).await;
    assert!(to.calls("hset") > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_an_address_too() {
    let socket = std::env::temp_dir().join(format!("teamup-{}.sock", std::process::id()));
    let path = socket.to_str().unwrap();
    let _server = RedisServer::start_with(&["--unixsocket", path]);
    let store = RedisStore::connect(format!("unix://{path}"), "user-1").await.unwrap();
    refresh_once(&store).await;
    std::fs::remove_file(socket).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_a_server_whose_certificate_is_trusted_and_no_other() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = std::env::temp_dir().join(format!("teamup-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (public, private) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&public, certificate.cert.pem()).unwrap();
    std::fs::write(&private, certificate.signing_key.serialize_pem()).unwrap();
    let port = free_port().to_string();
    let _server = RedisServer::start_with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        public.to_str().unwrap(),
        "--tls-key-file",
        private.to_str().unwrap(),
        "--tls-auth-clients",
        "no",
    ]);
    let url = |host: &str| format!("rediss://{host}:{port}");
    let trusting = |host: &str| {
        RedisStore::builder(url(host), "user-1")
            .root_certificates(certificate.cert.pem())
            .build()
            .unwrap()
    };

    refresh_once(&trusting("localhost")).await;
    for stranger in
        [trusting("127.0.0.1"), RedisStore::builder(url("localhost"), "user-1").build().unwrap()]
    {
        let error = stranger.load().await.unwrap_err();
        assert!(format!("{error:?}").contains("certificate"), "{error:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
