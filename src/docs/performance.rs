//! What the layer costs, how that is measured, and what was traded for it.
//!
//! Instructions and heap operations ("heap") come to the same in each run of one build, so they are what
//! is tracked. Times on a shared machine differ by a quarter and more. They are given as ratios within one
//! run.
//!
//! # One request
//!
//! The figures are over a bare inner service that responds at once. The request is a GET with three headers
//! and a URI of 72 bytes, or a POST with eight headers and a body of 1 KiB. They are those of
//! `benches/overhead/accepted.txt`, which `scripts/overhead` compares with each build. The goals are
//! those that the benchmark prints.
//!
//! | request | instructions (goal) | heap (goal) |
//! | --- | ---: | ---: |
//! | GET, one long-lived service | 1,474 (1,250) | 0 (0) |
//! | GET, `clone().oneshot(..)` each time | 1,586 (1,400) | 0 (0) |
//! | POST | 2,230 (1,950) | 1 (1) |
//! | GET with a body that is sent once | 1,041 (800) | 0 (0) |
//! | GET, the credential has a provider id | 1,767 (1,450) | 0 (0) |
//! | GET, credentials in the extensions | 2,071 (1,800) | 0 (1) |
//! | GET, `RequestMode` in the extensions | 1,988 (2,000) | 0 (1) |
//! | GET, `ProviderId` in the extensions | 2,747 (2,000) | 2 (1) |
//! | URI and headers over 4 KiB | 2,770 (a clone of it) | 2 (1) |
//!
//! | in memory | bytes | goal |
//! | --- | ---: | ---: |
//! | the response future, over the inner one | 72 | 64 |
//! | a request in flight, over the inner one | 576 | 1,024 |
//! | an idle credential, beside its tokens | 1,522 | 1,024 |
//!
//! An idle credential has no task and no timer. `tests/idle_credentials.rs` holds it to 1,700 bytes with
//! its tokens' own bytes. A [subscriber](crate::Credentials::subscribe) adds less than 1,024.
//!
//! # Why goals are missed
//!
//! The first version took 1,336 instructions for the GET, 1,442 through a clone, 2,061 for the POST and 939
//! for the body sent once. Every one of these rows grew by 8 to 11 % with what a request asks for now:
//!
//! - the login that it was classified with, so that a retry never uses the tokens of another (P11);
//! - the routes that refuse fresh tokens, so that one of them does not use up the limit of others (P3);
//! - the crate's response body, so that the body of a 401 can be kept while a request waits (P6).
//!
//! How the growth divides among the three was not measured. The idle credential took 847 bytes beside its
//! tokens in the first version. These are the lowest figures that this version has reached.
//!
//! # Where the instructions go
//!
//! By function, as callgrind counts them, beyond those of the bare service. What is inlined counts for the
//! function that it is part of.
//!
//! | part | GET | POST | body sent once |
//! | --- | ---: | ---: | ---: |
//! | two headers are appended to the `HeaderMap` | 459 | 579 | 459 |
//! | the head is recorded, and its buffer given back and wiped | 374 | 717 | – |
//! | `Auth::call`: classification, snapshot, clock | 298 | 346 | 272 |
//! | the response future is polled | 106 | 106 | 102 |
//! | copies of requests and futures (`memcpy`) | 69 | 97 | 58 |
//! | the rest: drops, a reference to the body's bytes, the retry's allocation | 168 | 385 | 150 |
//! | all | 1,474 | 2,230 | 1,041 |
//!
//! The first row is the price of `HeaderMap::append`, which hashes the header's name. The goal of the GET
//! leaves 417 instructions for all that is neither that row nor the recording, which now take 641.
//!
//! # What was done for it
//!
//! - **Fast path**: empty extensions, no auth headers, fresh token. Headers are appended, not looked up
//!   first. If one of them was there already, that is undone and the slow path takes over.
//! - **Recording instead of a clone.** Only a 401 needs a copy of the request. Its head is recorded as bytes,
//!   in a buffer that each thread reuses and wipes. A clone of the request cost
//!   1,280 instructions and 3 allocations more in the first version.
//! - **Private copies.** After 16 calls a service keeps private copies of the shared values, which avoids
//!   cache-line contention between threads. A clone for one request does not pay for them.
//! - **No lock, box, task or timer** on the fast path. A wait for a refresh and a retry are boxed.
//!
//! # What was not done
//!
//! - One clock instead of two: a token that expired while a laptop slept would be sent.
//! - A timer that marks a token as expired: one timer for each idle credential.
//! - No check of the origin: P4.
//! - `unsafe` code in the recording.
//!
//! # What is slow
//!
//! - A refresh: a task, a lease, the store, an HTTP request. It happens every two hours.
//! - The first requests after a token has expired wait for it. In the early window, the last five minutes of
//!   two hours unless [set](crate::CredentialsBuilder::refresh_leeway), only the request that starts the
//!   refresh waits.
//! - A `ProviderId` in the extensions allocates the header's value.
//! - A URI that spells an allowed origin differently (in capitals, with the default port) is compared with
//!   an allocation.
//!
//! # Storms and threads, first version
//!
//! **These figures were measured on the first version**, and not since. They are medians.
//!
//! | measured | value |
//! | --- | ---: |
//! | instructions of the client's process for a request over loopback, HTTP/1.1, hyper-util | +5.5 % of 32,226 |
//! | 10,000 requests in flight, all answered 401, a refresh of 5 ms: refresh requests | 1 |
//! | the same: time, over 10,000 retries through the bare service and the 5 ms | 2.5 |
//! | the same, a program without the layer, the refresh in a task of its own | 2.2 |
//! | the same, a program without the layer, the refresh run by the first caller | 1.75 |
//! | overhead with two threads, over that with one | 1.01 |
//!
//! # Beside others, first version
//!
//! What each adds to the bare service for the GET, **measured on the first version** in one run on two
//! cores. Nanoseconds are medians over 151 rounds. `benches/peers.md` tells how each is set up and what it
//! leaves out.
//!
//! | layer | instructions | heap | ns |
//! | --- | ---: | ---: | ---: |
//! | two ready-made values, the floor | 634 | 0 | 61 |
//! | tower-http 0.7.1 `SetRequestHeader`, twice | 780 | 0 | 111 |
//! | **`AuthLayer`**, with its retry | 1,409 | 0 | 121 |
//! | `RwLock<Arc<String>>` and `format!` | 1,810 | 2 | 171 |
//! | `tokio::sync::Mutex` and `format!` | 2,070 | 2 | 184 |
//! | kube-client 5.0.0 | 2,442 | 3 | 255 |
//! | aws-smithy-runtime 1.16.2 | 3,916 | 5 | 499 |
//! | azure_core 1.2.0-beta.1 | 3,962 | 7 | 419 |
//! | google-cloud-auth 1.18.0 | 4,458 | 10 | 394 |
//!
//! None of the others retries a request after a 401 by itself.
//!
//! # Measure again
//!
//! ```text
//! cargo bench -p benches --bench overhead                  # all figures of this page
//! cargo bench -p benches --bench overhead -- --repeatable  # those that are the same in each run
//! cargo bench -p benches --bench times                     # the same requests on the clock
//! scripts/overhead                                         # against the accepted figures
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! valgrind must be installed. The figures are from x86-64 Linux and rustc 1.95. Another compiler, link-time
//! optimization or even another folder changes what is inlined, and moves them by some per cent.
