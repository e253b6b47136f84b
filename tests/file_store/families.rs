//! Many keys in one folder.

use std::collections::HashSet;
use std::fs;

use tower_teamup_auth::store::{Expected, ListKeys, TokenStore as _};
use tower_teamup_auth::store::{FileFamily, FileStore, StoreError};

use crate::support::{Folder, acquire, mode_of, record};

async fn save(family: &FileFamily, key: &str, token: &str) {
    let store = family.open(key);
    let lease = acquire(&store).await;
    store.save(&lease, Expected::Anything, &record(1, token)).await.unwrap();
    store.release(lease).await.unwrap();
}

/// Keys that some file system would not tell apart, or could not take for a name.
fn keys() -> Vec<String> {
    let long = "x".repeat(300);
    let longer = "x".repeat(301);
    [
        "",
        ".",
        "..",
        "/",
        "../tokens",
        "a",
        "A",
        "a.json",
        "A.JSON",
        "a.json.lock",
        "con",
        "nul",
        "aux.json",
        " ",
        "a ",
        "a.",
        "caf\u{e9}",
        "cafe\u{301}",
        "\0",
        "_",
        "_61",
        "\u{131}",
        "i",
        "I",
        "login-a",
        &long,
        &longer,
    ]
    .iter()
    .map(ToString::to_string)
    .collect()
}

#[tokio::test]
async fn p11_two_keys_never_meet_and_any_key_is_safe() {
    let folder = Folder::in_memory();
    let family = FileStore::family(folder.path().join("users"));
    assert!(family.list().await.unwrap().is_empty(), "of a folder that is not there");
    for (at, key) in keys().iter().enumerate() {
        save(&family, key, &format!("s3cret-{at}")).await;
    }
    for (at, key) in keys().iter().enumerate() {
        let found = family.open(key).load().await.unwrap();
        assert_eq!(found, Some(record(1, &format!("s3cret-{at}"))), "{key:?}");
    }
    // Nothing was written elsewhere, and the names differ in more than the case of their letters.
    assert_eq!(folder.names(), ["users"]);
    let names = crate::support::names_in(family.folder());
    let files = names.iter().filter(|name| name.ends_with(".json"));
    let different: HashSet<_> = files.map(|name| name.to_lowercase()).collect();
    assert_eq!(different.len(), keys().len());
    for name in &names {
        assert_eq!(mode_of(&family.folder().join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn keys_are_listed_as_long_as_there_is_a_record() {
    let folder = Folder::in_memory();
    let family = FileStore::family(folder.path());
    for key in keys() {
        save(&family, &key, "s3cret").await;
    }
    folder.write("tokens.json", b"not of the family");
    folder.write("login-a.json.unreadable", b"no record");
    let mut listed = family.list().await.unwrap();
    let mut expected = keys();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);

    for key in keys() {
        let store = family.open(&key);
        let lease = acquire(&store).await;
        store.delete(&lease).await.unwrap();
        store.release(lease).await.unwrap();
    }
    assert!(family.list().await.unwrap().is_empty());
    // A person who is erased leaves no name behind.
    assert_eq!(folder.names(), ["tokens.json"]);
}

#[tokio::test]
async fn any_family_lists_its_keys_and_says_where_it_can_not() {
    async fn list(family: &impl ListKeys) -> Result<Vec<String>, StoreError> {
        family.list().await
    }
    let folder = Folder::new();
    let family = FileStore::family(folder.path().join("users"));
    assert_eq!(list(&family).await.unwrap(), [""; 0], "there is no folder yet");
    save(&family, "one", "r1").await;
    assert_eq!(list(&family).await.unwrap(), ["one"]);

    let file = folder.write("no-folder", b"");
    let error = list(&FileStore::family(&file)).await.unwrap_err();
    assert!(error.is_unavailable() && error.to_string().contains("no-folder"), "{error}");
}

#[tokio::test]
async fn f1_the_key_beside_a_file_is_written_again_when_it_was_altered() {
    let folder = Folder::in_memory();
    let family = FileStore::family(folder.path());
    let long = "x".repeat(300);
    save(&family, &long, "r1").await;
    let mut beside = family.open(&long).path().as_os_str().to_owned();
    beside.push(".key");
    assert_eq!(fs::read_to_string(&beside).unwrap(), long);
    fs::write(&beside, "altered").unwrap();
    save(&family, &long, "r2").await;
    assert_eq!(fs::read_to_string(&beside).unwrap(), long);
}

#[tokio::test]
async fn two_handles_of_one_key_share_the_lease() {
    let folder = Folder::in_memory();
    let (family, other) = (FileStore::family(folder.path()), FileStore::family(folder.path()));
    let lease = acquire(&family.open("a")).await;
    for family in [&family, &other] {
        assert!(family.open("a").try_acquire().await.unwrap().lease.is_none());
        assert!(family.open("b").try_acquire().await.unwrap().lease.is_some());
    }
    drop(lease);
}

#[cfg(feature = "encryption")]
#[tokio::test]
async fn c6_a_sealed_file_of_one_person_copied_over_that_of_another_is_refused() {
    use tower_teamup_auth::store::{EncryptionKey, Sealing};

    let folder = Folder::in_memory();
    let sealing = || Sealing::new(EncryptionKey::from_bytes([1; 32]));
    let family = FileStore::family(folder.path()).seal_with(sealing());
    save(&family, "ada", "s3cret-ada").await;
    save(&family, "bob", "s3cret-bob").await;
    let (ada, bob) = (family.open("ada"), family.open("bob"));
    fs::copy(bob.path(), ada.path()).unwrap();
    let error = ada.load().await.unwrap_err();
    assert!(error.is_corrupt(), "{error:?}");
    assert!(error.to_string().contains("sealed under another name"), "{error}");

    // So is a file that is sealed for no family, or for another one.
    let own = FileStore::new(folder.path().join("ada")).seal_with(sealing().sealed_as("studio"));
    let lease = acquire(&own).await;
    own.save(&lease, Expected::Empty, &record(1, "s3cret-studio")).await.unwrap();
    let other = FileStore::family(folder.path().join("other")).seal_with(sealing().sealed_as("x"));
    save(&other, "ada", "s3cret-other").await;
    for source in [own.path(), other.open("ada").path()] {
        fs::copy(source, ada.path()).unwrap();
        assert!(ada.load().await.unwrap_err().is_corrupt(), "{}", source.display());
    }

    // A login puts it right.
    save(&family, "ada", "s3cret-ada-again").await;
    assert_eq!(ada.load().await.unwrap(), Some(record(1, "s3cret-ada-again")));
}
