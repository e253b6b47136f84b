//! What the layer costs, how that was measured, and what was traded for it.
//!
//! Instructions and heap operations come to the same in every run of one build, whatever else the
//! machine does, so they are what is tracked. Times on a shared machine move by a quarter and more;
//! they are given as ratios within one run.
//!
//! # One request
//!
//! Over a bare inner service that answers at once, with the repeat armed unless it says otherwise,
//! and two headers injected. The request is a GET with three headers and a URI of 72 bytes, or a
//! POST with eight headers and a fresh body of 1 KiB.
//!
//! | request | instructions | goal | heap operations | goal |
//! | --- | ---: | ---: | ---: | ---: |
//! | GET, one long-lived service | 1,629 | 1,350 | 0 | 0 |
//! | GET, `service.clone().oneshot(..)` each time | 1,754 | 1,600 | 0 | 0 |
//! | POST | 2,485 | 1,900 | 1 (24 bytes: the body's own count of references) | 1 |
//! | GET with a body that is sent once | 1,060 | 690 | 0 | 0 |
//! | two ready-made values put in by hand: the floor | 578 | | 0 | |
//!
//! | in memory | bytes | goal |
//! | --- | ---: | ---: |
//! | the response future over the inner one | 64 | 64 |
//! | a request in flight over the inner one, all told | 440 | 1,024 |
//! | an idle credential beside its tokens' own bytes, of 100,000 | 855, no task and no timer | 1,024 |
//!
//! # Why the instruction goals are not met
//!
//! What the promises ask for has been written out by hand as well, for one program that knows its one
//! origin and its one mode (`benches/overhead/necessary.rs`). It compares the origin, loads the newest
//! token, reads the clocks, writes down what a repeat would need, looks after an `Authorization` that the
//! request brings, keeps what a 401 would ask for, and has a future that can turn into another; it can
//! neither renew nor repeat.
//!
//! | request | by hand | goal | the layer | beyond by hand |
//! | --- | ---: | ---: | ---: | ---: |
//! | GET | 1,473 | 1,350 | 1,629 | 156 |
//! | GET through a clone | 1,535 | 1,600 | 1,754 | 219 |
//! | POST | 2,294 | 1,900 | 2,485 | 191 |
//! | sent once | 891 | 690 | 1,060 | 169 |
//!
//! Three of the four goals stand below that: they ask for less work, not for the same work done better.
//! For the fourth, all that makes a layer would have to be had for 65. It takes 219: some 136 for any
//! inner service and any body, for requests that bring a mode, a business or credentials of their own, for
//! several origins, and for two threads that do not slow each other down; 54 for dropping a service and a
//! future that may be one of several things; 30 for moving and comparing; 12 for judging the answer.
//! Remembering the request costs 13 less than by hand.
//!
//! The 1,060 instructions of a request without a repeat go into, counted by callgrind for each function,
//! and for each line where one was inlined into another; rounded, so the sum is:
//!
//! | part | instructions, about |
//! | --- | ---: |
//! | putting two headers into the map and dropping them with the request: the floor | 578 |
//! | seeing that none of them replaced a header of the request's own | 50 |
//! | comparing the request's origin with the allowed ones (P4) | 75 |
//! | reading two clocks and comparing them with the token's deadlines | 60 |
//! | seeing that the service's own copy of the token is the newest | 25 |
//! | what a 401 needs: the token's generation, the service and the credentials, kept and dropped | 82 |
//! | building the future, polling it, moving request and answer through it | 190 |
//!
//! Each part has been asked whether it can go:
//!
//! - **One clock instead of two** would bring half of the 60, and send a token that expired while a
//!   laptop slept.
//! - **No clock**, but a flag that a timer sets, would bring 60, and cost a timer for each idle
//!   credential, of which a process may have 100,000.
//! - **No origin check** would bring 75, and is out of the question.
//! - **Inlining all of it by force** brings 15, and copies the path into every place that calls it.
//! - **Asking the header map for a vacant entry**, instead of inserting and putting back what was
//!   replaced, would read better and costs 160.
//!
//! What a repeat needs on top is 569 for the GET. From there to the POST, five more headers cost 81 each
//! and their copying 25; the rest is URI, method, the body's copy, memory from the pool and back, wiped.
//! A header is walked to in the map, read as text twice, and copied into memory whose bounds are checked
//! once for all of it. Only the check could be saved, by `unsafe` code that this crate does not have.
//! Keeping the names and values themselves instead of their bytes costs two counts of references for
//! each, and an allocation where a value was never shared before.
//!
//! # What was done
//!
//! - A request that has nothing of its own to say, neither in its extensions nor in its headers, takes
//!   a straight way: its headers are not asked first, they are set, and what an insert replaced is put
//!   back. With what follows, that brought a GET from 2,221 instructions to 1,629, and one that can't be
//!   repeated from 1,682 to 1,060. A request with extensions (one that brings its credentials, say) is
//!   heard with care: its headers are looked up first, and its extensions copied.
//! - Only a 401 needs a copy of the request, so none is made: its head is written down as bytes, in
//!   memory that each thread uses again and again, and read back when the rare 401 comes. The memory is
//!   wiped between two requests, which takes 25 instructions for the GET.
//! - A service that has proved long-lived, by 16 calls, keeps its own copies of the token's header
//!   value and of what its clones share, so that two threads do not wrest counts of references from
//!   each other. A clone for one request pays nothing for them; it loads what is shared.
//! - No lock, no `Box` and no `async` block on the straight way. A wait for a refresh and a repeat are
//!   boxed: they are rare.
//!
//! # Over TCP, in a storm, on two threads
//!
//! | measured | value | goal |
//! | --- | ---: | ---: |
//! | instructions of the client's process for a request over loopback, HTTP/1.1, hyper-util | +6.2 % of 32,297 | +4 % |
//! | 10,000 requests in flight, all answered 401, the refresh takes 5 ms: exchanges | 1 | 1 |
//! | the same: time over that of sending the 10,000 repeats through the bare service and the 5 ms | 2.2 | 1.15 |
//! | the same, written by hand | 1.8 | |
//! | overhead with two threads over overhead with one | 1.00 | 1.05 |
//!
//! The client's process over loopback pays the same instructions as above. The bare request takes some
//! 32,000, and 4 % of them are fewer than the work takes that is done by hand.
//!
//! **The storm** misses its goal clearly, and nobody can meet it: a program that writes by hand the
//! least that a storm can be needs 1.8 times the time that the goal allows 1.15 for
//! (`benches/overhead/storm.rs`). Each of its tasks keeps a clone of its request, waits for the renewal
//! that the first 401 began, and sends the clone; so it is woken twice and sends twice, where the repeats
//! alone are woken and sent once. The layer takes 1.3 times as long as that, up to 1.4 in other runs. It
//! reads its request back from bytes, which parses a URI and three headers (3,700 instructions), drains
//! the 401 and readies a service. Keeping a clone instead would make the storm cheaper, and every other
//! request dearer by three allocations.
//!
//! # Beside others
//!
//! What each adds to the bare service for the GET, in one run on two cores with other programs at
//! work; nanoseconds are medians over 151 rounds in which all take turns. Nobody else here knows a
//! request mode: where two headers are counted, the second is a constant.
//!
//! | layer | version | instructions | heap operations | ns, 1 thread | over ours | ns, 2 threads | over ours | headers | on a 401 |
//! | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |
//! | **`AuthLayer`**, the repeat armed | 0.1.0 | 1,679 | 0 | 133 | 1.0 | 131 | 1.0 | 2 | renews, repeats once |
//! | two ready-made values by hand, the floor | – | 633 | 0 | 51 | 0.4 | 164 | 1.3 | 2 | passes it on |
//! | the same, the value copied for each thread | – | 633 | 0 | 54 | 0.4 | 53 | 0.4 | 2 | passes it on |
//! | tower-http `SetRequestHeader`, twice | 0.7.1 | 779 | 0 | 106 | 0.8 | 216 | 1.7 | 2 | passes it on |
//! | `std::sync::RwLock<Arc<String>>` and `format!` | – | 1,809 | 2 | 162 | 1.2 | 466 | 3.6 | 2 | passes it on |
//! | `tokio::sync::Mutex<String>` and `format!` | – | 2,069 | 2 | 175 | 1.3 | 338 | 2.6 | 2 | passes it on |
//! | kube-client `AuthLayer` | 5.0.0 | 2,513 | 3 | 257 | 1.9 | 478 | 3.6 | 1 | passes it on |
//! | aws-smithy-runtime lazy identity cache | 1.16.2 | 3,928 | 5 | 469 | 3.5 | 1,302 | 10.0 | 1 | no part in it |
//! | azure_core bearer policy | 1.2.0-beta.1 | 3,965 | 7 | 349 | 2.6 | 656 | 5.0 | 1 | forgets the token; repeats only with a callback of the program's |
//! | google-cloud-auth `headers()` | 1.18.0 | 4,444 | 10 | 359 | 2.7 | 492 | 3.8 | 1 | no part in it |
//!
//! tower-http's two fixed headers are cheaper on one thread, by a fifth; they never expire, are sent
//! to any origin, and nothing is repeated. Nobody here but this layer can repeat a request after a
//! 401 by itself. How each is driven and what each leaves out stands in `benches/peers.md`. This
//! program shows ours some per cent above the tracked benchmark: the compiler inlines differently.
//!
//! # To repeat it
//!
//! ```text
//! cargo bench --bench overhead                  # all of the above, in lines that a program can read
//! cargo bench --bench overhead -- --repeatable  # only what comes to the same in every run
//! cargo bench --bench times                     # the same requests on the clock, with divan
//! scripts/overhead                              # what repeats, compared with the accepted figures
//! cargo run --release --manifest-path benches/peers/Cargo.toml   # the table of the others
//! ```
//!
//! valgrind must be installed. The figures are from x86-64 Linux, rustc 1.95, http 1.5, hyper-util
//! 0.1.21 and tower 0.5.3, built as `--release` builds.
//!
//! # What is slow, and why
//!
//! - A refresh: a task, a lock, the store, the exchange. It happens every two hours.
//! - The first requests after a token has expired wait for it; within the early window (the last five
//!   minutes of two hours, unless [set](crate::CredentialsBuilder::refresh_leeway)) it happens beside them.
//! - A request that names its own business by a [`ProviderId`](crate::ProviderId) in its extensions
//!   allocates the header's value.
//! - A request to an allowed origin that is written otherwise than the origin was (in capitals, with
//!   the scheme's own port) is compared the long way, with an allocation.
