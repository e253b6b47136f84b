//! The lease, within one process.

use std::os::unix::fs::symlink;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Builder;
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::store::{Expected, TokenStore as _};

use crate::support::{Folder, acquire, is_locked, record, try_acquire};

#[tokio::test]
async fn p1_one_holder_at_a_time_whichever_store_names_the_file() {
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
        let lease = try_acquire(&first).await.unwrap();
        assert!(try_acquire(&second).await.is_none(), "{second:?} was let in");
        drop(lease);
        try_acquire(&second).await.expect("it is free");
    }
}

#[tokio::test]
async fn a_clone_of_a_lease_is_the_same_lease_until_it_is_released() {
    let folder = Folder::new();
    let store = folder.store();
    let lease = acquire(&store).await;
    let clone = lease.clone();
    drop(lease);
    assert!(is_locked(&store));
    store.save(&clone, Expected::Empty, &record(1, "new")).await.unwrap();
    drop(clone);
    assert!(!is_locked(&store));

    let lease = acquire(&store).await;
    assert_eq!(store.time_left(&lease), None);
    store.release(lease.clone()).await.unwrap();
    assert!(!is_locked(&store), "a clone holds what was released");
    assert_eq!(store.time_left(&lease), Some(Duration::ZERO));
    for error in [
        store.renew(&lease).await.unwrap_err(),
        store.save(&lease, Expected::Revision(1), &record(2, "late")).await.unwrap_err(),
        store.delete(&lease).await.unwrap_err(),
    ] {
        assert!(error.is_lease_lost(), "{error:?}");
    }
    assert_eq!(store.load().await.unwrap(), Some(record(1, "new")));
}

#[tokio::test]
async fn p1_a_lock_file_that_was_removed_does_not_let_a_second_holder_in_unseen() {
    let folder = Folder::new();
    let store = folder.store();
    let lease = acquire(&store).await;
    std::fs::remove_file(folder.path().join("tokens.json.lock")).unwrap();
    assert!(store.renew(&lease).await.unwrap_err().is_lease_lost());
    // Whoever comes now makes a lock file of their own; what they save is not overwritten.
    let second = acquire(&store).await;
    store.save(&second, Expected::Empty, &record(1, "second")).await.unwrap();
    let error = store.save(&lease, Expected::Empty, &record(1, "first")).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    store.release(lease).await.unwrap();
    assert!(is_locked(&store), "the second holder still has it");
}

/// The lock file goes with what it guards, and whoever has opened it meanwhile needs another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p1_deletions_let_no_second_holder_in() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let folder = Folder::in_memory();
    let holders = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, holders) = (folder.store(), Arc::clone(&holders));
        tasks.spawn(async move {
            for _ in 0..200 {
                let lease = loop {
                    if let Some(lease) = try_acquire(&store).await {
                        break lease;
                    }
                };
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two have the lease");
                store.delete(&lease).await.unwrap();
                holders.fetch_sub(1, Ordering::SeqCst);
                store.release(lease).await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[test]
fn a_dropped_try_acquire_leaves_the_lease_free() {
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
            _ = store.try_acquire() => unreachable!("the thread is busy"),
            () = std::future::ready(()) => {}
        }
        go_on.send(()).unwrap();
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert!(!is_locked(&store), "the lock was taken for nobody");
        try_acquire(&store).await.expect("it is free");
    });
}

#[test]
fn a_runtime_shuts_down_while_the_lease_is_waited_for() {
    let folder = Folder::new();
    let store = folder.store();
    let holder = Builder::new_current_thread().enable_time().build().unwrap();
    let lease = holder.block_on(acquire(&store));

    let (done, is_done) = mpsc::channel();
    let waiter = store.clone();
    std::thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let waiting = runtime.spawn(async move { acquire(&waiter).await });
        runtime.block_on(tokio::task::yield_now());
        drop(runtime);
        let _ = done.send(waiting);
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("the runtime shuts down");
    assert!(is_locked(&store), "the holder still has it");
    drop(lease);
}
