//! How the crate works inside, and why.
//!
//! # Terms
//!
//! | term | meaning |
//! | --- | --- |
//! | credential | one login, live: its tokens, their state, the way to refresh them |
//! | login | one authorization grant; a refresh does not change it, `log_in` starts another |
//! | token set | one refresh token, and up to one access token for each request mode |
//! | generation | names one access token of one mode; ends when a refresh of that mode completes |
//! | revision | orders stored records; only ever grows |
//! | snapshot | the immutable view that a request reads |
//! | refresh | the whole operation: lease, read, refresh request, save, publish, release |
//! | refresh request | the one HTTP request to the refresh endpoint (RFC 6749 section 6) |
//! | lease | the exclusive right to refresh, among all processes that share a store |
//! | dirty | the newest record is in memory and not yet in the store |
//! | rejected | the endpoint said that this refresh token is not valid |
//!
//! # Structure
//!
//! ```text
//!   AuthLayer, AuthMiddleware
//!             │
//!             ▼
//!        middleware        classifies, sets headers, judges a 401, retries
//!             │  reads a snapshot; asks for the refresh of a generation
//!             ▼
//!        credentials       state machine and worker
//!          │     │
//!          ▼     ▼
//!     refresh   store      the refresh request; where records outlive the process
//! ```
//!
//! The middleware knows no store, endpoint or lease. Stores and the refresh request know nothing of each
//! other. TeamUp's wire format is known to [`refresh`](crate::refresh) and the header names alone.
//!
//! These are the imports between the folders and files right below `src/`, without the root, which
//! re-exports, and `fuzzing`. `scripts/import-cycles` compares them with the code.
//!
//! ```text
//!   manager     ─► credentials, error, headers, observe, store, token
//!   client      ─► body, credentials, error, headers, middleware, origin, refresh, token
//!   middleware  ─► body, credentials, error, headers, observe, origin, refresh
//!   credentials ─► error, headers, m2m, observe, origin, refresh, store, token
//!   login       ─► error, headers, origin, refresh, token
//!   limit       ─► refresh, token
//!   m2m         ─► error, token
//!   testing     ─► headers, store, token
//!   observe     ─► error, headers, refresh
//!   refresh     ─► client, error, headers, token
//!   store       ─► error, headers, token
//!   origin      ─► error
//!   token       ─► error, headers
//!   error       ─► headers, refresh, store
//! ```
//!
//! The first version had 28 such units and 97 arrows, and six pairs of files that imported each other. Now
//! no two files do, a folder's `mod.rs` and its children aside. Some folders still import each other where
//! their files do not: `client` and `refresh` (the built-in client for refresh requests), and `error` with
//! `refresh` and `store` (the crate's error takes theirs as sources).
//!
//! # Snapshots and generations
//!
//! A request loads one immutable snapshot, without a lock (`arc-swap`). For each mode it holds the
//! ready-made header value, marked sensitive, two deadlines, and a generation.
//!
//! A request that finds a token wanting asks for the refresh *of that generation*. If the generation has
//! ended since, there is nothing to do. If its refresh is under way, the request waits for it. Otherwise
//! it starts one. So ten thousand late 401s cost one refresh request, and a 401 never throws away a token
//! that it was not about.
//!
//! # The state machine
//!
//! Every fact of a credential stands once, in one state machine behind one mutex. It has no I/O, no
//! clock and no task. No code of the program runs under the mutex.
//!
//! ```text
//!            enqueue                      next                        complete
//! caller ──────────────► queue ─► current ──────► action under way ──────────► facts
//!            ticket                                                  tickets to wake, events
//! ```
//!
//! Callers hand in operations (refresh, log in, sign out, flush, close) and get tickets. One worker asks
//! for the next action, runs it and reports the outcome. These are the actions of a refresh:
//!
//! ```text
//!           ┌────────────┐  busy   ┌───────┐
//!  start ──►│AcquireLease├────────►│ Sleep │   the store is read after each sleep
//!           └─────┬──────┘◄────────┴───────┘
//!         granted │
//!                 ▼    a newer record: adopted
//!             ┌──────┐ ─────────────────────────────────┐
//!       ┌────►│ Load │                                  │
//!       │     └───┬──┘                                  │
//!       │         │ nothing newer                       │
//!       │         ▼                                     │
//!       │  ┌───────────┐                                │
//!       └──┤SendRefresh│  unknown, rejected: the store  │
//!          └──────┬────┘  is read once more             │
//!                 │ tokens: recorded first, dirty       │
//!                 ▼                                     ▼
//!              ┌──────┐  saved: published       ┌────────────┐  waiters wake
//!          ┌──►│ Save ├────────────────────────►│ReleaseLease├──────────────► Idle
//!          │   └──┬───┘                         └────────────┘
//!          │      │ failed: published, still dirty
//!          │   ┌──▼────┐
//!          └───┤ Sleep │
//!              └───────┘
//! ```
//!
//! A login or a sign-out takes effect when it is handed in, and is saved later. Callers who ask for the
//! same generation share a ticket. Dropping one of them changes nothing for the others.
//!
//! While the record is dirty no refresh request is sent, and the lease is kept.
//!
//! | if this fails | then |
//! | --- | --- |
//! | lease, read | an error for those who wait, shared until a pause is over; nothing was sent |
//! | refresh request, transient | one more after 250 ms; then an error, shared until a pause is over: 5 s, tripled by each further failure, 5 min at most |
//! | refresh request, not the endpoint | an error, shared until a pause is over: 1 s, four times as long after each further failure, 10 min at most |
//! | refresh request, rejected | the store is read; a token neither spent nor rejected is adopted, else a login is required |
//! | refresh request, outcome unknown | the store is read, and the request is sent once more |
//! | save | the tokens are used; the save is tried again with backoff, under the lease |
//! | release | tried once more before the lease is used again |
//! | worker (panic, dropped runtime) | the next poll of a waiter starts another; a request under way counts as unknown |
//!
//! # Which record wins
//!
//! | the store holds | ours is saved | ours is dirty |
//! | --- | --- | --- |
//! | another login, higher revision | adopted | adopted |
//! | another login, equal revision | left | the greater login id wins |
//! | another login, lower revision | left; the next save replaces it | ours is written |
//! | the same login, a spent or rejected token | left, or written over where its revision is not lower | ours is written |
//! | the same login, higher revision | adopted | adopted; a sign-out of ours is written |
//! | the same login, lower revision | left | ours is written |
//! | tokens that are neither spent nor rejected, and ours are rejected | adopted | adopted within the login |
//!
//! Adoption keeps an access token of the same login that is still valid, where the record has none. It
//! keeps the seeds of both. An adopted record of a lower revision is saved with a higher one.
//! [`proof`](super::proof) tells how this is checked.
//!
//! # The retry
//!
//! Before the token is set, a request is recorded: method, path and headers as bytes in a buffer that the
//! thread reuses, and its origin as a number among the allowed ones. So a retry can't go anywhere else, and
//! no token of the credential is in the recording. Extensions, credentials of the request, and a URI that
//! spells its origin differently are kept as they are. The body gives a second copy of itself if it can.
//! A 401 reads the recording; any other response wipes it.
//!
//! # When a token is refreshed
//!
//! | freshness | when | a request |
//! | --- | --- | --- |
//! | fresh | before the window | is sent |
//! | refresh soon | in the last part of the token's life | is sent; the one that starts the refresh waits for it, 3 s at most |
//! | expired | after its end, or there is none | waits |
//!
//! The window is the leeway (5 min) or a fifth of the lifetime, whichever is shorter, less a jitter that
//! each credential draws once. So a fleet that logged in together does not refresh in step.
//!
//! Expiry is judged on the monotonic clock and on the wall clock, and the earlier end counts. The
//! monotonic clock may stand still while a laptop sleeps, and the wall clock can be set back.
//!
//! # Readiness
//!
//! The layer is ready when the inner service is. A request that has to wait drops the readied service and
//! puts a fresh clone in its place, so it holds no capacity. For the send after the wait, and for the
//! retry, a clone is readied. Only a clone that was readied is called.
//!
//! # Limits
//!
//! - The refresh needs Tokio: tasks, timers, time limits.
//! - Code of a store or a client that the program brings runs in the worker's task. A panic is caught and
//!   a hang is limited. It must not block the thread.
//! - Tokens, and all texts that held one, are wiped when they are dropped. Header values and the client's
//!   buffers are not.
//!
//! # The dependencies of the default build
//!
//! `cargo tree -e normal` prints these crates, and CI holds their number to forty-four, this one
//! included. None of them is a client, and none brings TLS.
//!
//! | crate | why |
//! | --- | --- |
//! | `arc-swap` | the snapshot is loaded without a lock |
//! | └ `rustversion` | `arc-swap` asks for the compiler's version, when it is built |
//! | `bytes` | bodies |
//! | `fastrand` | jitter of windows and pauses; nothing secret is drawn from it |
//! | `form_urlencoded` | the refresh request as a form |
//! | └ `percent-encoding` | how a form spells what is not a letter |
//! | `getrandom` | login ids and the owners of leases, from the operating system |
//! | └ `libc` | its system call |
//! | `http` | requests, responses, header values: the types of the public interface |
//! | └ `itoa` | numbers as text, in `http` and in `serde_json` |
//! | `http-body` | the trait of bodies |
//! | `http-body-util` | bodies that can be sent again, and collecting an answer |
//! | └ `futures-core` | the traits that `http-body-util` is built on |
//! | `httpdate` | `Retry-After` as a date |
//! | `pin-project-lite` | futures and bodies without `unsafe`, and without a macro to compile |
//! | `rustix` | a file's mode and lock, and the coarse clock of Linux |
//! | ├ `bitflags` | the flags of system calls |
//! | └ `linux-raw-sys` | their numbers, on Linux |
//! | `serde` | the traits by which fields are read |
//! | └ `serde_core` | the traits themselves |
//! | `serde_json` | refresh responses, and tokens in a store |
//! | ├ `memchr` | finding the end of a text |
//! | └ `zmij` | floating-point numbers as text |
//! | `sha2` | fingerprints of seeds and of file names: a stored record never holds a second copy of a token |
//! | ├ `cfg-if`, `cpufeatures` | the processor's own instructions for it |
//! | └ `digest` | the trait of digests |
//! | &nbsp;&nbsp;&nbsp;├ `block-buffer`, `crypto-common` | input in blocks |
//! | &nbsp;&nbsp;&nbsp;└ `hybrid-array`, `typenum` | arrays whose length is a type |
//! | `tokio` | the worker, its time limits, the channels of those who wait |
//! | └ `tokio-macros` | `tokio::select!` |
//! | &nbsp;&nbsp;&nbsp;└ `proc-macro2`, `quote`, `syn`, `unicode-ident` | for the compiler alone; no program links them |
//! | `tower-layer`, `tower-service` | the two traits |
//! | `tracing` | events and spans; without a subscriber they cost next to nothing |
//! | └ `tracing-core` | what a subscriber is |
//! | &nbsp;&nbsp;&nbsp;└ `once_cell` | its global state |
//! | `zeroize` | tokens are wiped when dropped |
//!
//! Elsewhere than on Linux, `rustix` brings `errno` and `libc` in place of `linux-raw-sys`, and `tokio`
//! may bring `windows-sys`.
