//! The contract of every token store.

use std::future::ready;

use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::testing::conformance::{Conformance, check_store};

use crate::support::Folder;

#[tokio::test(start_paused = true)]
async fn conformance_file() {
    let folder = Folder::in_memory();
    let sidecar = folder.path().join("tokens.json.lock");
    // The lease ends for all but its holder when its file is removed.
    let expire = move || {
        let _ = std::fs::remove_file(&sidecar);
        ready(())
    };
    Conformance::new(|| ready(folder.store())).expire_lease(expire).check().await;
}

#[tokio::test(start_paused = true)]
async fn conformance_file_without_an_expired_lease() {
    let folder = Folder::in_memory();
    check_store(|| ready(folder.store())).await;
}

#[tokio::test(start_paused = true)]
async fn conformance_file_of_a_family() {
    let folder = Folder::in_memory();
    for key in ["ada@example.com", &"long".repeat(100)] {
        check_store(|| ready(FileStore::family(folder.path()).open(key))).await;
    }
}

#[cfg(feature = "encryption")]
#[tokio::test(start_paused = true)]
async fn conformance_file_sealed() {
    use tower_teamup_auth::store::{EncryptionKey, Sealing};

    let folder = Folder::in_memory();
    let sealing = Sealing::new(EncryptionKey::from_bytes([1; 32]));
    check_store(|| ready(folder.store().seal_with(sealing.clone()))).await;
    let family = FileStore::family(folder.path()).seal_with(sealing);
    check_store(|| ready(family.open("ada@example.com"))).await;
}
