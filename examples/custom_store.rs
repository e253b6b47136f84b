//! A token store of one's own: SQLite.
//!
//! `cargo run --example custom_store`
//!
//! A store does three things: it loads, it saves by compare-and-set, and it grants the exclusive
//! right to refresh. Here the tokens are a row, and the right is a lock on a second database, which
//! SQLite gives back whenever its holder goes, be it by a crash.
//!
//! The demonstration needs no account: two holders, as two processes would, contend for the right,
//! and one of them comes too late with its write.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use tower_teamup_auth::TokenSet;
use tower_teamup_auth::store::{StoreError, Stored, TokenStore};

/// Keeps one credential's tokens in a SQLite database.
#[derive(Clone, Debug)]
struct SqliteStore {
    tokens: PathBuf,
    lock: PathBuf,
}

impl SqliteStore {
    /// The folder must be the program's own: whoever can read it can act as the user.
    fn in_folder(folder: &Path) -> Self {
        SqliteStore { tokens: folder.join("tokens.db"), lock: folder.join("refresh.lock") }
    }

    /// Does something with the database, on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        task: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = self.tokens.clone();
        let run = move || {
            let database = Connection::open(path)?;
            database.execute_batch(
                "PRAGMA synchronous = EXTRA;
                 CREATE TABLE IF NOT EXISTS tokens (
                     one INTEGER PRIMARY KEY CHECK (one = 1), revision TEXT, json TEXT)",
            )?;
            task(&database)
        };
        let done: rusqlite::Result<T> = tokio::task::spawn_blocking(run)
            .await
            .map_err(|error| StoreError::unavailable(format!("could not {what}"), error))?;
        done.map_err(|error| StoreError::unavailable(format!("could not {what}"), error))
    }
}

impl TokenStore for SqliteStore {
    /// The transaction that holds the lock; the mutex only makes the connection `Sync`.
    type Lease = Mutex<Connection>;

    async fn load(&self) -> Result<Stored, StoreError> {
        let row = |row: &rusqlite::Row<'_>| row.get::<_, String>("json");
        let json = self
            .run("load the tokens", move |database| {
                database.query_row("SELECT json FROM tokens", [], row).optional()
            })
            .await?;
        json.map(|json| TokenSet::from_json(json.as_bytes()))
            .transpose()
            .map_err(|error| StoreError::unreadable(error.to_string()))
    }

    async fn lock(&self) -> Result<Self::Lease, StoreError> {
        let failed = |error| StoreError::unavailable("could not lock the tokens", error);
        let lock = Connection::open(&self.lock).map_err(failed)?;
        lock.busy_timeout(Duration::ZERO).map_err(failed)?;
        // Waiting here, not in SQLite, is what lets the caller drop this future at any moment.
        loop {
            match lock.execute_batch("BEGIN EXCLUSIVE") {
                Ok(()) => return Ok(Mutex::new(lock)),
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    async fn save(
        &self,
        _lease: &Self::Lease,
        over: Option<u64>,
        tokens: &TokenSet,
    ) -> Result<(), StoreError> {
        let (revision, json) = (tokens.revision().to_string(), tokens.to_json());
        // One statement either way, so that nobody comes between the comparison and the write.
        let rows = self
            .run("save the tokens", move |database| match over {
                None => database.execute(
                    "INSERT INTO tokens VALUES (1, ?1, ?2) ON CONFLICT DO NOTHING",
                    (&revision, json.as_str()),
                ),
                Some(over) => database.execute(
                    "UPDATE tokens SET revision = ?1, json = ?2 WHERE revision = ?3",
                    (&revision, json.as_str(), over.to_string()),
                ),
            })
            .await?;
        if rows == 1 { Ok(()) } else { Err(StoreError::conflict()) }
    }

    async fn clear(&self, _lease: &Self::Lease) -> Result<(), StoreError> {
        let forget = |database: &Connection| database.execute("DELETE FROM tokens", []);
        self.run("forget the tokens", forget).await.map(drop)
    }
}

/// What a refresh brings, without a server to bring it.
fn rotated(by: &str, revision: u64) -> anyhow::Result<TokenSet> {
    let json = format!(r#"{{"version":1,"revision":{revision},"refresh_token":"by-{by}"}}"#);
    Ok(TokenSet::from_json(json.as_bytes())?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("custom-store-{}", std::process::id()));
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&folder)?;
    let (anna, bert) = (SqliteStore::in_folder(&folder), SqliteStore::in_folder(&folder));

    let lease = anna.lock().await?;
    anna.save(&lease, None, &rotated("login", 0)?).await?;
    println!("anna has the right to refresh, and revision 0 is stored");

    let waiting = tokio::spawn(async move {
        let lease = bert.lock().await?;
        println!("bert has the right to refresh");
        let found = bert.load().await?.map(|tokens| tokens.revision());
        println!("bert finds revision {found:?} and adopts it: no second exchange");
        let late = bert.save(&lease, Some(0), &rotated("bert", 1)?).await;
        println!("bert writes over revision 0 all the same: {}", late.unwrap_err());
        bert.clear(&lease).await?;
        println!("bert signs out; the store holds {:?}", bert.load().await?);
        anyhow::Ok(())
    });
    tokio::task::yield_now().await;
    anna.save(&lease, Some(0), &rotated("anna", 1)?).await?;
    println!("anna has refreshed, and revision 1 is stored before anybody uses it");
    drop(lease);
    waiting.await??;

    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
