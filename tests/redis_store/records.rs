//! What stands in Redis, and what is refused there.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use tower_teamup_auth::store::{EncryptionKey, Sealing};
use tower_teamup_auth::store::{Expected, RedisStore, StoredRecord, TokenStore};
use tower_teamup_auth::store::{ListKeys, StoreFamily};

use crate::redis_server::RedisServer;
use crate::support::{KEY, found, lease, record, store_at, told};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_record_is_named_left_where_it_is_and_overwritten_by_a_login() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let lease = lease(&store).await;
    let newer = r#"{"version":99,"revision":1,"refresh_token":"s3cret"}"#;
    let other = r#"{"version":1,"revision":2,"refresh_token":"s3cret"}"#;
    for (command, is_locked, said) in [
        (&["SET", KEY, "s3cret"][..], false, "not the hash"),
        (&["RPUSH", KEY, "s3cret"], false, "not the hash"),
        (&["HSET", KEY, "s3cret", "s3cret"], false, "lacks"),
        (&["HSET", KEY, "revision", "1"], false, "lacks"),
        (&["HSET", KEY, "record", "s3cret"], false, "lacks"),
        (&["HSET", KEY, "revision", "1", "record", "s3cret"], false, "not JSON"),
        (&["HSET", KEY, "revision", "1", "record", ""], false, "is empty"),
        (&["HSET", KEY, "revision", "1", "record", newer], true, "version 99"),
        (&["HSET", KEY, "revision", "1", "record", other], false, "not the one of the record"),
        (
            &["HSET", KEY, "revision", "1", "record", "tower-teamup-auth sealed v1\n"],
            true,
            "is sealed",
        ),
    ] {
        server.query::<()>(&["DEL", KEY]);
        server.query::<()>(command);
        let before: Vec<u8> = server.query(&["DUMP", KEY]);
        let attempt = store.try_acquire().await.unwrap();
        for error in [
            store.load().await.unwrap_err(),
            attempt.record.unwrap().unwrap_err(),
            store.save(&lease, Expected::Empty, &record(1, "x")).await.unwrap_err(),
        ] {
            let told = told(&error);
            assert_eq!((error.is_locked(), error.is_corrupt()), (is_locked, !is_locked), "{told}");
            assert!(told.contains(said) && told.contains(KEY), "{command:?}: {told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
        let connected = RedisStore::connect(server.url(), "user-1").await;
        assert!(connected.unwrap_err().is_store());
        assert_eq!(server.query::<Vec<u8>>(&["DUMP", KEY]), before, "{command:?}");

        store.save(&lease, Expected::Anything, &record(5, "new")).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(record(5, "new")), "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_of_version_1_is_read_and_upgraded_whatever_its_revision() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let lease = lease(&store).await;
    for (old, revision) in [
        ("0", 1),
        ("1", 1),
        ("41", 41),
        ("9223372036854775807", StoredRecord::MAX_REVISION),
        ("18446744073709551615", StoredRecord::MAX_REVISION),
    ] {
        server.query::<()>(&["DEL", KEY]);
        let text = format!(r#"{{"version":1,"revision":{old},"refresh_token":"r1"}}"#);
        server.query::<()>(&["HSET", KEY, "revision", old, "tokens", &text]);
        let loaded = store.load().await.unwrap().unwrap();
        assert_eq!(loaded.revision(), revision);
        assert_eq!(loaded.tokens().unwrap().refresh_token().expose(), "r1");

        let error = store.save(&lease, Expected::Revision(7), &record(8, "x")).await.unwrap_err();
        assert!(error.is_conflict(), "{error:?}");
        store.save(&lease, Expected::Revision(revision), &record(2, "new")).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(record(2, "new")));
        let fields: std::collections::BTreeSet<String> = server.query(&["HKEYS", KEY]);
        assert_eq!(fields, ["record".to_owned(), "revision".to_owned()].into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_beyond_what_a_float_can_tell_apart_are_told_apart() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let lease = lease(&store).await;
    let last = StoredRecord::MAX_REVISION;
    store.save(&lease, Expected::Empty, &record(last - 1, "a")).await.unwrap();
    let error = store.save(&lease, Expected::Revision(last), &record(last, "b")).await.unwrap_err();
    assert!(error.is_conflict());
    store.save(&lease, Expected::Revision(last - 1), &record(last, "b")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record(last, "b")));
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_a_sealed_record_opens_with_its_key_and_under_its_name_only() {
    let server = RedisServer::start();
    let sealed = |key: u8| {
        let builder = RedisStore::builder(server.url(), "user-1");
        builder.encrypt_with(EncryptionKey::from_bytes([key; 32])).build().unwrap()
    };
    let store = sealed(1);
    let lease = lease(&store).await;
    store.save(&lease, Expected::Empty, &record(5, "a")).await.unwrap();
    let kept: Vec<u8> = server.query(&["HGET", KEY, "record"]);
    assert!(!String::from_utf8_lossy(&kept).contains("s3cret"), "kept in the clear");
    assert_eq!(sealed(1).load().await.unwrap(), Some(record(5, "a")));
    assert_eq!(found(sealed(1).try_acquire().await.unwrap()), Some(record(5, "a")));

    assert!(sealed(2).load().await.unwrap_err().is_locked());
    assert!(store_at(server.url()).load().await.unwrap_err().is_locked());
    server.query::<()>(&["COPY", KEY, "tower-teamup-auth:{user-2}"]);
    assert!(store.with_key("user-2").load().await.unwrap_err().is_corrupt());
}

/// The envelope of version 1: XChaCha20-Poly1305 under 32 bytes of 1, with a nonce of 24 bytes of 2,
/// and beside it the first line and the name of the hash.
fn sealed_by_version_1(text: &[u8], name: &str) -> Vec<u8> {
    let line = &b"tower-teamup-auth sealed v1\n"[..];
    let cipher = XChaCha20Poly1305::new(&[1; 32].into());
    let beside = [line, name.as_bytes()].concat();
    let payload = Payload { msg: text, aad: &beside };
    let sealed = cipher.encrypt(&XNonce::from([2; 24]), payload).unwrap();
    [line, &[2; 24], &sealed].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_of_version_1_opens_only_while_it_is_accepted() {
    let server = RedisServer::start();
    let key = || EncryptionKey::from_bytes([1; 32]);
    // What the first version of this crate leaves behind.
    let text = br#"{"version":1,"revision":3,"refresh_token":"s3cret-old"}"#;
    let sealed = sealed_by_version_1(text, KEY);
    server.query::<()>(&[&b"HSET"[..], KEY.as_bytes(), b"revision", b"3", b"tokens", &sealed]);

    let open = |sealing: Sealing| {
        RedisStore::builder(server.url(), "user-1").seal_with(sealing).build().unwrap()
    };
    assert!(open(Sealing::new(key())).load().await.unwrap_err().is_locked());
    let store = open(Sealing::new(key()).accept_version_1());
    assert_eq!(store.load().await.unwrap().unwrap().revision(), 3);
    let lease = lease(&store).await;
    store.save(&lease, Expected::Revision(3), &record(4, "new")).await.unwrap();
    assert_eq!(open(Sealing::new(key())).load().await.unwrap(), Some(record(4, "new")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_record_and_one_of_an_older_key_are_sealed_at_the_next_save() {
    let server = RedisServer::start();
    let key = |byte: u8| EncryptionKey::from_bytes([byte; 32]);
    let open = |sealing: Sealing| {
        RedisStore::builder(server.url(), "user-1").seal_with(sealing).build().unwrap()
    };
    let plain = store_at(server.url());
    let held = lease(&plain).await;
    plain.save(&held, Expected::Empty, &record(1, "a")).await.unwrap();
    assert!(open(Sealing::new(key(1))).load().await.unwrap_err().is_locked());
    let accepting = open(Sealing::new(key(1)).accept_plain());
    accepting.save(&held, Expected::Revision(1), &record(2, "b")).await.unwrap();
    assert!(plain.load().await.unwrap_err().is_locked());

    let rotating = open(Sealing::new(key(2)).also_open_with(key(1)));
    assert_eq!(rotating.load().await.unwrap(), Some(record(2, "b")));
    rotating.save(&held, Expected::Revision(2), &record(3, "c")).await.unwrap();
    assert!(open(Sealing::new(key(1))).load().await.unwrap_err().is_locked());
    assert_eq!(open(Sealing::new(key(2))).load().await.unwrap(), Some(record(3, "c")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_opens_by_key_and_lists_who_has_a_record() {
    let server = RedisServer::start();
    // Neighbours whose keys look alike, and a prefix that `MATCH` would read as a pattern.
    for prefix in ["users", "u*ers", "u[s]ers?"] {
        let users = store_at(server.url()).family(prefix).unwrap();
        assert_eq!(users.list().await.unwrap(), [""; 0]);
        // What else stands there is none of the family's.
        server.query::<()>(&["SET", &format!("{prefix}:{{x}}:note"), "note"]);
        server.query::<()>(&["SET", &format!("{prefix}:{{}}"), "note"]);
        let mut keys = ["", "%", "Zoë", "a", "a{b}", "a%7Bb}", "b:lease", "b}:lease"];
        for key in keys {
            let user = users.open(key).unwrap();
            let lease = lease(&user).await;
            user.save(&lease, Expected::Empty, &record(1, key)).await.unwrap();
        }
        // A lease alone is no record.
        let _lease = lease(&users.open("c").unwrap()).await;
        keys.sort_unstable();
        assert_eq!(users.list().await.unwrap(), keys);
        for key in keys {
            assert_eq!(users.open(key).unwrap().load().await.unwrap(), Some(record(1, key)));
        }
    }
    assert!(store_at(server.url()).family("").unwrap_err().is_invalid_input());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_without_the_lease_removes_nothing() {
    let server = RedisServer::start();
    let store = store_at(server.url());
    let lost = lease(&store).await;
    store.save(&lost, Expected::Empty, &record(1, "a")).await.unwrap();
    server.query::<()>(&["DEL", crate::support::LEASE]);
    assert!(store.delete(&lost).await.unwrap_err().is_lease_lost());
    let held = lease(&store).await;
    assert!(store.delete(&lost).await.unwrap_err().is_lease_lost());
    assert_eq!(store.load().await.unwrap(), Some(record(1, "a")));
    store.delete(&held).await.unwrap();
    assert_eq!(store.load().await.unwrap(), None);
}
