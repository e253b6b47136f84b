//! Token stores: which one to choose, and how to set it up.
//!
//! A store keeps the newest refresh token over the end of a process, and lets one process at a time
//! refresh. [`CredentialsBuilder::store`](crate::CredentialsBuilder::store) takes it. Without one,
//! tokens live in memory.
//!
//! # Which store
//!
//! | store | feature | shared by | after a crash of the holder |
//! | --- | --- | --- | --- |
//! | [`MemoryStore`] | – | credentials of one process | – |
//! | [`FileStore`] | – | processes of one host | free at once |
//! | `KeyringStore` | `keyring` | programs of one person | free at once |
//! | `SqliteStore` | `sqlite` | processes of one host | free when the lease runs out |
//! | `RedisStore` | `redis`, `redis-tls` | any number of hosts | free when the lease runs out |
//! | `PostgresStore` | `postgres` | any number of hosts | free when the lease runs out |
//!
//! The lease lasts 10 s in Redis and 15 s in SQL databases, unless the store's builder sets another
//! lifetime. [`build`](crate::CredentialsBuilder::build) checks that a store can be written.
//!
//! [What a refresh costs](super::performance#token-stores) in each of them: round trips, fsyncs, times.
//!
//! # File
//!
//! The file has mode 0600, and is replaced by a rename. Keep it on a local disk: locks on network file
//! systems are not reliable.
//!
//! ```
//! use tower_teamup_auth::store::FileStore;
//!
//! let store = FileStore::new("/var/lib/studio/teamup.json");
//! assert_eq!(store.path().file_name().unwrap(), "teamup.json");
//! ```
//!
//! # Redis
//!
//! ```no_run
//! # #[cfg(feature = "redis")] {
//! use tower_teamup_auth::Error;
//! use tower_teamup_auth::store::RedisStore;
//!
//! async fn store() -> Result<RedisStore, Error> {
//!     RedisStore::connect("rediss://user:password@cache.internal:6379", "studio-7").await
//! }
//! # }
//! ```
//!
//! Set `maxmemory-policy noeviction`, and `appendfsync always` where a lost second would cost a login.
//! `RedisSource` takes a connection manager, a cluster, Sentinel or a pool.
//!
//! # PostgreSQL and SQLite
//!
//! Both take the pool of `sqlx` that the program has. `migrate` makes the table.
//!
//! ```no_run
//! # #[cfg(feature = "postgres")] {
//! use tower_teamup_auth::store::{PostgresStore, StoreError};
//!
//! async fn store(pool: sqlx::PgPool) -> Result<PostgresStore, StoreError> {
//!     let store = PostgresStore::new(pool).with_key("studio-7");
//!     store.migrate().await?;
//!     Ok(store)
//! }
//! # }
//! ```
//!
//! # Keyring
//!
//! The keyring of the platform holds a key, and a file beside it the encrypted record.
//!
//! ```no_run
//! # #[cfg(feature = "keyring")] {
//! use tower_teamup_auth::Error;
//! use tower_teamup_auth::store::KeyringStore;
//!
//! async fn store(data: &std::path::Path) -> Result<KeyringStore, Error> {
//!     KeyringStore::open(data.join("teamup-tokens"), "com.example.studio", "ada").await
//! }
//! # }
//! ```
//!
//! # Encryption
//!
//! With the feature `encryption`, the file, Redis and SQL stores encrypt records with
//! XChaCha20-Poly1305. A record is bound to its name, so it does not open under another user's name.
//!
//! ```
//! # #[cfg(feature = "encryption")] {
//! use tower_teamup_auth::store::{EncryptionKey, FileStore};
//!
//! fn store(key: EncryptionKey) -> FileStore {
//!     FileStore::new("/var/lib/studio/teamup.sealed").encrypt_with(key)
//! }
//!
//! // As `openssl rand -base64 32` prints it; from a secret, not from a file beside the store.
//! let store = store("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=".parse().unwrap());
//! # let _ = store;
//! # }
//! ```
//!
//! `Sealing` rotates keys, and opens records that were stored without one.
//!
//! # One store for each user
//!
//! A [family](crate::store::StoreFamily) opens a store for each key. Any text is a key:
//!
//! ```
//! use tower_teamup_auth::store::FileStore;
//!
//! let users = FileStore::family("/var/lib/my-service/tokens");
//! assert_ne!(users.open("ada").path(), users.open("Ada").path());
//! ```
//!
//! # A store of your own
//!
//! Implement [`TokenStore`]; the [module's page](crate::store#writing-one) has one in 40 lines. With the
//! feature `testing`, `testing::conformance` checks it against the whole contract. The example
//! `custom_store.rs` keeps records in SQLite.
//!
//! # When a store fails
//!
//! | what fails | then |
//! | --- | --- |
//! | reading at build | [`build`](crate::CredentialsBuilder::build) fails with [`Error::is_store`](crate::Error::is_store) |
//! | what is stored is no record | without tokens at build, the credential waits for a login, which replaces it |
//! | lease or reading, before a refresh | no refresh request is sent; a valid token stays in use |
//! | saving, after a refresh | the new tokens are used, and the save is tried again with backoff |
//! | anything, for longer than [5 s](crate::CredentialsBuilder::store_timeout) | as above |
//!
//! [`FileStore`]: crate::store::FileStore
//! [`MemoryStore`]: crate::store::MemoryStore
//! [`TokenStore`]: crate::store::TokenStore
