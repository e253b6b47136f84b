//! Running a fleet: many processes that share the tokens of one credential.
//!
//! A refresh token is spent by its first use. Two processes that refresh with the same one lose the
//! login of their user, where the server takes the second use for a theft. So the processes share a
//! [store](crate::store), and the store lets one of them refresh at a time:
//!
//! ```no_run
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
//! ```
//!
//! `cargo run -p examples --example fleet` shows twenty processes on one file and on one Redis, whose tokens
//! expire for all of them at once: one exchange for each expiry, and every request is answered.
//!
//! # Which store
//!
//! | store | shared by | the right to refresh is | when its holder dies |
//! | --- | --- | --- | --- |
//! | [`FileStore`] | the processes of one host | a lock of the operating system | it is free at once |
//! | [`RedisStore`] | any number of hosts | a lease with a lifetime, renewed by its holder | it is free when its lifetime is over, after 10 s unless set |
//! | [`KeyringStore`] | the programs of one person | that of the file store | it is free at once |
//! | [your own](crate::store#writing-one) | whoever can reach it | yours to choose | yours to see to |
//!
//! A file on a network file system is no store for several hosts: its locks are not to be relied
//! upon. One credential has one key in Redis, or one file; a service with many users gives each of
//! them [a key](../../store/struct.RedisStore.html#method.with_key) of their own.
//!
//! # What is guaranteed
//!
//! - **One exchange for each expiry**, however many processes meet it, be it by the clock or in a
//!   401. Whoever gets the right to refresh reads the store first; all but the first find a token
//!   that is newer than the one they hold, and adopt it.
//! - **A newer pair is never overwritten by an older one.** Each write names the revision that it
//!   replaces, and is refused where the store holds another. Who is refused adopts what is there.
//! - **A crash at any moment leaves a store that loads**, with the old pair or the new one, and a
//!   right to refresh that somebody else can have.
//! - **What could not be saved is not given up.** The new tokens are used, and are written again,
//!   after 200 ms at first and every 30 s in the end. Until then this process keeps the right to
//!   refresh, and starts no refresh itself: the pair in the store is spent.
//! - **A valid token is used**, whatever the store, the endpoint or the clock is up to.
//!
//! # How soon a fleet goes on
//!
//! A hundred processes on one Redis key adopt one refresh after an expiry. From the first answer to the
//! last, 190 ms pass on a busy machine with two cores, built for debugging. The goal is 100 ms.
//! `cargo nextest run -p tests --test processes --no-capture a_hundred_processes` measures it again.
//!
//! # What is lost, and when
//!
//! TeamUp knows no way to ask for an answer again. So there is one moment that nothing can cover:
//! from when its server has rotated the refresh token until the new one is in the store. It takes a
//! network's way back and a write; whoever dies in it takes the new pair along.
//!
//! | what happens | what the store holds | the next process |
//! | --- | --- | --- |
//! | killed before the exchange | the old pair, not spent | refreshes |
//! | killed after TeamUp has rotated, before the write | the old pair, **spent** | says at its first refresh that re-authorization is required, and asks the endpoint no more |
//! | killed after the write | the new pair | goes on |
//! | the answer is lost, and TeamUp had rotated | the old pair, spent | this very process tries once more, and then says the same |
//! | killed while its tokens are unsaved | the old pair, spent | the same |
//! | cut off from Redis after its exchange, for longer than its lease, while another process can reach it | the old pair, spent | the same, if it refreshes meanwhile; else the new pair is saved when the connection is back |
//! | Redis loses its data, and no process with the newest pair lives on | nothing | says that the store is empty |
//! | Redis fails over and loses its last second | the pair before, spent, if the rotation fell into that second | a process that lives on with the newest pair writes it with its next refresh; else re-authorization is required |
//!
//! In each of them [`Error::is_login_required`] is true and every call fails at once and
//! locally. To keep the moment short and the losses rare: see that processes end on SIGTERM and
//! call [`Credentials::shutdown`], which waits for the refresh under way, for unsaved tokens, and for
//! the right to refresh to be given back; do not restart a process that says its tokens are unsaved, but mend the store; let Redis write its
//! append-only file with `appendfsync always`.
//!
//! # Logging in again, and signing out
//!
//! Hand the tokens of a new login to [`Credentials::log_in`] in one process. They win over
//! whatever the store has. The others adopt them with their next refresh; those that have failed
//! because re-authorization was required look at the store while their calls fail, every 5 seconds
//! at most, and work again.
//!
//! [`Credentials::sign_out`] empties the store and stops this process. The others hold the tokens in
//! memory and write them back with their next refresh, so sign out in each of them.
//!
//! # The lease of Redis, and the time limits around it
//!
//! The holder renews its lease after each third of its lifetime, for as long as the refresh takes.
//! So the lifetime need not be longer than an exchange. It is a trade between two things:
//!
//! - after a crash, or an end without [`Credentials::shutdown`], the others may wait for the rest of
//!   it. Keep it well below the
//!   [refresh's time limit](crate::CredentialsBuilder::wait_timeout), 30 s unless set, or they
//!   give up before the lease is free. Their requests fail only where their token has expired by
//!   then, which the early refresh makes rare;
//! - a process that stands still for longer loses it. Keep it above the pauses that you know of: a
//!   throttled container, a virtual machine that moves.
//!
//! 10 s, the default, suits an [exchange's time limit](crate::CredentialsBuilder::refresh_request_timeout)
//! of 10 s, a [store's](crate::CredentialsBuilder::store_timeout) of 5 s and a refresh's of 30 s.
//!
//! # A process that stands still
//!
//! Stopped (SIGSTOP), throttled or asleep in the midst of a refresh, and awake again after its lease
//! has run out:
//!
//! - before its exchange, it sees by its own clocks that the lease may have been another's, starts
//!   over, and adopts what the other has saved;
//! - after its exchange, its write is refused if another process has saved since, and it adopts that
//!   pair; if nobody has, its own pair is saved. In between, a process that refreshes with what the
//!   store holds sends a spent token: the loss of the table above;
//! - in the very moment between its last look at the clock and the sending of the exchange, it sends
//!   a token that may be spent. That is a few instructions long.
//!
//! The lock of a file does not run out. While its holder stands still, the others wait for as long
//! as their refresh may take, say so, and go on with the token that they have.
//!
//! # Clocks
//!
//! When an access token expires is stored by the wall clock of whoever refreshed. Keep the clocks of
//! a fleet together (NTP): to a process whose clock is ahead, others' tokens seem to expire early,
//! which costs an exchange; to one whose clock is behind, late, which costs a 401 and a repeat.
//! Nothing breaks by it. The early refresh is spread by lot, so that a fleet that logged in together
//! does not refresh in step.
//!
//! The storm guard counts for each process what it exchanged itself because of a 401, not what it
//! adopted.
//!
//! # What to watch
//!
//! All events bear the target `tower_teamup_auth`. Those that ask for somebody:
//!
//! | event | level | what it asks for |
//! | --- | --- | --- |
//! | newest tokens not saved; they are used and the write is repeated | error | mend the store, and let the process run: it holds the only copy. `newest tokens saved after all` ends it |
//! | newest tokens still not saved | warn | the same, with each attempt |
//! | re-authorization is required | error | a login |
//! | refresh failed | warn | where it is about the store: look why it is locked or out of reach |
//! | storm guard refused a refresh | warn | mode, provider id and permissions: the API refuses fresh tokens |
//!
//! And those that tell how the fleet lives together:
//!
//! | event | level | it means |
//! | --- | --- | --- |
//! | refresh succeeded | info | an exchange; in all processes together, one for each lifetime of a token |
//! | tokens adopted: another process had refreshed | info | the usual case of everybody else |
//! | the lease was lost before the exchange; starting over | warn | a process stood still: is the lease's lifetime too short? |
//! | another process has saved in the meantime; its tokens are adopted | warn | the same, after its exchange |
//! | new tokens found in the store: re-authorization is not required any more | info | a login elsewhere was noticed |
//!
//! [`FileStore`]: crate::store::FileStore
//! [`RedisStore`]: ../../store/struct.RedisStore.html
//! [`KeyringStore`]: ../../store/struct.KeyringStore.html
//! [`Error::is_login_required`]: crate::Error::is_login_required
//! [`Credentials::shutdown`]: crate::Credentials::shutdown
//! [`Credentials::log_in`]: crate::Credentials::log_in
//! [`Credentials::sign_out`]: crate::Credentials::sign_out
