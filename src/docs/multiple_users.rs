//! Serving many users: one credential for each, over one client and one family of stores.
//!
//! # Quick start
//!
//! A [`CredentialsManager`] makes each user's credential from one template, over the store that a
//! family opens for the user's key. A request brings the credential in its extensions, and the stack
//! has [`AuthLayer::per_request`].
//!
//! ```no_run
//! use std::time::Duration;
//! use tower_teamup_auth::manager::CredentialsManager;
//! use tower_teamup_auth::store::FileStore;
//! use tower_teamup_auth::{BoxError, Credentials, RequestMode};
//!
//! # async fn example() -> Result<(), BoxError> {
//! let template = Credentials::builder(RequestMode::Customer);
//! let users = CredentialsManager::builder(template, FileStore::family("/var/lib/my-service"))
//!     .max_in_memory(1_000)
//!     .keep_alive(Duration::from_secs(7 * 86_400))
//!     .build()?;
//!
//! let request = http::Request::get("https://goteamup.com/api/v2/events")
//!     .extension(users.get("ada@example.com").await?)
//!     .body(())?;
//! # Ok(())
//! # }
//! ```
//!
//! `cargo run -p examples --example users` shows a service with 1,000 users.
//!
//! | to | call |
//! | --- | --- |
//! | start a login | [`log_in`](crate::manager::CredentialsManager::log_in) |
//! | sign a user out, in all processes | [`sign_out`](crate::manager::CredentialsManager::sign_out) |
//! | erase a person's data | [`remove`](crate::manager::CredentialsManager::remove) |
//! | learn who must log in again | [`subscribe`](crate::manager::CredentialsManager::subscribe) |
//! | answer a health check | [`health`](crate::manager::CredentialsManager::health) |
//! | end | [`shutdown`](crate::manager::CredentialsManager::shutdown) |
//!
//! # Which store
//!
//! | store | `keep_alive` | for |
//! | --- | --- | --- |
//! | `FileStore::family` | yes | one machine |
//! | `SqliteStore`, `PostgresStore` | yes | one machine, a fleet |
//! | `RedisStore` | yes; in a cluster with [`keep_alive_of`] | a fleet |
//! | `KeyringStore::family` | yes | a desktop program with some accounts |
//!
//! # Memory
//!
//! A user who is known and not in memory costs nothing: the manager keeps no list of users.
//!
//! | measured | bytes |
//! | --- | ---: |
//! | a user in memory, with key, store, token texts of 40 characters and the manager's entry | 2,088 |
//! | 100,000 users known, 1,000 of them in memory, all told | 2.2 million |
//!
//! Measure again, with a store that holds nothing itself:
//!
//! ```text
//! cargo test --release -p tests --test manager_memory -- --nocapture
//! ```
//!
//! The least recently used credential leaves the memory when there are more than
//! [`max_in_memory`](crate::manager::ManagerBuilder::max_in_memory). One with a refresh under way, with
//! tokens that could not be saved, or with a lease stays until that is over. So while a store is down
//! there may be more. A credential that leaves while a request holds it goes on living, and the next
//! [`get`](crate::manager::CredentialsManager::get) hands out that one.
//!
//! # Idle logins
//!
//! A refresh token that is not used for long enough expires; TeamUp does not document after how long.
//! [`keep_alive`] refreshes each login at least once in a period. It reads what the store says of each
//! login, so a restart forgets nothing, and processes that share the stores share the work.
//!
//! Choose the period so that all users fit: a rate of 60 in a minute refreshes 86,400 users in a day.
//! A record that tells no expiry is refreshed once in a period by each process.
//!
//! # Health checks
//!
//! [`Health::is_healthy`](crate::manager::Health::is_healthy) is false while a logged-in user can't be
//! served, and while the store can't be read. A service with many users may prefer its own rule over
//! the counts: one user whose business has withdrawn a permission is no reason to restart it.
//!
//! # Limitations
//!
//! - [`remove`](crate::manager::CredentialsManager::remove) erases what the store holds. Another process that has the
//!   user's tokens in memory writes them again with its next refresh. Sign out first.
//! - Two managers in one process know nothing of each other. They share the lease of a store like two
//!   processes.
//! - Events tell changes of credentials that live. A login that is revoked while its user is idle is
//!   found out by the next request or by [`keep_alive`].
//!
//! [`AuthLayer::per_request`]: crate::AuthLayer::per_request
//! [`CredentialsManager`]: crate::manager::CredentialsManager
//! [`keep_alive_of`]: crate::manager::ManagerBuilder::keep_alive_of
//! [`keep_alive`]: crate::manager::ManagerBuilder::keep_alive
