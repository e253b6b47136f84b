//! What is SQLite's own: a file that processes share, and settings that lose a write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlitePool, query_scalar};
use tower_teamup_auth::store::{Expected, SqliteStore, TokenStore};
use tower_teamup_auth::store::{ListKeys, StoreFamily};

use crate::log::Log;
use crate::process::{OtherProcess, part, say, told as told_by_parent};
use crate::support::{HOUR, lease, pool_on, record, rotate, told};

fn store_in(pool: &SqlitePool) -> SqliteStore {
    SqliteStore::builder(pool.clone()).lease_lifetime(HOUR).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_a_missing_table_or_a_file_that_is_read_only_is_found_at_build() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.db");
    let store = store_in(&pool_on(&file).await);
    let error = told(&store.check().await.unwrap_err());
    assert!(error.contains("no such table") && error.contains("migrate"), "{error}");
    store.migrate().await.unwrap();
    store.check().await.unwrap();

    let options = SqliteConnectOptions::new().filename(&file).read_only(true);
    let error = store_in(&SqlitePool::connect_with(options).await.unwrap()).check().await;
    let error = told(&error.unwrap_err());
    assert!(error.contains("readonly"), "{error}");
    let rows: i64 = query_scalar("SELECT count(*) FROM teamup_tokens")
        .fetch_one(&pool_on(&file).await)
        .await
        .unwrap();
    assert_eq!(rows, 0, "a check leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_checked_while_somebody_else_writes_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool_on(&folder.path().join("tokens.db")).await;
    let store = store_in(&pool);
    store.migrate().await.unwrap();
    let mut writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let checking = {
        let store = store.clone();
        tokio::spawn(async move { store.check().await })
    };
    while pool.size() < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..200 {
        let write = "INSERT OR REPLACE INTO teamup_tokens (key) VALUES ('another')";
        sqlx::query(write).execute(&mut *writer).await.unwrap();
    }
    assert!(!checking.is_finished(), "the write lock is held");
    writer.commit().await.unwrap();
    checking.await.unwrap().unwrap();
}

#[tokio::test]
async fn settings_that_a_power_loss_would_show_are_no_error_and_are_warned_about() {
    use SqliteSynchronous::{Extra, Full, Normal, Off};
    for (synchronous, is_warned) in [(Off, true), (Normal, true), (Full, false), (Extra, false)] {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("tokens.db"))
            .create_if_missing(true)
            .synchronous(synchronous);
        let store = store_in(&SqlitePool::connect_with(options).await.unwrap());
        store.migrate().await.unwrap();
        let log = Log::catch();
        store.check().await.unwrap();
        assert_eq!(log.says("a power loss may undo"), is_warned, "{}", log.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_lists_who_has_a_record_and_a_lease_alone_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(&pool_on(&folder.path().join("tokens.db")).await);
    store.migrate().await.unwrap();
    let users = store.family();
    for key in ["b", "a", "c", "", "a\0b", "a\u{1}b", "A"] {
        let user = users.open(key).unwrap();
        let lease = lease(&user).await;
        if key != "c" {
            user.save(&lease, Expected::Empty, &record(1, key)).await.unwrap();
        }
    }
    let mut listed = users.list().await.unwrap();
    listed.sort_unstable();
    assert_eq!(listed, ["", "A", "a", "a\0b", "a\u{1}b", "b"]);
    assert_eq!(users.open("a").unwrap().load().await.unwrap(), Some(record(1, "a")));
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_lease_that_has_run_out_is_lost_even_if_nobody_took_it() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool_on(&folder.path().join("tokens.db")).await;
    let store = store_in(&pool);
    store.migrate().await.unwrap();
    for until in ["unixepoch('subsec') * 1000 - 1", "NULL"] {
        let held = lease(&store).await;
        let sql = format!("UPDATE teamup_tokens SET lease_until = {until}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
        assert!(store.renew(&held).await.unwrap_err().is_lease_lost());
        assert!(store.delete(&held).await.unwrap_err().is_lease_lost());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_leaves_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool_on(&folder.path().join("tokens.db")).await;
    let store = store_in(&pool);
    store.migrate().await.unwrap();
    let held = lease(&store).await;
    store.save(&held, Expected::Empty, &record(1, "a")).await.unwrap();
    store.delete(&held).await.unwrap();
    assert!(store.try_acquire().await.unwrap().lease.is_none(), "the lease is still held");
    store.release(held).await.unwrap();
    let rows: i64 =
        query_scalar("SELECT count(*) FROM teamup_tokens").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_two_processes_that_share_a_file_lose_no_rotation() {
    const ROTATIONS: u64 = 15;
    if let Some((_, file)) = part::<std::path::PathBuf>() {
        let store = store_in(&pool_on(&file).await);
        say("ready");
        let _ = told_by_parent();
        rotate(&store, ROTATIONS).await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.db");
    let store = store_in(&pool_on(&file).await);
    store.migrate().await.unwrap();
    let name = "sqlite::p1_two_processes_that_share_a_file_lose_no_rotation";
    let mut others = [(); 2].map(|()| OtherProcess::start(name, "rotate", &file));
    for other in &mut others {
        assert_eq!(other.hear(), "ready");
    }
    for other in &mut others {
        other.go_on();
    }
    for other in others {
        other.passes();
    }
    assert_eq!(store.load().await.unwrap().unwrap().revision(), 2 * ROTATIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_finds_its_row_by_the_primary_key_among_a_hundred_thousand() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.db");
    store_in(&pool_on(&file).await).migrate().await.unwrap();
    // Counts the instructions of SQLite's virtual machine. They come to the same each time.
    let instructions = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&instructions);
    let counting =
        SqlitePoolOptions::new().max_connections(1).after_connect(move |connection, _| {
            let counted = Arc::clone(&counted);
            Box::pin(async move {
                connection.lock_handle().await?.set_progress_handler(1, move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                    true
                });
                Ok(())
            })
        });
    let pool = counting.connect_with(SqliteConnectOptions::new().filename(&file)).await.unwrap();
    let store = store_in(&pool);
    let used = || instructions.swap(0, Ordering::Relaxed);
    each_operation(&store).await;
    used();
    each_operation(&store).await;
    let among_none = used();
    let fill = "WITH RECURSIVE counted (n) AS \
                  (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 100000) \
                INSERT INTO teamup_tokens (key, revision, record) \
                SELECT 'user-' || n, 1, CAST('{}' AS BLOB) FROM counted";
    sqlx::query(fill).execute(&pool).await.unwrap();
    assert!(used() > 100_000, "the counter counts");
    each_operation(&store).await;
    let among_many = used();
    assert!(among_none > 0 && among_many < 2 * among_none, "{among_none}, then {among_many}");
}

async fn each_operation(store: &SqliteStore) {
    store.check().await.unwrap();
    let held = lease(store).await;
    store.save(&held, Expected::Empty, &record(1, "a")).await.unwrap();
    store.save(&held, Expected::Revision(1), &record(2, "b")).await.unwrap();
    store.save(&held, Expected::Anything, &record(3, "c")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record(3, "c")));
    let held = store.renew(&held).await.unwrap();
    assert!(store.try_acquire().await.unwrap().lease.is_none());
    store.delete(&held).await.unwrap();
    store.release(held).await.unwrap();
}
