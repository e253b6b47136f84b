//! What the layer costs, how that was measured, and what was traded for it.
//!
//! Instructions and heap operations come to the same in every run of one build, whatever else the
//! machine does, so they are what is tracked. Times on a shared machine move by a quarter and more;
//! they are given as ratios within one run.
//!
//! # One request
//!
//! Over a bare inner service that answers at once, with with its retry unless it says otherwise,
//! and two headers injected. The request is a GET with three headers and a URI of 72 bytes, or a
//! POST with eight headers and a fresh body of 1 KiB.
//!
//! | request | instructions | goal | heap operations | goal |
//! | --- | ---: | ---: | ---: | ---: |
//! | GET, one long-lived service | 1,336 | 1,350 | 0 | 0 |
//! | GET, `service.clone().oneshot(..)` each time | 1,442 | 1,600 | 0 | 0 |
//! | POST | 2,061 | 1,900 | 1 (24 bytes: the body's own count of references) | 1 |
//! | GET with a body that is sent once | 939 | 690 | 0 | 0 |
//! | two ready-made values put in by hand: the floor | 621 | | 0 | |
//!
//! | in memory | bytes | goal |
//! | --- | ---: | ---: |
//! | the response future over the inner one | 64 | 64 |
//! | a request in flight over the inner one, all told | 424 | 1,024 |
//! | an idle credential beside its tokens' own bytes, of 100,000 | 847, no task and no timer | 1,024 |
//!
//! # Why two goals are not met
//!
//! What the promises ask for has been written out by hand as well, for one program that knows its one
//! origin and its one mode (`benches/overhead/necessary.rs`). It compares the origin, loads the newest
//! token, reads the clocks, writes down what a repeat would need in the same way as the layer, looks after
//! an `Authorization` that the request brings, keeps what a 401 would ask for, and has a future that can
//! turn into another; it can neither renew nor repeat.
//!
//! | request | by hand | goal | the layer |
//! | --- | ---: | ---: | ---: |
//! | GET | 1,354 | 1,350 | 1,336 |
//! | GET through a clone | 1,370 | 1,600 | 1,442 |
//! | POST | 2,064 | 1,900 | 2,061 |
//! | sent once | 888 | 690 | 939 |
//!
//! The goals of the last two stand below that: they ask for less work, not for the same work done better.
//!
//! **Sent once.** The 939 instructions go into, counted by callgrind for each function, and for each line
//! where one was inlined into another; rounded, so the sum is:
//!
//! | part | instructions, about |
//! | --- | ---: |
//! | putting two headers into the map, seeing that they are the only ones, dropping them with the request | 560 |
//! | comparing the request's origin with the allowed ones (P4) | 45 |
//! | reading two clocks and comparing them with the token's deadlines | 55 |
//! | seeing that the service's own copy of the token is the newest | 25 |
//! | what a 401 needs: the token's generation, the service and the credentials, kept and dropped | 45 |
//! | building the future, polling it, moving request and answer through it | 210 |
//!
//! After the headers, the origin and the clocks, 30 of the 690 would be left for all the rest. Each part
//! has been asked whether it can go:
//!
//! - **One clock instead of two** would bring half of the 55, and send a token that expired while a
//!   laptop slept.
//! - **No clock**, but a flag that a timer sets, would bring 55, and cost a timer for each idle
//!   credential, of which a process may have 100,000.
//! - **No origin check** would bring 45, and is out of the question.
//!
//! **POST.** It takes 725 more than the GET: 120 for putting two headers into a map that has eight, 225 for
//! the second count of the body (the allocation, its end, and the counting), 45 for wiping and copying
//! longer texts, and 67 for each of five more headers. Before them 170 of the 1,900 are left, 34 for each;
//! to walk to a header in the map and to read its name and its value takes 30 of the 67 before anything is
//! written down. The rest is a word that tells the lengths, two copies that are made in place, and three
//! looks at the room that is left; only those could be saved, by `unsafe` code that this crate does not
//! have. Keeping the names and values themselves instead of their bytes costs two counts of references
//! for each, and an allocation where a value was never shared before.
//!
//! # What was done
//!
//! - A request that has nothing of its own to say, neither in its extensions nor in its headers, takes
//!   a straight way: its headers are not asked first, they are appended, and if one of them had a value
//!   already, it is taken off again. With what follows, that brought a GET from 2,221 instructions to
//!   1,336, and one that can't be repeated from 1,682 to 939. A request with extensions (one that brings
//!   its credentials, say) is heard with care: its headers are looked up first, and its extensions copied.
//! - Only a 401 needs a copy of the request, so none is made: its head is written down as bytes, in
//!   memory that each thread uses again and again, and read back when the rare 401 comes. Of its origin
//!   only a number is written down, since it is one of those that are allowed. Texts of up to 32 bytes are
//!   copied in place, by two overlapping words: that brought 45 over a call of `memcpy` for each. The memory
//!   is wiped between two requests, which takes 25 instructions for the GET.
//! - A service that has proved long-lived, by 16 calls, keeps its own copies of the token's header
//!   value and of what its clones share, so that two threads do not wrest counts of references from
//!   each other. A clone for one request pays nothing for them; it loads what is shared.
//! - What is rare is marked cold, and a few functions of the straight way are inlined by force: together
//!   some 60, and up to 200 for a POST in a program where the compiler would have decided otherwise.
//! - No lock, no `Box` and no `async` block on the straight way. A wait for a refresh and a repeat are
//!   boxed: they are rare.
//!
//! # Over TCP, in a storm, on two threads
//!
//! | measured | value | goal |
//! | --- | ---: | ---: |
//! | instructions of the client's process for a request over loopback, HTTP/1.1, hyper-util | +5.5 % of 32,226 | +4 % |
//! | 10,000 requests in flight, all answered 401, the refresh takes 5 ms: exchanges | 1 | 1 |
//! | the same: time over that of sending the 10,000 repeats through the bare service and the 5 ms | 2.5 | 1.15 |
//! | the same, written by hand, the exchange in a task of its own | 2.2 | |
//! | the same, written by hand, the exchange run by the first caller | 1.75 | |
//! | overhead with two threads over overhead with one | 1.01 | 1.05 |
//!
//! The last four are medians; in eleven runs they lay between 2.2 and 2.8, 1.9 and 2.4, 1.6 and 1.9, and
//! 0.99 and 1.08. The 5 ms are the same on every machine and in every hour, and the rest is not: in a
//! quieter one the storm came to 2.1.
//!
//! The client's process over loopback pays the same instructions as above, and those of sending two more
//! headers. The bare request takes some 32,000; 4 % of them, 1,289, are fewer than the work takes that is
//! done by hand without any sending.
//!
//! **The storm** misses its goal clearly. So does a program that does by hand as little as it can
//! (`benches/overhead/storm.rs`): it needs 1.75 times what the goal allows 1.15 times of. Each of its
//! tasks keeps a clone of its request, waits for the renewal that the first 401 began, and sends the
//! clone; so it is woken twice and sends twice, where the repeats alone are woken and sent once. Its
//! exchange is run by the first caller, with whom the new tokens would go away. In a task of its own, as
//! P2 needs it, it begins after the tasks that were woken before, and the same program needs 2.2 times
//! the time. The layer takes 1.15 times as long as that (1.1 to 1.2). It reads its request back from
//! bytes, which parses a path and three headers, drains the 401 and readies a service. Keeping a clone
//! instead would make every other request dearer by three allocations.
//!
//! # Beside others
//!
//! What each adds to the bare service for the GET, in one run on two cores with other programs at
//! work; nanoseconds are medians over 151 rounds in which all take turns. Nobody else here knows a
//! request mode: where two headers are counted, the second is a constant.
//!
//! | layer | version | instructions | heap operations | ns, 1 thread | over ours | ns, 2 threads | over ours | headers | on a 401 |
//! | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |
//! | **`AuthLayer`**, with its retry | 0.1.0 | 1,409 | 0 | 121 | 1.0 | 120 | 1.0 | 2 | refreshes, retries once |
//! | two ready-made values, the floor | – | 634 | 0 | 61 | 0.5 | 141 | 1.2 | 2 | passes it on |
//! | the same, the value copied for each thread | – | 634 | 0 | 63 | 0.5 | 63 | 0.5 | 2 | passes it on |
//! | tower-http `SetRequestHeader`, twice | 0.7.1 | 780 | 0 | 111 | 0.9 | 227 | 1.9 | 2 | passes it on |
//! | `std::sync::RwLock<Arc<String>>` and `format!` | – | 1,810 | 2 | 171 | 1.4 | 479 | 4.0 | 2 | passes it on |
//! | `tokio::sync::Mutex<String>` and `format!` | – | 2,070 | 2 | 184 | 1.5 | 346 | 2.9 | 2 | passes it on |
//! | kube-client `AuthLayer` | 5.0.0 | 2,442 | 3 | 255 | 2.1 | 458 | 3.8 | 1 | passes it on |
//! | aws-smithy-runtime lazy identity cache | 1.16.2 | 3,916 | 5 | 499 | 4.1 | 1,436 | 12.0 | 1 | no part in it |
//! | azure_core bearer policy | 1.2.0-beta.1 | 3,962 | 7 | 419 | 3.5 | 644 | 5.4 | 1 | forgets the token; retries only with a callback of the program's |
//! | google-cloud-auth `headers()` | 1.18.0 | 4,458 | 10 | 394 | 3.3 | 532 | 4.4 | 1 | no part in it |
//!
//! tower-http's two fixed headers are cheaper on one thread, by a tenth; they never expire, are sent
//! to any origin, and nothing is repeated. Nobody here but this layer can repeat a request after a
//! 401 by itself. How each is driven and what each leaves out stands in `benches/peers.md`. This
//! program shows ours some per cent above the tracked benchmark: the compiler inlines differently.
//!
//! # To repeat it
//!
//! ```text
//! cargo bench -p benches --bench overhead                  # all of the above, in lines that a program can read
//! cargo bench -p benches --bench overhead -- --repeatable  # only what comes to the same in every run
//! cargo bench -p benches --bench times                     # the same requests on the clock, with divan
//! scripts/overhead                              # what repeats, compared with the accepted figures
//! cargo run --release --manifest-path benches/peers/Cargo.toml   # the table of the others
//! ```
//!
//! valgrind must be installed. The figures are from x86-64 Linux, rustc 1.95, http 1.5, hyper-util
//! 0.1.21 and tower 0.5.3, built as `--release` builds. Another build inlines otherwise and shows other
//! figures, for GET, GET through a clone, POST and sent once: with fat link-time optimization 1,293,
//! 1,411, 1,982 and 862; with one codegen unit 1,401, 1,593, 2,129 and 944. In a program that depends on
//! the crate, even the folder it lies in decides: the one that compares it with others showed 1,409,
//! 1,598, 2,206 and 968 in one folder, 1,416, 1,605, 2,231 and 964 in another.
//!
//! Every workload is measured in a heap that has seen the same before. Where a request's headers do not
//! fit into what glibc keeps at hand, it looks for them among the free blocks, and that takes up to three
//! hundred instructions more in one heap than in another.
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
