//! What is written, and what is there after a save that went well, that was dropped, that panicked.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tower_teamup_auth::store::{FileStore, SaveStep, TokenStore as _};
use tower_teamup_auth::token::AccessToken;
use tower_teamup_auth::{RequestMode, TokenSet};

use crate::process::{OtherProcess, part, say};
use crate::support::{Folder, is_locked, mode_of, tokens};

#[tokio::test]
async fn the_file_is_json_of_a_known_form() {
    let folder = Folder::new();
    let store = folder.store();
    let lease = store.lock().await.unwrap();
    let expires_at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let saved = TokenSet::new("refresh-1".parse().unwrap()).with_access_token_until(
        RequestMode::Customer,
        AccessToken::new("access-1").unwrap(),
        Some(expires_at),
    );
    store.save(&lease, None, &saved).await.unwrap();

    let written: Value = serde_json::from_slice(&fs::read(folder.tokens()).unwrap()).unwrap();
    assert_eq!(
        written,
        json!({
            "version": 1,
            "revision": 0,
            "refresh_token": "refresh-1",
            "customer": { "access_token": "access-1", "expires_at": 1_700_000_000_123_u64 },
        })
    );
    assert_eq!(store.load().await.unwrap(), Some(saved));
}

/// The text is the format's first version as it was released: it must load for ever.
#[tokio::test]
async fn a_file_of_the_first_format_loads() {
    let folder = Folder::new();
    folder.write(
        "tokens.json",
        br#"{"provider":{"access_token":"access-1","expires_at":1700000000123},"refresh_token":"refresh-1","revision":7,"version":1,"a key of later":true}"#,
    );
    let loaded = folder.store().load().await.unwrap().unwrap();
    assert_eq!(loaded.revision(), 7);
    assert_eq!(loaded.refresh_token().expose(), "refresh-1");
    assert_eq!(loaded.access_token(RequestMode::Provider).unwrap().expose(), "access-1");
    assert_eq!(
        loaded.expires_at(RequestMode::Provider),
        Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))
    );
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
async fn a_save_is_a_compare_and_set() {
    let folder = Folder::new();
    let store = folder.filled().await;
    let lease = store.lock().await.unwrap();
    for over in [None, Some(0), Some(2)] {
        let error = store.save(&lease, over, &tokens(2, "new")).await.unwrap_err();
        assert!(error.is_conflict(), "{error}");
        assert_eq!(store.load().await.unwrap(), Some(tokens(1, "old")));
    }
    store.save(&lease, Some(1), &tokens(2, "new")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(tokens(2, "new")));

    // The same save once more: whoever did not hear of its success repeats it.
    store.save(&lease, Some(1), &tokens(2, "new")).await.unwrap();
    let error = store.save(&lease, Some(1), &tokens(2, "another")).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert_eq!(store.load().await.unwrap(), Some(tokens(2, "new")));
}

#[tokio::test]
async fn clear_removes_the_tokens_and_needs_none() {
    let folder = Folder::new();
    let store = folder.filled().await;
    let lease = store.lock().await.unwrap();
    store.clear(&lease).await.unwrap();
    assert_eq!(store.load().await.unwrap(), None);
    assert_eq!(folder.names(), ["tokens.json.lock"]);
    store.clear(&lease).await.unwrap();
    store.save(&lease, None, &tokens(1, "new")).await.unwrap();
}

#[tokio::test]
async fn p8_a_dropped_save_leaves_the_old_tokens_or_the_new_and_the_lock_to_its_writer() {
    for step in SaveStep::ALL {
        let folder = Folder::new();
        let next_holder = folder.filled().await;
        let (store, mut reached, go_on) = stopping_at(folder.store(), step);

        let save = tokio::spawn({
            let store = store.clone();
            let lease = store.lock().await.unwrap();
            async move { store.save(&lease, Some(1), &tokens(2, "new")).await }
        });
        reached.recv().await.unwrap();
        save.abort();
        assert!(save.await.unwrap_err().is_cancelled());

        // Nobody awaits the save and nobody has the lease, and still the writer is not disturbed.
        assert!(is_locked(&next_holder), "{step:?}: the lock was given back under the writer");
        let is_renamed = matches!(step, SaveStep::Renamed | SaveStep::Done);
        let expected = if is_renamed { tokens(2, "new") } else { tokens(1, "old") };
        assert_eq!(next_holder.load().await.unwrap(), Some(expected), "{step:?}");

        go_on.send(()).unwrap();
        let lease = next_holder.lock().await.unwrap();
        assert_eq!(next_holder.load().await.unwrap(), Some(tokens(2, "new")), "{step:?}");
        next_holder.save(&lease, Some(2), &tokens(3, "newer")).await.unwrap();
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
    let lease = second.lock().await.unwrap();

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
        async move { first.save(&lease, Some(1), &tokens(2, "new")).await }
    });
    reached.await.unwrap();
    given_up.abort();

    let repeated = tokio::spawn(async move {
        second.save(&lease, Some(1), &tokens(2, "new")).await.unwrap();
        second.save(&lease, Some(2), &tokens(3, "newer")).await.unwrap();
    });
    for _ in 0..16 {
        // A chance for the second to go ahead of its turn.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
    }
    go_on.send(()).unwrap();
    repeated.await.unwrap();

    assert_eq!(folder.store().load().await.unwrap(), Some(tokens(3, "newer")));
    let order: Vec<_> = order.lock().unwrap().iter().map(|(who, _)| *who).collect();
    assert_eq!(order[..6], ["first"; 6]);
    // The repetition found its tokens there and wrote nothing; the third save did.
    assert_eq!(order[6..], ["second"; 6]);
}

#[tokio::test]
async fn p8_a_panic_in_a_save_frees_the_lock_and_leaves_no_temporary_file() {
    let folder = Folder::new();
    folder.filled().await;
    let store = folder.store().on_save_step(|step| assert_ne!(step, SaveStep::Written, "a test"));
    let lease = store.lock().await.unwrap();
    let error = store.save(&lease, Some(1), &tokens(2, "new")).await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);
    assert_eq!(store.load().await.unwrap(), Some(tokens(1, "old")));

    // The lease survives it, too.
    folder.store().save(&lease, Some(1), &tokens(2, "new")).await.unwrap();
    drop(lease);
    assert!(!is_locked(&store));
}

#[tokio::test]
async fn the_next_holder_of_the_lock_removes_leftovers_and_nothing_else() {
    let folder = Folder::new();
    let store = folder.filled().await;
    folder.write(".tokens.json.0123456789abcdef.tmp", b"{\"refresh_token\":");
    folder.write(".other.json.0123456789abcdef.tmp", b"not ours");
    folder.write(".tokens.json.swp", b"not ours");
    let others = [".other.json.0123456789abcdef.tmp", ".tokens.json.swp"];

    store.load().await.unwrap();
    store.check().await.unwrap();
    assert_eq!(folder.names().len(), 5, "removed without the lock: {:?}", folder.names());
    let lease = store.lock().await.unwrap();
    assert_eq!(folder.names(), [&others[..], &["tokens.json", "tokens.json.lock"]].concat());
    drop(lease);
}

#[tokio::test]
async fn modes_are_exact_under_any_umask() {
    const NAME: &str = "saving::modes_are_exact_under_any_umask";
    if let Some((umask, path)) = part::<PathBuf>() {
        let umask = u32::from_str_radix(&umask, 8).unwrap();
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let store = FileStore::new(path);
        store.check().await.unwrap();
        let lease = store.lock().await.unwrap();
        store.save(&lease, None, &tokens(1, "first")).await.unwrap();
        store.save(&lease, Some(1), &tokens(2, "second")).await.unwrap();
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
