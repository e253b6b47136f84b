//! A file that only a key opens.

use std::fs;

use tower_teamup_auth::store::{EncryptionKey, FileStore, Sealing, StoreError};
use tower_teamup_auth::store::{Expected, StoredRecord, TokenStore as _};

use crate::support::{Folder, acquire, mode_of, record};

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::from_bytes([byte; 32])
}

fn sealing(byte: u8) -> Sealing {
    Sealing::new(key(byte))
}

async fn save(store: &FileStore, expected: Expected, record: &StoredRecord) {
    let lease = acquire(store).await;
    store.save(&lease, expected, record).await.unwrap();
    store.release(lease).await.unwrap();
}

fn is_sealed(content: &[u8]) -> bool {
    content.starts_with(b"tower-teamup-auth sealed v2\n")
        && !content.windows(6).any(|window| window == b"s3cret")
        && !content.windows(7).any(|window| window == b"refresh")
}

#[tokio::test]
async fn a_sealed_file_holds_no_token_in_plain_and_opens_under_its_own_name_alone() {
    let folder = Folder::new();
    let store = folder.store().encrypt_with(key(1));
    save(&store, Expected::Empty, &record(1, "s3cret-1")).await;
    let first = fs::read(folder.tokens()).unwrap();
    save(&store, Expected::Revision(1), &record(2, "s3cret-2")).await;
    let second = fs::read(folder.tokens()).unwrap();
    assert!(is_sealed(&first) && is_sealed(&second) && first != second);
    assert_eq!(mode_of(&folder.tokens()), 0o600);

    // Into another folder it may be moved, and nowhere else.
    let elsewhere = Folder::new();
    fs::rename(folder.tokens(), elsewhere.tokens()).unwrap();
    let moved = elsewhere.store().seal_with(sealing(1));
    assert_eq!(moved.load().await.unwrap(), Some(record(2, "s3cret-2")));
    let renamed = elsewhere.path().join("renamed.json");
    fs::rename(elsewhere.tokens(), &renamed).unwrap();
    let renamed = FileStore::new(renamed);
    let error = renamed.clone().seal_with(sealing(1)).load().await.unwrap_err();
    assert!(error.is_corrupt(), "{error:?}");
    let named = renamed.seal_with(sealing(1).sealed_as("tokens.json"));
    assert_eq!(named.load().await.unwrap(), Some(record(2, "s3cret-2")));
}

#[tokio::test]
async fn a_missing_key_a_needless_one_and_a_wrong_one_are_told_apart() {
    let folder = Folder::new();
    let (plain, sealed) = (folder.store(), folder.store().encrypt_with(key(1)));
    save(&plain, Expected::Empty, &record(1, "s3cret")).await;
    is_locked(&sealed, "accept_plain").await;

    save(&sealed, Expected::Anything, &record(1, "s3cret")).await;
    is_locked(&plain, "it is sealed, and this store has no key").await;
    is_locked(&folder.store().encrypt_with(key(2)), "sealed with another key").await;
    // What is overwritten on purpose is kept, too.
    assert!(folder.path().join("tokens.json.unreadable").exists());
}

#[tokio::test]
async fn a_plain_file_a_file_of_version_1_and_one_of_an_older_key_are_sealed_at_the_next_save() {
    let folder = Folder::new();
    let json = br#"{"version":1,"revision":1,"refresh_token":"s3cret-old"}"#;
    folder.write("tokens.json", json);
    let accepting = folder.store().seal_with(sealing(1).accept_plain());
    upgrades(&folder, &accepting).await;

    // As the first version of this crate wrote it, with key(1).
    folder.write("tokens.json", &sealed_by_version_1());
    is_locked(&folder.store().seal_with(sealing(1)), "accept_version_1").await;
    let accepting = folder.store().seal_with(sealing(1).accept_version_1());
    upgrades(&folder, &accepting).await;

    let rotating = folder.store().seal_with(sealing(2).also_open_with(key(1)));
    assert_eq!(rotating.load().await.unwrap(), Some(record(2, "s3cret-new")));
    save(&rotating, Expected::Revision(2), &record(3, "s3cret-rotated")).await;
    let store = folder.store().seal_with(sealing(2));
    assert_eq!(store.load().await.unwrap(), Some(record(3, "s3cret-rotated")));
}

/// The record of revision 1 is read, and the next is sealed so that key 1 alone opens it.
async fn upgrades(folder: &Folder, store: &FileStore) {
    let found = store.load().await.unwrap().unwrap();
    assert_eq!(found.tokens().unwrap().refresh_token().expose(), "s3cret-old");
    save(store, Expected::Revision(1), &record(2, "s3cret-new")).await;
    assert!(is_sealed(&fs::read(folder.tokens()).unwrap()));
    let strict = folder.store().seal_with(sealing(1));
    assert_eq!(strict.load().await.unwrap(), Some(record(2, "s3cret-new")));
}

/// XChaCha20-Poly1305 of `{"version":1,"revision":1,"refresh_token":"s3cret-old"}` under 32 bytes of
/// 1, with a nonce of 24 bytes of 2 and the first line beside it, made by another implementation.
fn sealed_by_version_1() -> Vec<u8> {
    let hex = "b744408ad8049522ce435ba05e720bfbbbbc82c15a88092d714b9e1c14b78dfde3109aa5\
               096f2863795bb59bbcd94a5d37e20e2049056e975343d7786630456aa1fdb684e43695";
    let sealed = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    let line = b"tower-teamup-auth sealed v1\n".iter().copied();
    line.chain([2; 24]).chain(sealed.map(Result::unwrap)).collect()
}

#[tokio::test]
async fn p5_neither_the_store_nor_its_lease_shows_a_secret() {
    let folder = Folder::new();
    let store = folder
        .store()
        .encrypt_with(EncryptionKey::from_bytes(*b"s3cret-s3cret-s3cret-s3cret-s3cr"));
    let lease = acquire(&store).await;
    store.save(&lease, Expected::Empty, &record(1, "s3cret")).await.unwrap();
    let shown = format!("{store:?} {lease:?}");
    assert!(shown.contains("tokens.json") && !shown.contains("s3cret"), "{shown}");
    assert!(!shown.contains("115"), "the key's bytes: {shown}");
}

/// The file is locked, with this text, and stays as it is.
async fn is_locked(store: &FileStore, said: &str) {
    let before = fs::read(store.path()).unwrap();
    let lease = acquire(store).await;
    let brought = store.try_acquire().await.unwrap().record.unwrap();
    let errors: [StoreError; 4] = [
        brought.unwrap_err(),
        store.load().await.unwrap_err(),
        store.save(&lease, Expected::Revision(1), &record(2, "new")).await.unwrap_err(),
        store.save(&lease, Expected::Empty, &record(2, "new")).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.is_locked(), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.to_string().contains(store.path().to_str().unwrap()), "{error}");
    }
    assert_eq!(fs::read(store.path()).unwrap(), before);
}
