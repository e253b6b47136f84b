//! What is PostgreSQL's own: names, rights, restarts, and a failover that loses a write.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, query_scalar};
use tower_teamup_auth::store::ListKeys;
use tower_teamup_auth::store::{Expected, PostgresStore, TokenStore};

use crate::polled::polled;
use crate::postgres_server::PostgresServer;
use crate::process::{OtherProcess, part, say, told as told_by_parent};
use crate::relay::{Hold, Relay};
use crate::support::{HOUR, lease, pool_at, record, rotate, told};

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

fn store_in(pool: &PgPool) -> PostgresStore {
    PostgresStore::builder(pool.clone()).lease_lifetime(HOUR).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_names_can_be_chosen_for_schema_and_table() {
    let server = PostgresServer::start();
    let pool = pool_at(&server.url()).await;
    run(&pool, r#"CREATE SCHEMA "The ""Schema"; CREATE TABLE users (id int)"#).await;
    let store = PostgresStore::builder(pool.clone())
        .schema("The \"Schema")
        .table("t\"; DROP TABLE users; --")
        .key("Zoë'; DROP TABLE users")
        .build()
        .unwrap();
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    store.check().await.unwrap();
    store.save(&lease(&store).await, Expected::Empty, &record(1, "a")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record(1, "a")));
    assert_eq!(store.family().list().await.unwrap(), ["Zoë'; DROP TABLE users"]);
    run(&pool, "SELECT id FROM users").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_make_the_table_together() {
    let server = PostgresServer::start();
    let starts = (0..8).map(|_| {
        let url = server.url();
        tokio::spawn(async move {
            PostgresStore::new(pool_at(&url).await).migrate().await.unwrap();
        })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap();
    }
}

/// sqlx rolls no transaction back whose `BEGIN` was not answered. A record that is saved over the same
/// connection would not be there for anybody else.
#[tokio::test(flavor = "multi_thread")]
async fn p2_a_check_that_is_dropped_leaves_no_transaction_open() {
    let server = PostgresServer::start();
    let observer = pool_at(&server.url()).await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&server.url()).await.unwrap();
    let store = store_in(&pool);
    store.migrate().await.unwrap();
    for polls in 1.. {
        let is_done = polled(store.check(), polls).await.is_some();
        let mut next = pool.acquire().await.unwrap();
        let process: i32 =
            query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *next).await.unwrap();
        let state: String = query_scalar("SELECT state FROM pg_stat_activity WHERE pid = $1")
            .bind(process)
            .fetch_one(&observer)
            .await
            .unwrap();
        assert_eq!(state, "idle", "dropped after {polls} polls");
        if is_done {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_a_missing_table_or_right_is_found_at_build_and_nothing_is_left_behind() {
    let server = PostgresServer::start();
    let pool = pool_at(&server.url()).await;
    let store = store_in(&pool);
    let error = told(&store.check().await.unwrap_err());
    assert!(error.contains("migrate") && error.contains("teamup_tokens"), "{error}");

    store.migrate().await.unwrap();
    store.check().await.unwrap();
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM teamup_tokens").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 0);

    run(
        &pool,
        "CREATE ROLE app LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON teamup_tokens TO app",
    )
    .await;
    let options: PgConnectOptions = server.url().parse().unwrap();
    for right in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        run(&pool, &format!("REVOKE {right} ON teamup_tokens FROM app")).await;
        let as_app = PgPoolOptions::new().connect_lazy_with(options.clone().username("app"));
        let error = told(&store_in(&as_app).check().await.unwrap_err());
        assert!(error.contains("permission denied"), "without {right}: {error}");
        run(&pool, &format!("GRANT {right} ON teamup_tokens TO app")).await;
        store_in(&as_app).check().await.unwrap();
    }
    run(&pool, "ALTER DATABASE postgres SET default_transaction_read_only = on").await;
    let error = store_in(&pool_at(&server.url()).await).check().await.unwrap_err();
    assert!(told(&error).contains("read-only"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_processes_that_take_turns_lose_no_rotation() {
    const ROTATIONS: u64 = 8;
    if let Some((_, url)) = part::<std::ffi::OsString>() {
        let store = store_in(&pool_at(&url.into_string().unwrap()).await);
        say("ready");
        let _ = told_by_parent();
        return rotate(&store, ROTATIONS).await;
    }
    let server = PostgresServer::start();
    let store = store_in(&pool_at(&server.url()).await);
    store.migrate().await.unwrap();
    let name = "postgres::p1_processes_that_take_turns_lose_no_rotation";
    let mut others = [(); 3].map(|()| OtherProcess::start(name, "child", &server.url()));
    for other in &mut others {
        assert_eq!(other.hear(), "ready");
    }
    for other in &mut others {
        other.go_on();
    }
    for other in others {
        other.passes();
    }
    assert_eq!(store.load().await.unwrap().unwrap().revision(), 3 * ROTATIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_save_that_a_serializable_database_refuses_is_made_again() {
    let server = PostgresServer::start();
    let pool = pool_at(&server.url()).await;
    run(&pool, "ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'").await;
    let pool = pool_at(&server.url()).await;
    let store = store_in(&pool);
    store.migrate().await.unwrap();
    let held = lease(&store).await;
    store.save(&held, Expected::Empty, &record(1, "a")).await.unwrap();

    // Another transaction has changed the row, and has not committed yet.
    let mut other = pool.begin().await.unwrap();
    let touch = "UPDATE teamup_tokens SET lease_until = lease_until + interval '1 ms'";
    sqlx::query(touch).execute(&mut *other).await.unwrap();
    let saving = {
        let store = store.clone();
        tokio::spawn(async move { store.save(&held, Expected::Revision(1), &record(2, "b")).await })
    };
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&pool).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    // Now the statement fails: "could not serialize access due to concurrent update".
    other.commit().await.unwrap();
    saving.await.unwrap().unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record(2, "b")));
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_crash_of_the_server_loses_nothing_that_was_saved_even_without_synchronous_commit() {
    let mut server = PostgresServer::start();
    let pool = pool_at(&server.url()).await;
    store_in(&pool).migrate().await.unwrap();
    // The writer of the log waits as long as it may, so that nothing is written by chance.
    run(&pool, "ALTER SYSTEM SET synchronous_commit = off").await;
    run(&pool, "ALTER SYSTEM SET wal_writer_delay = '10s'").await;
    run(&pool, "SELECT pg_reload_conf()").await;
    pool.close().await;

    let pool = pool_at(&server.url()).await;
    let store = store_in(&pool);
    let lease = lease(&store).await;
    store.save(&lease, Expected::Empty, &record(1, "a")).await.unwrap();
    store.save(&lease, Expected::Revision(1), &record(2, "b")).await.unwrap();
    server.crash();
    let error = store.load().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    server.restart();
    // The same pool, the same lease: it outlives the server as the record does.
    assert_eq!(store.load().await.unwrap(), Some(record(2, "b")));
    store.renew(&lease).await.unwrap();
    store.save(&lease, Expected::Anything, &record(3, "c")).await.unwrap();
    server.crash();
    server.restart();
    assert_eq!(store.load().await.unwrap(), Some(record(3, "c")));
    assert!(store.try_acquire().await.unwrap().lease.is_none(), "the lease survives as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_failover_loses_the_last_write_and_the_holder_writes_it_again() {
    let mut primary = PostgresServer::start();
    let store = store_in(&pool_at(&primary.url()).await);
    store.migrate().await.unwrap();
    let first = lease(&store).await;
    store.save(&first, Expected::Empty, &record(1, "a")).await.unwrap();
    let standby = primary.standby();
    let standby_pool = pool_at(&standby.url()).await;
    let on_standby = store_in(&standby_pool);
    assert_eq!(on_standby.load().await.unwrap(), Some(record(1, "a")));
    assert!(on_standby.check().await.unwrap_err().is_unavailable(), "a standby takes no writes");

    // The standby receives and does not replay; what is sent after that is cut off with the primary.
    run(&standby_pool, "ALTER SYSTEM SET primary_conninfo = ''; ").await;
    run(&standby_pool, "SELECT pg_reload_conf()").await;
    let receivers = || async {
        let sql = "SELECT count(*) FROM pg_stat_replication";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool_at(&primary.url()).await).await.unwrap()
    };
    while receivers().await > 0 {
        tokio::task::yield_now().await;
    }
    store.save(&first, Expected::Revision(1), &record(2, "b")).await.unwrap();
    primary.crash();
    standby.promote();

    // Lost: the last write. Not lost: the table, the record before, and what the holder has.
    assert_eq!(on_standby.load().await.unwrap(), Some(record(1, "a")));
    let renewed = on_standby.renew(&first).await.unwrap();
    let error =
        on_standby.save(&renewed, Expected::Revision(2), &record(3, "c")).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    on_standby.save(&renewed, Expected::Revision(1), &record(3, "c")).await.unwrap();
    assert_eq!(on_standby.load().await.unwrap(), Some(record(3, "c")));
}

#[tokio::test(flavor = "multi_thread")]
async fn f4_a_connection_that_was_forgotten_without_a_word_costs_no_operation() {
    let server = PostgresServer::start();
    // The operation itself, or the ping that the pool sends before it.
    for (pings, marker) in [(false, "SELECT"), (true, "S\0\0\0\u{4}")] {
        let relay = Relay::to(server.port());
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", relay.port());
        let pool = PgPoolOptions::new().test_before_acquire(pings).connect(&url).await.unwrap();
        let store = PostgresStore::builder(pool).timeout(Duration::from_secs(2)).build().unwrap();
        store.migrate().await.unwrap();
        relay.hold(Hold::Request, marker);
        assert_eq!(store.load().await.unwrap(), None);
        assert!(relay.is_holding());
        relay.cut();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_record_is_corrupt_and_a_login_overwrites_it() {
    let server = PostgresServer::start();
    let pool = pool_at(&server.url()).await;
    let store = store_in(&pool);
    store.migrate().await.unwrap();
    let lease = lease(&store).await;
    for (set, is_locked, said) in [
        ("revision = 1, record = NULL", false, "lacks"),
        ("revision = NULL, record = 's3cret'", false, "lacks"),
        ("revision = 1, record = 's3cret'", false, "not JSON"),
        ("revision = 1, record = ''", false, "is empty"),
        ("revision = 1, record = '{\"version\":99,\"refresh_token\":\"s3cret\"}'", true, "99"),
        ("revision = 1, record = 'tower-teamup-auth sealed v1\n'", true, "is sealed"),
        (
            "revision = 9, record = '{\"version\":1,\"revision\":2,\"refresh_token\":\"s3cret\"}'",
            false,
            "not the one of the record beside it",
        ),
    ] {
        run(&pool, &format!("UPDATE teamup_tokens SET {set}")).await;
        let attempt = store.try_acquire().await.unwrap();
        for error in [
            store.load().await.unwrap_err(),
            attempt.record.unwrap().unwrap_err(),
            store.save(&lease, Expected::Empty, &record(5, "x")).await.unwrap_err(),
        ] {
            let told = told(&error);
            assert_eq!((error.is_locked(), error.is_corrupt()), (is_locked, !is_locked), "{told}");
            assert!(told.contains(said) && !told.contains("s3cret"), "{told}");
        }
        store.save(&lease, Expected::Anything, &record(7, "new")).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(record(7, "new")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_what_the_database_says_of_a_refused_row_is_not_told() {
    let server = PostgresServer::start();
    let pool = pool_at(&server.url()).await;
    let store = store_in(&pool);
    store.migrate().await.unwrap();
    let lease = lease(&store).await;
    run(&pool, "ALTER TABLE teamup_tokens ADD CONSTRAINT small CHECK (revision < 5)").await;
    let error = store.save(&lease, Expected::Empty, &record(5, "x")).await.unwrap_err();
    let told = told(&error);
    assert!(told.contains("violates check constraint"), "{told}");
    // PostgreSQL adds the beginning of the row, in hexadecimal: `{"` is 7b22.
    assert!(!told.contains("Failing row") && !told.contains("7b22"), "{told}");
}

/// How often the table was read as a whole, and how often its primary key was used.
async fn scans(pool: &PgPool) -> (i64, i64) {
    run(pool, "SELECT pg_stat_force_next_flush()").await;
    let of_table = "SELECT seq_scan, idx_scan FROM pg_stat_user_tables \
                    WHERE relname = 'teamup_tokens'";
    sqlx::query_as(of_table).fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_finds_its_row_by_the_primary_key_among_a_hundred_thousand() {
    let server = PostgresServer::start();
    // One connection, so that all counters are flushed when they are asked for.
    let pool = PgPoolOptions::new().max_connections(1).connect(&server.url()).await.unwrap();
    let store = store_in(&pool);
    store.migrate().await.unwrap();
    run(
        &pool,
        "INSERT INTO teamup_tokens (key, revision, record) \
         SELECT 'user-' || n, 1, '{}' FROM generate_series(1, 100000) AS n; ANALYZE teamup_tokens",
    )
    .await;
    let store = store.with_key("user-0");
    let other = store.clone();
    let before = scans(&pool).await;
    store.check().await.unwrap();
    let lease = lease(&store).await;
    store.save(&lease, Expected::Empty, &record(1, "a")).await.unwrap();
    store.save(&lease, Expected::Revision(1), &record(2, "b")).await.unwrap();
    store.save(&lease, Expected::Anything, &record(3, "c")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record(3, "c")));
    let lease = store.renew(&lease).await.unwrap();
    assert!(other.try_acquire().await.unwrap().lease.is_none());
    store.delete(&lease).await.unwrap();
    store.release(lease).await.unwrap();
    let after = scans(&pool).await;
    assert_eq!(after.0, before.0, "an operation read the whole table");
    assert!(after.1 >= before.1 + 10, "the primary key was used: {before:?}, {after:?}");

    // The counter counts: this does read the whole table.
    run(&pool, "SELECT count(record) FROM teamup_tokens").await;
    assert_eq!(scans(&pool).await.0, before.0 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_lease_that_never_ends_is_not_held_for_ever() {
    let server = PostgresServer::start();
    let pool = pool_at(&server.url()).await;
    store_in(&pool).migrate().await.unwrap();
    let store = store_in(&pool);
    let held = lease(&store).await;
    run(&pool, "UPDATE teamup_tokens SET lease_until = clock_timestamp() + interval '2 hours'")
        .await;
    // Beyond the longest term: the clock was set back since. It is not held until then.
    let other = lease(&store).await;
    assert!(store.renew(&held).await.unwrap_err().is_lease_lost());
    assert!(store.time_left(&other).unwrap() > Duration::from_secs(3000));
    run(&pool, "UPDATE teamup_tokens SET lease_until = clock_timestamp()").await;
    assert!(
        store.renew(&other).await.unwrap_err().is_lease_lost(),
        "nobody took it, but might have"
    );
    run(&pool, "UPDATE teamup_tokens SET lease_until = NULL").await;
    let _third = lease(&store).await;
    assert!(store.renew(&other).await.unwrap_err().is_lease_lost());
    assert!(store.delete(&other).await.unwrap_err().is_lease_lost());
}
