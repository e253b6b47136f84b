//! A process that is killed (SIGKILL) at each step of a refresh.
//!
//! Each test is its own child: it says how far it is and waits; the parent kills it there. For
//! PostgreSQL a relay holds the statement or its answer, so that the child is killed in between.

use std::path::PathBuf;

use tower_teamup_auth::store::{
    Expected, PostgresStore, SqlDatabase, SqlStore, SqliteStore, StoredRecord, TokenStore,
};

use crate::postgres_server::PostgresServer;
use crate::process::{OtherProcess, part, say, told};
use crate::relay::{Hold, Relay};
use crate::support::{HOUR, lease, pool_at, pool_on, record};

/// A refresh that says each step before it is taken, and waits to be told to take it.
async fn refresh_in_steps<DB: SqlDatabase>(store: &SqlStore<DB>) {
    let step = |name: &str| {
        say(name);
        let _ = told();
    };
    step("before the lease");
    let lease = lease(store).await;
    step("before the load");
    assert_eq!(store.load().await.unwrap(), Some(record(1, "old")));
    step("before the save");
    store.save(&lease, Expected::Revision(1), &record(2, "new")).await.unwrap();
    step("before the release");
    store.release(lease).await.unwrap();
    step("done");
}

/// How the next process goes on, once the dead one's lease has run out.
async fn carry_on<DB: SqlDatabase>(store: &SqlStore<DB>, expected: &StoredRecord) {
    assert_eq!(store.load().await.unwrap().as_ref(), Some(expected));
    let lease = lease(store).await;
    let next = record(expected.revision() + 1, "next");
    store.save(&lease, Expected::Revision(expected.revision()), &next).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(next));
}

const STEPS: [&str; 5] =
    ["before the lease", "before the load", "before the save", "before the release", "done"];

/// Kills a child before the step `at`.
fn kill_at(mut child: OtherProcess, at: &str) {
    loop {
        let said = child.hear();
        if said == at {
            return child.kill();
        }
        child.go_on();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_sqlite_killed_at_each_step() {
    if let Some((_, file)) = part::<PathBuf>() {
        let pool = pool_on(&file).await;
        let store = SqliteStore::builder(pool).lease_lifetime(HOUR).build().unwrap();
        return refresh_in_steps(&store).await;
    }
    for at in STEPS {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.db");
        let pool = pool_on(&file).await;
        let store = SqliteStore::new(pool.clone());
        store.migrate().await.unwrap();
        let first = lease(&store).await;
        store.save(&first, Expected::Empty, &record(1, "old")).await.unwrap();
        store.release(first).await.unwrap();

        kill_at(OtherProcess::start("crash::p8_sqlite_killed_at_each_step", "child", &file), at);
        let is_held = ["before the load", "before the save", "before the release"].contains(&at);
        assert_eq!(store.try_acquire().await.unwrap().lease.is_none(), is_held, "{at}");
        sqlx::query("UPDATE teamup_tokens SET lease_until = 1").execute(&pool).await.unwrap();
        let is_saved = ["before the release", "done"].contains(&at);
        carry_on(&store, &if is_saved { record(2, "new") } else { record(1, "old") }).await;
    }
}

/// Writers that are killed wherever they happen to be; the file is whole each time.
#[tokio::test(flavor = "multi_thread")]
async fn p8_sqlite_killed_in_the_midst_of_saves() {
    if let Some((_, file)) = part::<PathBuf>() {
        let pool = pool_on(&file).await;
        let store = SqliteStore::builder(pool).lease_lifetime(HOUR).build().unwrap();
        let lease = lease(&store).await;
        let mut before = store.load().await.unwrap();
        say("ready");
        loop {
            let next = record(before.as_ref().map_or(0, StoredRecord::revision) + 1, "n");
            store.save(&lease, Expected::found(before.as_ref()), &next).await.unwrap();
            say(&next.revision().to_string());
            before = Some(next);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.db");
    let pool = pool_on(&file).await;
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    for round in 0..8 {
        let name = "crash::p8_sqlite_killed_in_the_midst_of_saves";
        let child = OtherProcess::start(name, "child", &file);
        assert_eq!(child.hear(), "ready");
        let mut saved = 0;
        for _ in 0..3 + round {
            saved = child.hear().parse::<u64>().unwrap();
        }
        child.kill();
        let found = store.load().await.unwrap().unwrap();
        assert!(found.revision() >= saved, "what was said to be saved is lost");
        assert_eq!(found, record(found.revision(), "n"));
        sqlx::query("UPDATE teamup_tokens SET lease_until = 1").execute(&pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_postgres_killed_at_each_step_and_within_each_statement() {
    let of_child = |url: String| async move {
        PostgresStore::builder(pool_at(&url).await).lease_lifetime(HOUR).build().unwrap()
    };
    if let Some((_, url)) = part::<std::ffi::OsString>() {
        let store = of_child(url.into_string().unwrap()).await;
        return refresh_in_steps(&store).await;
    }
    let name = "crash::p8_postgres_killed_at_each_step_and_within_each_statement";
    let server = PostgresServer::start();
    let pool = pool_at(&server.url()).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let begin = async || {
        sqlx::query("DELETE FROM teamup_tokens").execute(&pool).await.unwrap();
        let first = lease(&store).await;
        store.save(&first, Expected::Empty, &record(1, "old")).await.unwrap();
        store.release(first).await.unwrap();
    };
    let end_lease = async || {
        let sql = "UPDATE teamup_tokens SET lease_until = clock_timestamp()";
        sqlx::query(sql).execute(&pool).await.unwrap();
    };

    for at in STEPS {
        begin().await;
        kill_at(OtherProcess::start(name, "child", &server.url()), at);
        end_lease().await;
        let is_saved = ["before the release", "done"].contains(&at);
        carry_on(&store, &if is_saved { record(2, "new") } else { record(1, "old") }).await;
    }

    // The statement's text travels first, and its parameters after that: they mark its execution.
    for (at, hold, is_saved) in [
        ("before the lease", Hold::Request, false),
        ("before the lease", Hold::Answer, false),
        ("before the save", Hold::Request, false),
        ("before the save", Hold::Answer, true),
        ("before the release", Hold::Request, true),
        ("before the release", Hold::Answer, true),
    ] {
        begin().await;
        let relay = Relay::to(server.port());
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", relay.port());
        let mut child = OtherProcess::start(name, "child", &url);
        while child.hear() != at {
            child.go_on();
        }
        relay.hold(hold, "default");
        child.go_on();
        relay.wait_until_held();
        child.kill();
        relay.cut();
        end_lease().await;
        carry_on(&store, &if is_saved { record(2, "new") } else { record(1, "old") }).await;
    }
}
