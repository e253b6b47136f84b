//! `KeyringStore` on a real keyring: GNOME Keyring, on a message bus of the test's own.
#![cfg(target_os = "linux")]

#[path = "support/keyring.rs"]
mod keyring;
#[path = "support/process.rs"]
mod process;
#[path = "support/witness.rs"]
mod witness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyring::Session;
use process::{OtherProcess, part, say, wait_for_parent};
use tower_teamup_auth::store::{EncryptionKey, FileLease, FileStore, KeyringStore};
use tower_teamup_auth::store::{Expected, LoginId, RecordContent, StoredRecord, TokenStore as _};
use tower_teamup_auth::testing::conformance::check_store;
use tower_teamup_auth::{Error, TokenSet};

const SERVICE: &str = "com.example.tower-teamup-auth-test";

trait Programs {
    /// Starts the test `name` as a program of this session, on the store at `path`.
    fn start(&self, name: &str, role: &str, path: &Path) -> OtherProcess;

    fn path(&self) -> PathBuf;
}

impl Programs for Session {
    fn start(&self, name: &str, role: &str, path: &Path) -> OtherProcess {
        let test = self.command(Command::new(std::env::current_exe().unwrap()));
        OtherProcess::start_by(test, name, role, path)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("tokens")
    }
}

fn record(revision: u64) -> StoredRecord {
    let login: LoginId = "07070707070707070707070707070707".parse().unwrap();
    let tokens = TokenSet::new(format!("s3cret-{revision}").parse().unwrap());
    StoredRecord::new(login, revision, RecordContent::Tokens(tokens))
}

async fn open(path: PathBuf) -> Result<KeyringStore, Error> {
    witness::watch();
    KeyringStore::open(path, SERVICE, "studio-7").await
}

async fn acquire(store: &KeyringStore) -> FileLease {
    loop {
        if let Some(lease) = store.try_acquire().await.unwrap().lease {
            return lease;
        }
        store.changed().await;
    }
}

async fn rotate_once(store: &KeyringStore) {
    let lease = acquire(store).await;
    let found = store.load().await.unwrap();
    let revision = found.as_ref().map_or(0, StoredRecord::revision) + 1;
    store.save(&lease, Expected::found(found.as_ref()), &record(revision)).await.unwrap();
    store.release(lease).await.unwrap();
}

/// What a program says that could not open its store.
async fn says_why_not(path: PathBuf) {
    let error = open(path).await.unwrap_err();
    assert!(error.is_store(), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap();
    let reason = cause.source().map(ToString::to_string).unwrap_or_default();
    say(&format!("{cause}: {reason}"));
}

#[tokio::test]
async fn the_next_program_opens_what_the_one_before_saved_and_the_file_alone_tells_nothing() {
    const NAME: &str =
        "the_next_program_opens_what_the_one_before_saved_and_the_file_alone_tells_nothing";
    if let Some((role, path)) = part::<PathBuf>() {
        let store = open(path).await.unwrap();
        let held = store.load().await.unwrap();
        assert_eq!(held, (role == "second").then(|| record(1)));
        rotate_once(&store).await;
        let shown = format!("{store:?}");
        assert!(shown.contains("tokens") && !shown.contains("s3cret"), "{shown}");
        return;
    }
    let session = Session::new();
    session.start(NAME, "first", &session.path()).passes();
    session.start(NAME, "second", &session.path()).passes();

    let kept = fs::read(session.path()).unwrap();
    assert!(kept.starts_with(b"tower-teamup-auth sealed v2\n"));
    assert!(!kept.windows(6).any(|window| window == b"s3cret"));
    let error = FileStore::new(session.path()).load().await.unwrap_err();
    assert!(error.is_locked(), "{error}");
}

#[tokio::test]
async fn accounts_of_a_family_share_one_key_of_the_keyring() {
    const NAME: &str = "accounts_of_a_family_share_one_key_of_the_keyring";
    const ACCOUNTS: [&str; 2] = ["studio-7", "Studio-7"];
    if let Some((role, path)) = part::<PathBuf>() {
        witness::watch();
        let opened = KeyringStore::family(&path, SERVICE, "accounts").await;
        if role == "without the key" {
            let error = opened.unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(error.is_store() && cause.contains("bring the key back"), "{cause}");
            return;
        }
        let family = opened.unwrap();
        for (revision, account) in (1..).zip(ACCOUNTS) {
            let store = family.open(account);
            let held = store.load().await.unwrap();
            assert_eq!(held, (role == "second").then(|| record(revision)));
            let lease = store.try_acquire().await.unwrap().lease.unwrap();
            let expected = Expected::found(held.as_ref());
            store.save(&lease, expected, &record(revision)).await.unwrap();
            store.release(lease).await.unwrap();
        }
        let mut listed = family.list().await.unwrap();
        listed.sort();
        assert_eq!(listed, ["Studio-7", "studio-7"]);
        return;
    }
    let session = Session::new();
    session.start(NAME, "first", &session.path()).passes();
    session.start(NAME, "second", &session.path()).passes();
    for file in fs::read_dir(session.path()).unwrap() {
        let kept = fs::read(file.unwrap().path()).unwrap();
        assert!(!kept.windows(6).any(|window| window == b"s3cret"));
    }
    // A keyring that has never heard of it.
    let other = Session::new();
    other.start(NAME, "without the key", &session.path()).passes();
}

#[tokio::test]
async fn p2_programs_that_start_together_make_one_key_and_lose_no_rotation() {
    const NAME: &str = "p2_programs_that_start_together_make_one_key_and_lose_no_rotation";
    const PROGRAMS: u64 = 4;
    const ROTATIONS: u64 = 5;
    if let Some((role, path)) = part::<PathBuf>() {
        say("ready");
        wait_for_parent();
        let store = open(path).await.unwrap();
        if role == "last" {
            assert_eq!(store.load().await.unwrap(), Some(record(PROGRAMS * ROTATIONS)));
            return;
        }
        for _ in 0..ROTATIONS {
            rotate_once(&store).await;
        }
        return;
    }
    let session = Session::new();
    let mut programs: Vec<_> =
        (0..PROGRAMS).map(|_| session.start(NAME, "one of many", &session.path())).collect();
    programs.iter().for_each(|program| assert_eq!(program.hear(), "ready"));
    programs.iter_mut().for_each(OtherProcess::go_on);
    programs.into_iter().for_each(OtherProcess::passes);
    let mut last = session.start(NAME, "last", &session.path());
    last.go_on();
    last.passes();
}

#[tokio::test]
async fn p2_records_are_saved_and_read_while_the_keyring_is_gone() {
    const NAME: &str = "p2_records_are_saved_and_read_while_the_keyring_is_gone";
    if let Some((_, path)) = part::<PathBuf>() {
        let store = open(path).await.unwrap();
        say("open");
        wait_for_parent();
        rotate_once(&store).await;
        assert_eq!(store.load().await.unwrap(), Some(record(1)));
        return;
    }
    let mut session = Session::new();
    let mut program = session.start(NAME, "program", &session.path());
    assert_eq!(program.hear(), "open");
    session.stop_keyring();
    program.go_on();
    program.passes();
}

#[tokio::test(start_paused = true)]
async fn conformance_keyring() {
    const NAME: &str = "conformance_keyring";
    if let Some((_, path)) = part::<PathBuf>() {
        return check_store(|| async { open(path.clone()).await.unwrap() }).await;
    }
    let session = Session::new();
    session.start(NAME, "program", &session.path()).passes();
}

/// The keyring is stopped: it takes the question and never answers.
#[tokio::test]
async fn f8_a_keyring_that_never_answers_does_not_keep_the_program_from_ending() {
    const NAME: &str = "f8_a_keyring_that_never_answers_does_not_keep_the_program_from_ending";
    if let Some((_, path)) = part::<PathBuf>() {
        // Asked again and again, as a program does that gives up waiting.
        for _ in 0..50 {
            let asked = tokio::spawn(open(path.clone()));
            tokio::task::yield_now().await;
            asked.abort();
            assert!(asked.await.unwrap_err().is_cancelled());
        }
        let asked = tokio::spawn(open(path.clone()));
        tokio::task::yield_now().await;
        let threads = || {
            fs::read_dir("/proc/self/task")
                .unwrap()
                .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
                .filter(|name| name.trim_end() == "token-store")
                .count()
        };
        // A thread gives itself its name some time after it was started, and one that found nothing to
        // do is on its way out. One that waits for the keyring stays.
        for _ in 0..200_000 {
            if threads() == 1 {
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!(threads(), 1, "one thread asks");
        assert!(!asked.is_finished(), "the keyring has answered");
        // The program chooses what to do without it.
        let store = KeyringStore::with_key(path, EncryptionKey::from_bytes([1; 32]));
        rotate_once(&store).await;
        assert_eq!(store.load().await.unwrap(), Some(record(1)));
        return say("ends");
    }
    let session = Session::new();
    session.pause_keyring();
    let program = session.start(NAME, "program", &session.path());
    assert_eq!(program.hear(), "ends");
    program.passes();
}

#[tokio::test]
async fn a_file_of_another_key_is_locked_and_one_that_is_torn_is_not_in_the_way() {
    const NAME: &str = "a_file_of_another_key_is_locked_and_one_that_is_torn_is_not_in_the_way";
    if let Some((role, path)) = part::<PathBuf>() {
        let fallback = || EncryptionKey::from_bytes([1; 32]);
        if role == "fallback" {
            return rotate_once(&KeyringStore::with_key(&path, fallback())).await;
        }
        // The key is made although the file is empty, as after a power loss.
        let torn = open(path.with_file_name("torn")).await.unwrap();
        let lease = acquire(&torn).await;
        assert!(torn.load().await.unwrap_err().is_corrupt());
        torn.save(&lease, Expected::Anything, &record(1)).await.unwrap();
        assert_eq!(torn.load().await.unwrap(), Some(record(1)));

        let store = open(path).await.unwrap();
        let error = store.load().await.unwrap_err();
        assert!(error.is_locked(), "{error:?}");
        // With both keys it opens, and the next save seals it with the one of the keyring.
        rotate_once(&store.clone().also_open_with(fallback())).await;
        assert!(store.load().await.unwrap().is_some());
        return;
    }
    let session = Session::new();
    let torn = session.path().with_file_name("torn");
    fs::write(&torn, b"").unwrap();
    fs::set_permissions(&torn, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    session.start(NAME, "fallback", &session.path()).passes();
    session.start(NAME, "keyring", &session.path()).passes();
}

#[tokio::test]
async fn a_key_that_is_gone_is_named_and_no_other_is_made_over_it() {
    const NAME: &str = "a_key_that_is_gone_is_named_and_no_other_is_made_over_it";
    match part::<PathBuf>() {
        Some((role, path)) if role == "saves" => {
            return rotate_once(&open(path).await.unwrap()).await;
        }
        Some((_, path)) => return says_why_not(path).await,
        None => {}
    }
    let session = Session::new();
    session.start(NAME, "saves", &session.path()).passes();
    let kept = fs::read(session.path()).unwrap();

    // The same file under another user of the machine, say, or after the keyring was reset.
    let other = Session::new();
    for _ in 0..2 {
        let program = other.start(NAME, "fails", &session.path());
        let said = program.hear();
        for expected in [
            "has no key (service `com.example.tower-teamup-auth-test`, user `studio-7`)",
            session.path().to_str().unwrap(),
            "let the user log in again",
        ] {
            assert!(said.contains(expected), "{expected:?} is missing in: {said}");
        }
        program.passes();
    }
    assert_eq!(fs::read(session.path()).unwrap(), kept);
    // Where the key is, it opens.
    session.start(NAME, "saves", &session.path()).passes();
}

#[tokio::test]
async fn a_keyring_that_is_not_there_or_stays_locked_is_named() {
    const NAME: &str = "a_keyring_that_is_not_there_or_stays_locked_is_named";
    if let Some((_, path)) = part::<PathBuf>() {
        return says_why_not(path).await;
    }
    let mut session = Session::without_keyring();
    let program = session.start(NAME, "without a keyring", &session.path());
    let said = program.hear();
    assert!(said.contains("can't be had from the user's keyring"), "{said}");
    assert!(said.contains("org.freedesktop.secrets"), "{said}");
    program.passes();

    session.start_keyring(false);
    let program = session.start(NAME, "with one that nobody unlocks", &session.path());
    let said = program.hear();
    assert!(said.contains("can't be kept in the user's keyring"), "{said}");
    program.passes();
    assert!(!session.path().exists());
}

#[tokio::test]
async fn what_is_no_key_is_left_as_it_is() {
    const NAME: &str = "what_is_no_key_is_left_as_it_is";
    if let Some((_, path)) = part::<PathBuf>() {
        let secret = || {
            let keyring = zbus_secret_service_keyring_store::Store::new().unwrap();
            let keyring: std::sync::Arc<keyring_core::CredentialStore> = keyring;
            keyring.build(SERVICE, "studio-7", None).unwrap()
        };
        let put = move || secret().set_secret(b"s3cret of another program").unwrap();
        tokio::task::spawn_blocking(put).await.unwrap();
        says_why_not(path).await;
        let kept = tokio::task::spawn_blocking(move || secret().get_secret().unwrap());
        assert_eq!(kept.await.unwrap(), b"s3cret of another program");
        return;
    }
    let session = Session::new();
    let program = session.start(NAME, "program", &session.path());
    let said = program.hear();
    assert!(said.contains("is no key of this crate's, and is left as it is"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    program.passes();
}
