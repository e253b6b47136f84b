//! A file that only a key opens.

use std::fs;

use tower_teamup_auth::store::{EncryptionKey, FileStore, TokenStore as _};

use crate::support::{Folder, mode_of, tokens};

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::from_bytes([byte; 32])
}

#[tokio::test]
async fn an_encrypted_file_holds_no_token_in_plain_and_may_be_moved() {
    let folder = Folder::new();
    let store = folder.store().encrypt_with(key(1));
    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &tokens(1, "s3cret-1")).await.unwrap();
    let first = fs::read(folder.tokens()).unwrap();
    store.save(&lease, Some(1), &tokens(2, "s3cret-2")).await.unwrap();
    let second = fs::read(folder.tokens()).unwrap();

    for bytes in [&first, &second] {
        assert!(bytes.starts_with(b"tower-teamup-auth sealed v1\n"));
        assert!(!bytes.windows(6).any(|window| window == b"s3cret"));
        assert!(!bytes.windows(7).any(|window| window == b"refresh"));
    }
    assert_eq!(mode_of(&folder.tokens()), 0o600);
    let error = store.save(&lease, Some(1), &tokens(2, "s3cret-3")).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");

    let moved = folder.path().join("moved.json");
    fs::rename(folder.tokens(), &moved).unwrap();
    let store = FileStore::new(moved).encrypt_with(key(1));
    assert_eq!(store.load().await.unwrap(), Some(tokens(2, "s3cret-2")));
}

#[tokio::test]
async fn a_missing_key_a_needless_one_and_a_wrong_one_are_told_apart() {
    let folder = Folder::new();
    let plain = folder.store();
    let lease = plain.lock().await.unwrap();
    plain.save(&lease, None, &tokens(1, "s3cret")).await.unwrap();
    drop(lease);
    refuses(&folder.store().encrypt_with(key(1)), "are not encrypted").await;

    let lease = plain.lock().await.unwrap();
    plain.clear(&lease).await.unwrap();
    let sealed = folder.store().encrypt_with(key(1));
    sealed.save(&lease, None, &tokens(1, "s3cret")).await.unwrap();
    drop(lease);
    refuses(&plain, "are encrypted, and this store has no key").await;
    refuses(&folder.store().encrypt_with(key(2)), "do not open with this store's key").await;

    let mut altered = fs::read(folder.tokens()).unwrap();
    *altered.last_mut().unwrap() ^= 1;
    folder.write("tokens.json", &altered);
    refuses(&sealed, "or have been altered").await;
}

#[tokio::test]
async fn p5_neither_the_store_nor_its_lease_shows_a_secret() {
    let folder = Folder::new();
    let store = folder
        .store()
        .encrypt_with(EncryptionKey::from_bytes(*b"s3cret-s3cret-s3cret-s3cret-s3cr"));
    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &tokens(1, "s3cret")).await.unwrap();
    let shown = format!("{store:?} {lease:?}");
    assert!(shown.contains("tokens.json") && !shown.contains("s3cret"), "{shown}");
    assert!(!shown.contains("115"), "the key's bytes: {shown}");
}

/// The file is refused by every call, with this text, and stays as it is.
async fn refuses(store: &FileStore, said: &str) {
    let before = fs::read(store.path()).unwrap();
    let lease = store.lock().await.unwrap();
    for error in [
        store.load().await.unwrap_err(),
        store.save(&lease, Some(1), &tokens(2, "new")).await.unwrap_err(),
        store.clear(&lease).await.unwrap_err(),
    ] {
        assert!(error.is_unreadable());
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.to_string().contains(store.path().to_str().unwrap()), "{error}");
    }
    assert_eq!(fs::read(store.path()).unwrap(), before);
}
