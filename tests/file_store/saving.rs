//! What is written, and what is there after a save that went well, that was dropped, that panicked.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tower_teamup_auth::store::{Expected, RecordContent, StoredRecord, TokenStore as _};
use tower_teamup_auth::store::{FileStore, SaveStep};
use tower_teamup_auth::token::AccessToken;
use tower_teamup_auth::{RequestMode, TokenSet};

use crate::process::{OtherProcess, part, say};
use crate::support::{Folder, acquire, is_locked, login, mode_of, record, tombstone, try_acquire};

#[tokio::test]
async fn the_file_is_json_of_a_known_form() {
    let folder = Folder::new();
    let store = folder.store();
    let lease = acquire(&store).await;
    let expires_at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let tokens = TokenSet::new("refresh-1".parse().unwrap()).with_access_token_until(
        RequestMode::Customer,
        AccessToken::new("access-1").unwrap(),
        Some(expires_at),
    );
    let saved = StoredRecord::new(login(), 1, RecordContent::Tokens(tokens))
        .with_base_url("https://goteamup.com/api/v2");
    store.save(&lease, Expected::Empty, &saved).await.unwrap();

    let written: Value = serde_json::from_slice(&fs::read(folder.tokens()).unwrap()).unwrap();
    assert_eq!(
        written,
        json!({
            "version": 2,
            "revision": 1,
            "login": "07070707070707070707070707070707",
            "state": "tokens",
            "base_url": "https://goteamup.com/api/v2",
            "refresh_token": "refresh-1",
            "customer": { "access_token": "access-1", "expires_at": 1_700_000_000_123_u64 },
        })
    );
    assert_eq!(store.load().await.unwrap(), Some(saved));

    store.save(&lease, Expected::Revision(1), &tombstone(2)).await.unwrap();
    let written: Value = serde_json::from_slice(&fs::read(folder.tokens()).unwrap()).unwrap();
    assert_eq!(
        written,
        json!({
            "version": 2,
            "revision": 2,
            "login": "07070707070707070707070707070707",
            "state": "signed_out",
        })
    );
}

/// The texts are the first two versions of the format as they were released: they must load
/// permanently.
#[tokio::test]
async fn a_file_of_an_earlier_format_loads_and_is_upgraded_by_the_next_save() {
    let folder = Folder::new();
    folder.write(
        "tokens.json",
        br#"{"provider":{"access_token":"access-1","expires_at":1700000000123},"refresh_token":"refresh-1","revision":7,"version":1,"a key of later":true}"#,
    );
    let store = folder.store();
    let loaded = store.load().await.unwrap().unwrap();
    assert_eq!(loaded.revision(), 7);
    let tokens = loaded.tokens().unwrap();
    assert_eq!(tokens.refresh_token().expose(), "refresh-1");
    assert_eq!(tokens.access_token(RequestMode::Provider).unwrap().expose(), "access-1");
    assert_eq!(
        tokens.expires_at(RequestMode::Provider),
        Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))
    );
    // Two processes that upgrade it agree on the login.
    assert_eq!(loaded.login(), folder.store().load().await.unwrap().unwrap().login());

    let lease = acquire(&store).await;
    let next = StoredRecord::new(loaded.login(), 8, loaded.content().clone());
    store.save(&lease, Expected::Revision(7), &next).await.unwrap();
    let written: Value = serde_json::from_slice(&fs::read(folder.tokens()).unwrap()).unwrap();
    assert_eq!(written["version"], 2);
    assert_eq!(store.load().await.unwrap(), Some(next));

    folder.write(
        "tokens.json",
        br#"{"version":2,"revision":9,"login":"07070707070707070707070707070707","state":"rejected","seeds":["000102030405060708090a0b0c0d0e0f"],"refresh_token":"refresh-1","later":[]}"#,
    );
    let loaded = store.load().await.unwrap().unwrap();
    assert_eq!(loaded.seeds().len(), 1);
    assert!(matches!(loaded.content(), RecordContent::Rejected(_)));
}

#[tokio::test]
async fn a_byte_order_mark_is_read() {
    let folder = Folder::new();
    let store = folder.filled().await;
    let text = fs::read(folder.tokens()).unwrap();
    folder.write("tokens.json", &[b"\xEF\xBB\xBF", &text[..]].concat());
    assert_eq!(store.load().await.unwrap(), Some(record(1, "old")));
}

#[tokio::test]
async fn a_store_without_a_folder_is_empty_and_a_check_makes_it() {
    let folder = Folder::new();
    let store = FileStore::new(folder.path().join("a/b/tokens.json"));
    assert_eq!(store.load().await.unwrap(), None);
    assert!(folder.names().is_empty(), "a load made something");

    store.check().await.unwrap();
    store.check().await.unwrap();
    assert_eq!(mode_of(&folder.path().join("a")), 0o700);
    assert_eq!(mode_of(&folder.path().join("a/b")), 0o700);
    assert_eq!(crate::support::names_in(&folder.path().join("a/b")), ["tokens.json.lock"]);
    assert_eq!(store.load().await.unwrap(), None);
}

#[tokio::test]
async fn a_deletion_removes_every_file_of_the_store() {
    let folder = Folder::new();
    let store = folder.filled().await;
    folder.write("tokens.json.unreadable", b"s3cret");
    let lease = acquire(&store).await;
    store.delete(&lease).await.unwrap();
    assert_eq!(folder.names(), ["tokens.json.lock"]);
    assert!(try_acquire(&store).await.is_none(), "the lock file is still needed");
    store.release(lease).await.unwrap();
    assert!(folder.names().is_empty(), "{:?}", folder.names());

    // A login after it needs the lock file again.
    let lease = acquire(&store).await;
    store.delete(&lease).await.unwrap();
    store.save(&lease, Expected::Empty, &record(1, "new")).await.unwrap();
    drop(lease);
    assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);

    // A lease that is dropped leaves no more behind than one that is released.
    let lease = acquire(&store).await;
    store.delete(&lease).await.unwrap();
    drop(lease);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[tokio::test]
async fn what_can_not_be_read_can_be_deleted() {
    for content in [&b""[..], b"{\"version\":3}", b"tower-teamup-auth sealed v2\n0123"] {
        let folder = Folder::new();
        folder.write("tokens.json", content);
        let store = folder.store();
        let lease = acquire(&store).await;
        store.delete(&lease).await.unwrap();
        assert_eq!(store.load().await.unwrap(), None);
    }
}

#[tokio::test]
async fn p8_a_dropped_save_leaves_the_old_tokens_or_the_new_and_the_lock_to_its_writer() {
    for step in SaveStep::ALL {
        let folder = Folder::new();
        let next_holder = folder.filled().await;
        let (store, mut reached, go_on) = stopping_at(folder.store(), step);

        let save = tokio::spawn({
            let store = store.clone();
            let lease = acquire(&store).await;
            async move { store.save(&lease, Expected::Revision(1), &record(2, "new")).await }
        });
        reached.recv().await.unwrap();
        save.abort();
        assert!(save.await.unwrap_err().is_cancelled());

        // Nobody awaits the save and nobody has the lease, and still the writer is not disturbed.
        assert!(is_locked(&next_holder), "{step:?}: the lock was given back under the writer");
        let is_renamed = matches!(step, SaveStep::Renamed | SaveStep::Done);
        let expected = if is_renamed { record(2, "new") } else { record(1, "old") };
        assert_eq!(next_holder.load().await.unwrap(), Some(expected), "{step:?}");

        go_on.send(()).unwrap();
        let lease = acquire(&next_holder).await;
        assert_eq!(next_holder.load().await.unwrap(), Some(record(2, "new")), "{step:?}");
        next_holder.save(&lease, Expected::Revision(2), &record(3, "newer")).await.unwrap();
        assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);
    }
}

#[tokio::test]
async fn p8_a_save_waits_for_the_dropped_one_before_it() {
    let folder = Folder::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |store: FileStore, who: &'static str| {
        let order = Arc::clone(&order);
        store.on_save_step(move |step| order.lock().unwrap().push((who, step)))
    };
    let second = note(folder.filled().await, "second");
    let lease = acquire(&second).await;

    let (reached, go_on, first) = {
        let (told, reached) = tokio::sync::oneshot::channel();
        let (go_on, told_to) = mpsc::channel::<()>();
        let (told, told_to) = (Mutex::new(Some(told)), Mutex::new(told_to));
        let order = Arc::clone(&order);
        let first = folder.store().on_save_step(move |step| {
            order.lock().unwrap().push(("first", step));
            if step == SaveStep::Synced {
                told.lock().unwrap().take().unwrap().send(()).unwrap();
                told_to.lock().unwrap().recv().unwrap();
            }
        });
        (reached, go_on, first)
    };
    let given_up = tokio::spawn({
        let lease = lease.clone();
        async move { first.save(&lease, Expected::Revision(1), &record(2, "new")).await }
    });
    reached.await.unwrap();
    given_up.abort();

    let repeated = tokio::spawn(async move {
        second.save(&lease, Expected::Revision(1), &record(2, "new")).await.unwrap();
        second.save(&lease, Expected::Revision(2), &record(3, "newer")).await.unwrap();
    });
    for _ in 0..16 {
        // A chance for the second to go ahead of its turn.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
    }
    go_on.send(()).unwrap();
    repeated.await.unwrap();

    assert_eq!(folder.store().load().await.unwrap(), Some(record(3, "newer")));
    let order: Vec<_> = order.lock().unwrap().iter().map(|(who, _)| *who).collect();
    assert_eq!(order[..7], ["first"; 7]);
    // The repetition found its record there and wrote nothing; the third save did.
    assert_eq!(order[7..], ["second"; 7]);
}

#[tokio::test]
async fn p8_a_panic_in_a_save_frees_the_lock_and_leaves_no_temporary_file() {
    let folder = Folder::new();
    folder.filled().await;
    let store = folder.store().on_save_step(|step| assert_ne!(step, SaveStep::Written, "a test"));
    let lease = acquire(&store).await;
    let error = store.save(&lease, Expected::Revision(1), &record(2, "new")).await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);
    assert_eq!(store.load().await.unwrap(), Some(record(1, "old")));

    // The lease survives it, too.
    folder.store().save(&lease, Expected::Revision(1), &record(2, "new")).await.unwrap();
    drop(lease);
    assert!(!is_locked(&store));
}

#[tokio::test]
async fn the_next_holder_of_the_lease_removes_its_leftover_and_nothing_else() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = Folder::new();
    let store = folder.filled().await;
    let sidecar = fs::metadata(folder.path().join("tokens.json.lock")).unwrap().ino();
    let leftover = format!(".tokens.json.{sidecar:016x}.tmp");
    folder.write(&leftover, b"{\"refresh_token\":");
    let others = [".other.json.0123456789abcdef.tmp", ".tokens.json.swp"];
    others.iter().for_each(|other| drop(folder.write(other, b"not ours")));

    store.load().await.unwrap();
    store.check().await.unwrap();
    assert!(folder.names().contains(&leftover), "removed without the lease");
    let lease = acquire(&store).await;
    assert_eq!(folder.names(), [&others[..], &["tokens.json", "tokens.json.lock"]].concat());
    // One that could not be removed then is removed by the save.
    folder.write(&leftover, b"{\"refresh_token\":");
    store.save(&lease, Expected::Revision(1), &record(2, "new")).await.unwrap();
    assert_eq!(folder.names(), [&others[..], &["tokens.json", "tokens.json.lock"]].concat());
}

#[test]
fn f7_saves_given_up_while_the_disk_hangs_take_one_thread() {
    // One thread hangs, and the other is left for the rest of the program.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = Folder::new();
        folder.filled().await;
        let (store, mut reached, go_on) = stopping_at(folder.store(), SaveStep::Written);
        let lease = acquire(&store).await;
        let save = |text: &'static str| {
            let (store, lease) = (store.clone(), lease.clone());
            tokio::spawn(
                async move { store.save(&lease, Expected::Anything, &record(2, text)).await },
            )
        };
        let hanging = save("new");
        reached.recv().await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(save("given-up"));
            tokio::task::yield_now().await;
        }
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        for given_up in waiting {
            given_up.abort();
            assert!(given_up.await.unwrap_err().is_cancelled());
        }
        // The disk answers again, and hangs no more.
        (0..21).for_each(|_| go_on.send(()).unwrap());
        hanging.await.unwrap().unwrap();
        assert_eq!(store.load().await.unwrap(), Some(record(2, "new")));
    });
}

#[tokio::test]
async fn modes_are_exact_under_any_umask() {
    const NAME: &str = "saving::modes_are_exact_under_any_umask";
    if let Some((umask, path)) = part::<PathBuf>() {
        let umask = u32::from_str_radix(&umask, 8).unwrap();
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let store = FileStore::new(path);
        store.check().await.unwrap();
        let lease = acquire(&store).await;
        store.save(&lease, Expected::Empty, &record(1, "first")).await.unwrap();
        store.save(&lease, Expected::Revision(1), &record(2, "second")).await.unwrap();
        return say("saved");
    }
    for umask in ["0", "022", "777"] {
        let folder = Folder::new();
        let made = folder.path().join("made");
        let child = OtherProcess::start(NAME, umask, &made.join("tokens.json"));
        assert_eq!(child.hear(), "saved");
        child.passes();
        assert_eq!(mode_of(&made), 0o700, "umask {umask}");
        assert_eq!(mode_of(&made.join("tokens.json")), 0o600, "umask {umask}");
        assert_eq!(mode_of(&made.join("tokens.json.lock")), 0o600, "umask {umask}");
    }
}

/// A store whose saves stop at `step` until they are told to go on.
fn stopping_at(
    store: FileStore,
    step: SaveStep,
) -> (FileStore, tokio::sync::mpsc::UnboundedReceiver<()>, mpsc::Sender<()>) {
    let (told, reached) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, told_to) = mpsc::channel();
    let told_to = Mutex::new(told_to);
    let store = store.on_save_step(move |at| {
        if at == step {
            told.send(()).unwrap();
            told_to.lock().unwrap().recv().unwrap();
        }
    });
    (store, reached, go_on)
}
