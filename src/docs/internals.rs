//! How it works inside, and why it is so.
//!
//! # The parts
//!
//! ```text
//!   Auth<S>, AuthMiddleware            the way of one request
//!        │  two questions: a snapshot; a renewal of a generation
//!   Credentials ── cell                what a request sees, in one load
//!        │      ── desk, memory        who asks, what is under way, what just failed
//!        │      ── driver, transaction the task that refreshes
//!        │      ── ledger, vault       the newest tokens; the store, with time limits
//!        ▼
//!   Refresh, TokenStore                the exchange; where tokens outlive the process
//! ```
//!
//! Arrows point inward. The service knows nothing of stores, endpoints or locks; stores and clients
//! know nothing of each other; TeamUp's wire format is known to [`refresh`](crate::refresh) and to the
//! two headers, and to nothing else.
//!
//! # A snapshot, and its generation
//!
//! A request loads one immutable snapshot: for each mode the ready-made header value, marked
//! sensitive, two deadlines, and a generation. The load takes no lock (`arc-swap`), so requests never
//! wait for each other, and what a request took stays what it took.
//!
//! The generation names one token of one mode, or the lack of one; it only counts up. All coordination
//! goes by it: whoever finds a token wanting asks for the replacement *of that generation*. If it has
//! been replaced since, there is nothing to do; if its replacement is under way, one waits; else one
//! starts it. That is why ten thousand late 401s cost one exchange, and why a 401 never throws away a
//! token that it was not about.
//!
//! # The state machine
//!
//! Every fact of a credential stands once, in one state machine behind one mutex. It has no I/O, no
//! clock and no task. Nothing else of the crate and no code of the program runs under the mutex.
//!
//! ```text
//!            enqueue                      next                        complete
//! caller ──────────────► queue ─► current ──────► action in flight ──────────► facts
//!            ticket                                                  tickets to wake, events
//!
//! a refresh:  AcquireLease ─► Load ─► SendRefresh ─► Save ─► (publish) ─► ReleaseLease ─► wake
//!                  ▲  │busy             │  │unknown: Load, then once more
//!                  └──┴ Sleep, Load     └──┴ rejected: Load, adopt or mark as rejected
//! ```
//!
//! Callers hand in operations and get tickets. One worker asks for the next action, runs it and reports
//! the outcome. A login or a sign-out takes effect when it is handed in, and is saved later. Callers
//! who ask for the same generation share a ticket; dropping one changes nothing for the others.
//!
//! An answer with tokens is recorded first: it is in the record, and dirty, before it is saved. It is
//! published when it is saved, or when the first attempt to save has failed. While the record is dirty
//! no refresh request is sent, and the lease is kept.
//!
//! | if this fails | then |
//! | --- | --- |
//! | lease, re-read | an error for those who wait, shared for a while; nothing was sent |
//! | refresh request, transient | once more after a pause; then an error that is shared until a pause is over, which grows |
//! | refresh request, rejected | the store is read again; a token that is neither spent nor rejected is adopted, else a login is required |
//! | refresh request, outcome unknown | the store is read again, and the request is sent once more |
//! | save | the tokens are used; the save is tried again with backoff, under the lease |
//! | release | the lease is given back once more before it is used again: it may be another's |
//! | worker: a panic, a runtime that goes away | the next poll of a waiter starts another, which goes on; a request under way counts as unknown |
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
//! Adoption keeps an access token of the same login that is still valid, where the record has none that
//! is. It keeps the seeds of both. A record of a lower revision that is adopted is saved with a higher
//! one. [How this is proved](super::proof).
//!
//! # The repeat
//!
//! Before the token is put on, a request is written down: method, path and headers as bytes, in memory
//! that its thread uses again and again, its body as the body itself can be had twice, and of its origin
//! only which of the allowed ones it is. So a repeat can't go anywhere else, and no token of ours is in
//! what is kept. What can't be written down is kept as it is: extensions, credentials that the request
//! brought, a URI that writes its origin otherwise than it was allowed. Only a 401 reads it back; any
//! other answer wipes it.
//!
//! # One refresh token, two access tokens
//!
//! TeamUp binds an access token to a mode. A credential holds one for each that was asked for. Their
//! refreshes share the refresh token, so they queue up behind one driver and each takes the newest.
//!
//! # When
//!
//! A refresh is *advised* in the last part of a token's life, and runs beside the requests; it is *due*
//! when the token has expired, and requests wait for it. The part is the configured leeway or a fifth
//! of the lifetime, whichever is shorter, less a jitter that each credential draws once: a fleet that
//! logged in together does not refresh in step. Expiry is judged on the monotonic clock and on the wall
//! clock, and the earlier verdict wins: a laptop that slept knows by the wall clock, one whose clock was
//! set back by the monotonic one.
//!
//! # Readiness
//!
//! The layer is ready when the service below it is. While a request waits for a refresh, the readied
//! service is given back, so that nothing of the stack's capacity is held; for the send after the wait,
//! and for the repeat, a clone is readied. Only a clone is ever called that said it was ready.
//!
//! # Who watches
//!
//! [`Credentials::status`](crate::Credentials::status) is put together from the cell and the desk when
//! somebody asks. Every change of either signals the subscribers after it was made, and a subscriber
//! reads the state after the signal: so it can miss what lies between two states, and never the last.
//! The list of subscribers is made with the first of them.
//!
//! # What is not promised inside
//!
//! - The refresh needs Tokio: its tasks, timers and time limits.
//! - What a store or a client of your own does while it is being polled, it does in the refresh's task.
//!   It may panic or hang, which is caught or limited; it must not block the thread.
//! - Secrets are wiped where this crate owns them: tokens when dropped. Header values and the
//!   client's buffers are others' memory.
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
