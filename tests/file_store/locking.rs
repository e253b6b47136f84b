//! The right to refresh, within one process.

use std::os::unix::fs::symlink;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;
use tower_teamup_auth::store::{FileStore, TokenStore as _};

use crate::support::{Folder, is_locked, tokens};

// Time is paused: the waits below are tries of the lock, as many as fit, and none of them is slept.

#[tokio::test(start_paused = true)]
async fn one_holder_at_a_time_whichever_store_names_the_file() {
    let folder = Folder::new();
    folder.filled().await;
    symlink("tokens.json", folder.path().join("another-name")).unwrap();
    symlink(folder.path(), folder.path().join("another-folder")).unwrap();
    let first = folder.store();
    let stores = [
        first.clone(),
        folder.store(),
        FileStore::new(folder.path().join("another-name")),
        FileStore::new(folder.path().join("another-folder/tokens.json")),
    ];
    for second in stores {
        let lease = first.lock().await.unwrap();
        let waiting = timeout(Duration::from_secs(10), second.lock()).await;
        assert!(waiting.is_err(), "{second:?} was let in");
        drop(lease);
        timeout(Duration::from_secs(10), second.lock()).await.expect("was let in").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_of_a_lease_is_the_same_right() {
    let folder = Folder::new();
    let store = folder.store();
    let lease = store.lock().await.unwrap();
    let clone = lease.clone();
    drop(lease);
    assert!(is_locked(&store));
    store.save(&clone, None, &tokens(1, "new")).await.unwrap();
    drop(clone);
    assert!(!is_locked(&store));
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_was_removed_does_not_let_a_second_holder_in_unseen() {
    let folder = Folder::new();
    let store = folder.store();
    let lease = store.lock().await.unwrap();
    std::fs::remove_file(folder.path().join("tokens.json.lock")).unwrap();
    // Whoever comes now makes a sidecar of their own; what they save is not overwritten.
    let second = store.lock().await.unwrap();
    store.save(&second, None, &tokens(1, "second")).await.unwrap();
    let error = store.save(&lease, None, &tokens(1, "first")).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
}

#[test]
fn a_dropped_lock_leaves_the_right_free() {
    let folder = Folder::new();
    let store = folder.store();
    let runtime =
        Builder::new_current_thread().enable_time().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        store.check().await.unwrap();
        // The one blocking thread does one thing after the other: the try waits for its turn, and
        // what is awaited in the end comes after it.
        let (go_on, told_to) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || told_to.recv().unwrap());
        tokio::select! {
            biased;
            _ = store.lock() => unreachable!("the thread is busy"),
            () = std::future::ready(()) => {}
        }
        go_on.send(()).unwrap();
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert!(!is_locked(&store), "the lock was taken for nobody");
        store.lock().await.unwrap();
    });
}

#[test]
fn a_runtime_shuts_down_while_the_lock_is_waited_for() {
    let folder = Folder::new();
    let store = folder.store();
    let holder = Builder::new_current_thread().enable_time().build().unwrap();
    let lease = holder.block_on(store.lock()).unwrap();

    let (done, is_done) = mpsc::channel();
    let waiter = store.clone();
    std::thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let waiting = runtime.spawn(async move { waiter.lock().await });
        runtime.block_on(tokio::task::yield_now());
        drop(runtime);
        let _ = done.send(waiting);
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("the runtime shuts down");
    assert!(is_locked(&store), "the holder still has it");
    drop(lease);
}
