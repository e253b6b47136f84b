//! Running a fleet: many processes that share the tokens of one credential.
//!
//! A refresh token is spent by its first use. Two processes that refresh with the same one can lose the
//! login of their user, because a server may take the second use for a theft. So the processes share a
//! [store](crate::store), and one of them refreshes at a time:
//!
//! ```no_run
//! # #[cfg(all(feature = "hyper", feature = "redis"))]
//! # mod example {
//! use tower_teamup_auth::client::{HyperClient, hyper_client};
//! use tower_teamup_auth::store::RedisStore;
//! use tower_teamup_auth::{AuthLayer, Credentials, RequestMode};
//!
//! # async fn example() -> Result<(), tower_teamup_auth::Error> {
//! let http_client: HyperClient = hyper_client();
//! let credentials = Credentials::builder(RequestMode::Provider)
//!     .store(RedisStore::connect("rediss://cache.internal:6379", "studio-7").await?)
//!     .refresh_client(http_client)
//!     .build()
//!     .await?;
//! # Ok(())
//! # }
//! # }
//! ```
//!
//! `cargo run -p examples --example fleet` shows twenty processes on one file, one Redis and one PostgreSQL.
//! Their tokens expire at the same time: one refresh request for each expiry, and every request is answered.
//!
//! # Which store
//!
//! | store | shared by | lease | when its holder dies |
//! | --- | --- | --- | --- |
//! | [`FileStore`] | processes of one host | a lock of the operating system | free at once |
//! | `SqliteStore` | processes of one host | a row with a lifetime, 15 s unless set | free after the lifetime |
//! | `PostgresStore` | any number of hosts | the same | free after the lifetime |
//! | [`RedisStore`] | any number of hosts | a key with a lifetime, 10 s unless set | free after the lifetime |
//! | [`KeyringStore`] | programs of one person | that of the file store | free at once |
//!
//! A file on a network file system is no store for several hosts, because its locks are not reliable. One
//! credential has one key, or one file. A service with many users opens [a store for each
//! user](super::token_stores#one-store-for-each-user).
//!
//! # What is guaranteed
//!
//! - **One refresh request for each expiry**, by the clock or after a 401, however many processes meet it. A
//!   process that waits for the lease reads the store meanwhile, and adopts what the holder saves.
//! - **A newer record is not overwritten by an older one.** Each save names the revision that it replaces.
//! - **A crash leaves a store that loads**, with the old record or the new one.
//! - **What could not be saved is kept.** The new tokens are used, and the save is tried again with backoff.
//!   Until it succeeds the process keeps the lease and sends no refresh request.
//! - **A valid token is used**, whatever fails.
//! - **An outage leaves the rate limit free.** TeamUp allows 250 requests a minute for an IP address. Fifty
//!   processes with a credential each, which meet an outage of the endpoint together, send 200 refresh
//!   requests in any minute at most: four each. A failure stops further ones for 5 s, then for three times
//!   as long each time, up to 5 min. A page that is not the endpoint's stops them for 1 s, then for four
//!   times as long, up to 10 min.
//!
//! # How soon a fleet goes on
//!
//! A hundred processes on one Redis key, or on one file, adopt one refresh after an expiry. From the first
//! answer to the last, these times passed in two runs on two cores, built for debugging. The goal is 100 ms.
//!
//! | store | first run | second run |
//! | --- | ---: | ---: |
//! | Redis | 72 ms | 89 ms |
//! | file | 114 ms | 66 ms |
//!
//! On a busy machine it takes longer: 190 ms over Redis beside other work.
//! `cargo nextest run -p tests --test processes --no-capture a_hundred_processes` measures it again.
//!
//! `scripts/simulate SEEDS HOSTS` simulates whole fleets through two expiries of two hours. A seed draws what goes
//! wrong: hosts that stand still or end, cut links, wrong clocks, outages, failovers of Redis that lose
//! writes, and people who sign out and log in. Each host calls about every two minutes.
//!
//! | hosts | histories | refreshes | refused refreshes | calls | calls that got no token |
//! | ---: | ---: | ---: | ---: | ---: | ---: |
//! | 2 | 1,003 | 2,851 | 10 | 552,585 | 4,252 |
//! | 20 | 1,003 | 2,905 | 5 | 5,024,839 | 28,969 |
//! | 200 | 2,003 | 5,802 | 25 | 99,543,356 | 675,870 |
//!
//! A history has about three refreshes, however many hosts there are. Calls without a token are those
//! after a sign-out, until somebody logs in again, and those of an outage that outlasts the token. A refresh
//! was refused after a lost answer, and seldom after a host stood still for longer than its lease.
//!
//! # What can be lost
//!
//! TeamUp documents no way to ask for a response again. A refresh token is lost if its process dies after
//! TeamUp has rotated it and before the response is saved.
//!
//! | event | the store holds | then |
//! | --- | --- | --- |
//! | killed before the refresh request | the old tokens | another process refreshes |
//! | killed between rotation and save | the old tokens, **spent** | login required |
//! | killed after the save | the new tokens | another process adopts them |
//! | response lost after the rotation | the old tokens, spent | one further request, then login required |
//! | killed while tokens are unsaved | the old tokens, spent | login required |
//! | cut off from the store for longer than the lease | the old tokens, spent | login required if another process refreshes; else saved later |
//! | the store loses all its data | nothing | a running process writes its record again |
//! | a failover loses the last write | the tokens before, spent | a running process writes its record again |
//!
//! To keep losses rare:
//!
//! - End processes with SIGTERM and call [`Credentials::shutdown`].
//! - Do not restart a process that reports unsaved tokens. Mend the store.
//! - Let Redis write its append-only file with `appendfsync always`.
//! - Set `require_stored` where tokens come from a login elsewhere.
//!
//! # Logging in again, and signing out
//!
//! Hand the tokens of a new login to [`Credentials::log_in`] in one process. The record has a higher revision
//! than any before, so the others adopt it with their next refresh. A process whose calls fail because a
//! [login is required](super::login_required) reads the store every 5 s and goes on by itself.
//!
//! [`Credentials::sign_out`] leaves a tombstone in the store. Other processes that read it are signed out,
//! too.
//!
//! # Lease and time limits
//!
//! The holder renews its lease while it works, so the lifetime need not be longer than a refresh request. Two
//! things bound it:
//!
//! - After a crash the others wait for the rest of it. Keep it well below
//!   [`wait_timeout`](crate::CredentialsBuilder::wait_timeout), 30 s by default.
//! - A process that stands still for longer loses the lease. Keep it above the pauses that you know of: a
//!   throttled container, a virtual machine that moves.
//!
//! # A process that stands still
//!
//! | stopped | when it goes on |
//! | --- | --- |
//! | before its refresh request | it sees that the lease has ended, asks for it again, and reads the store |
//! | during its refresh request | the response waits in the socket, and is read |
//! | before its save | it saves, unless another process has saved since: then it adopts that record |
//!
//! If another process refreshes with the old token while the holder stands still, a spent token is sent: see
//! the table above. Between the last look at the clock and the sending of the request are some
//! instructions that nothing can cover.
//!
//! The lock of a file does not run out. While its holder stands still, the others adopt what is in the file,
//! and otherwise fail at the end of their wait.
//!
//! # Clocks
//!
//! The expiry of an access token is stored as wall-clock time. Keep clocks together by NTP. A process whose
//! clock is ahead refreshes early; one whose clock is behind gets a 401 and retries. Nothing breaks.
//!
//! Early refreshes are spread at random, so a fleet that logged in together does not refresh in step.
//!
//! The [refresh limit](crate::CredentialsBuilder::refresh_limit) counts in each process what it refreshed
//! itself after a 401.
//!
//! # What to watch
//!
//! [`health_and_metrics`](super::health_and_metrics#logging) lists all events. In all processes together
//! there is one "refresh succeeded" for each lifetime of a token. "record adopted" is normal in all
//! others. "the lease was lost" says that a process stood still, or that the lease's lifetime is too short.
//!
//! [`FileStore`]: crate::store::FileStore
//! [`RedisStore`]: ../../store/struct.RedisStore.html
//! [`KeyringStore`]: ../../store/struct.KeyringStore.html
//! [`Credentials::shutdown`]: crate::Credentials::shutdown
//! [`Credentials::log_in`]: crate::Credentials::log_in
//! [`Credentials::sign_out`]: crate::Credentials::sign_out
