//! What `RedisStore` keeps, and what it refuses, on a real Redis.

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/tokens.rs"]
mod tokens;
#[path = "support/witness.rs"]
mod witness;

use redis_server::RedisServer;
use tokens::{rotated, rotated_by};
use tower_teamup_auth::store::{EncryptionKey, RedisStore, TokenStore};

const KEY: &str = "tower-teamup-auth:{user-1}";

async fn store_on(server: &RedisServer) -> RedisStore {
    RedisStore::connect(server.url(), "user-1").await.unwrap()
}

fn encrypted(server: &RedisServer, key: u8) -> RedisStore {
    RedisStore::builder(server.url(), "user-1")
        .encrypt_with(EncryptionKey::from_bytes([key; 32]))
        .build()
        .unwrap()
}

#[tokio::test]
async fn what_was_saved_is_loaded_by_every_process() {
    let server = RedisServer::start();
    let store = store_on(&server).await;
    assert_eq!(store.load().await.unwrap(), None);

    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &rotated(0)).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(rotated(0)));
    store.save(&lease, Some(0), &rotated(1)).await.unwrap();
    assert_eq!(store_on(&server).await.load().await.unwrap(), Some(rotated(1)));
}

#[tokio::test]
async fn a_save_over_another_revision_is_a_conflict_and_changes_nothing() {
    let server = RedisServer::start();
    let store = store_on(&server).await;
    let lease = store.lock().await.unwrap();

    assert!(store.save(&lease, Some(0), &rotated(1)).await.unwrap_err().is_conflict());
    assert_eq!(store.load().await.unwrap(), None);

    store.save(&lease, None, &rotated(7)).await.unwrap();
    for over in [None, Some(0), Some(6), Some(8), Some(70), Some(u64::MAX)] {
        let error = store.save(&lease, over, &rotated_by("me", 9)).await.unwrap_err();
        assert!(error.is_conflict(), "{over:?}: {error:?}");
        assert_eq!(store.load().await.unwrap(), Some(rotated(7)));
    }
}

#[tokio::test]
async fn revisions_beyond_what_a_float_can_tell_apart_are_told_apart() {
    let server = RedisServer::start();
    let store = store_on(&server).await;
    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &rotated(u64::MAX - 1)).await.unwrap();
    let error = store.save(&lease, Some(u64::MAX), &rotated(1)).await.unwrap_err();
    assert!(error.is_conflict());
    store.save(&lease, Some(u64::MAX - 1), &rotated(u64::MAX)).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(rotated(u64::MAX)));
}

#[tokio::test]
async fn what_has_landed_already_may_be_saved_once_more() {
    let server = RedisServer::start();
    for store in [store_on(&server).await, encrypted(&server, 1).with_key("user-2").unwrap()] {
        let lease = store.lock().await.unwrap();
        store.save(&lease, None, &rotated(1)).await.unwrap();
        store.save(&lease, None, &rotated(1)).await.unwrap();
        // The same revision with another refresh token is somebody else's.
        let error = store.save(&lease, None, &rotated_by("me", 1)).await.unwrap_err();
        assert!(error.is_conflict());
    }
}

#[tokio::test]
async fn cleared_tokens_are_gone_and_others_stay() {
    let server = RedisServer::start();
    let store = store_on(&server).await;
    let neighbour = store.with_key("user-2").unwrap();
    let lease = store.lock().await.unwrap();
    store.clear(&lease).await.unwrap();
    store.save(&lease, None, &rotated(3)).await.unwrap();
    neighbour.save(&neighbour.lock().await.unwrap(), None, &rotated(4)).await.unwrap();

    store.clear(&lease).await.unwrap();
    assert_eq!(store.load().await.unwrap(), None);
    assert_eq!(neighbour.load().await.unwrap(), Some(rotated(4)));
    store.save(&lease, None, &rotated(0)).await.unwrap();
}

#[tokio::test]
async fn what_is_no_token_set_is_refused_and_left_where_it_is() {
    let server = RedisServer::start();
    let store = store_on(&server).await;
    let lease = store.lock().await.unwrap();
    let newer = r#"{"version":2,"revision":1,"refresh_token":"s3cret"}"#;
    let other = r#"{"version":1,"revision":2,"refresh_token":"s3cret"}"#;
    for (command, said) in [
        (&["SET", KEY, "s3cret"][..], "not the hash"),
        (&["HSET", KEY, "s3cret", "s3cret"], "lacks"),
        (&["HSET", KEY, "revision", "1"], "lacks"),
        (&["HSET", KEY, "tokens", "s3cret"], "lacks"),
        (&["HSET", KEY, "revision", "1", "tokens", "s3cret"], "not JSON"),
        (&["HSET", KEY, "revision", "1", "tokens", newer], "format version 2"),
        (&["HSET", KEY, "revision", "1", "tokens", other], "not the one of the tokens beside it"),
        (&["HSET", KEY, "revision", "1", "tokens", "tower-teamup-auth sealed v1\n"], "encrypted"),
    ] {
        server.query::<()>(&["DEL", KEY]);
        server.query::<()>(command);
        let before: Vec<u8> = server.query(&["DUMP", KEY]);
        for error in [
            store.load().await.unwrap_err(),
            store.save(&lease, None, &rotated(1)).await.unwrap_err(),
        ] {
            assert!(error.is_unreadable(), "{command:?}: {error:?}");
            let told = format!("{error} {error:?}");
            assert!(told.contains(said) && told.contains(KEY), "{command:?}: {told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
        let connected = RedisStore::connect(server.url(), "user-1").await;
        assert!(connected.unwrap_err().is_store());
        assert_eq!(server.query::<Vec<u8>>(&["DUMP", KEY]), before, "{command:?}");
    }
}

#[tokio::test]
async fn encrypted_tokens_open_with_their_key_and_under_their_name_only() {
    let server = RedisServer::start();
    let store = encrypted(&server, 1);
    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &rotated(5)).await.unwrap();
    let kept: Vec<u8> = server.query(&["HGET", KEY, "tokens"]);
    assert!(!String::from_utf8_lossy(&kept).contains("by-somebody"), "kept in the clear");
    assert_eq!(encrypted(&server, 1).load().await.unwrap(), Some(rotated(5)));
    store.save(&lease, Some(5), &rotated(6)).await.unwrap();
    let error = store.save(&lease, Some(5), &rotated_by("me", 6)).await.unwrap_err();
    assert!(error.is_conflict());

    for (stranger, said) in [
        (encrypted(&server, 2), "do not open"),
        (RedisStore::builder(server.url(), "user-1").build().unwrap(), "no key"),
    ] {
        let error = stranger.load().await.unwrap_err();
        assert!(error.is_unreadable() && error.to_string().contains(said), "{error:?}");
    }
    server.query::<()>(&["COPY", KEY, "tower-teamup-auth:{user-2}"]);
    assert!(store.with_key("user-2").unwrap().load().await.unwrap_err().is_unreadable());
}

#[tokio::test]
async fn a_fleet_that_saves_in_turns_loses_no_rotation() {
    const PROCESSES: u64 = 8;
    const ROTATIONS: u64 = 5;
    let server = RedisServer::start();
    let fleet = (0..PROCESSES).map(|_| {
        let store = RedisStore::builder(server.url(), "user-1").build().unwrap();
        tokio::spawn(async move {
            for _ in 0..ROTATIONS {
                let lease = store.lock().await.unwrap();
                let over = store.load().await.unwrap().map(|tokens| tokens.revision());
                let next = over.map_or(0, |revision| revision + 1);
                store.save(&lease, over, &rotated(next)).await.unwrap();
            }
        })
    });
    for process in fleet.collect::<Vec<_>>() {
        process.await.unwrap();
    }
    let last = store_on(&server).await.load().await.unwrap();
    assert_eq!(last, Some(rotated(PROCESSES * ROTATIONS - 1)));
}
