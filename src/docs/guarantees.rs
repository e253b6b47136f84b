//! What the crate promises, how each promise is proved, to which bound, and what is not proved.
//!
//! A test whose name begins with `p1_` to `p10_` shows the promise of that number; the table names
//! the ones that show most. Beside them, [a model](#the-model) watches over all of the promises but P8.
//!
//! | | promise | how it is proved | to which bound | not proved |
//! | --- | --- | --- | --- | --- |
//! | P1 | Any number of concurrent 401s or expiries of one generation cause one exchange | In one process and over real TCP with ten thousand callers: `p1_ten_thousand_callers_on_an_expired_token_share_one_exchange`, `p1_ten_thousand_401s_cost_one_exchange_and_no_caller_sees_one`, `p1_two_processes_that_share_a_store_cause_one_exchange`; the example `fleet` with twenty processes | 10,000 callers; two callers in [every order](#the-interleavings); 20 processes on a file and on Redis; the [soak](#the-soak) | Processes that share nothing, or a store whose own promises fail |
//! | P2 | A dropped, timed-out or panicking caller never loses a rotated refresh token | Callers are dropped at each await point in turn, panic, and lose their runtime: `p2_only_waiter_for_a_token_dropped_at_every_await_point_loses_nothing`, `p2_the_first_waiter_may_be_dropped_at_every_await_point`, `p2_panic_in_the_store_after_the_exchange_is_a_write_that_is_repeated`, `p2_exchange_that_began_before_the_time_limit_is_not_cut_short_by_it`, `p2_runtime_dropped_while_the_pair_is_saved_loses_neither_the_pair_nor_the_write` | Every await point of a request; 10,000 [histories](#the-model); the soak gives up thousands of calls after one to five polls | An answer that the network loses: see [below](#what-can-be-lost) |
//! | P3 | One repeat at most; no loop is possible, whatever the server answers | `p3_server_that_answers_401_for_ever_gets_each_request_twice_at_most`, `p3_a_crowd_under_401s_for_ever_comes_to_rest`, `p3_storm_guard_refuses_the_fifth_exchange_within_30_s_and_opens_again`, `p3_above_retry_of_401s_ends` | Two sends for a request; by default 4 exchanges in 30 s for 401s to fresh tokens | What a retry layer of your own adds on top |
//! | P4 | A token never leaves for an origin that is not allowed, on the first send or the repeat | `p4_request_to_elsewhere_passes_untouched`, `p4_a_redirect_layer_outside_carries_no_token_to_another_host_on_either_send`, `p4_a_next_url_to_elsewhere_carries_no_token`, `p4_the_exchange_takes_the_refresh_token_to_no_other_origin`; the soak's foreign server, whose every request is searched | Scheme, host and port in every spelling of the tests; one call in 50 of the soak | A client *below* the layer that follows redirects itself and carries headers to another host: hyper-util follows none, and reqwest wants [its policy](../../client/fn.redirects_within_origin.html) |
//! | P5 | No secret in `Debug`, `Display`, errors, events or metrics | [The witness](#the-witness); `p5_every_public_type_is_shown_and_shows_no_secret`, `p5_no_token_shows_in_any_event_on_the_way_through_all_failures`, `p5_no_token_is_traced_or_shown_whatever_goes_wrong`, `p5_the_token_is_struck_out_however_it_is_spelled` | Every public type; each event, metric and error of the tests below; the soak's log | A token that a server quotes encoded in a way that nobody thought of; memory that a debugger or a core dump shows |
//! | P6 | The inner service's readiness contract is kept, and its capacity is not held while a refresh is awaited | [The checking service](#the-checking-service); `p6_concurrency_limit_of_one_shared_with_the_exchange_does_not_deadlock`, `p6_future_dropped_at_any_await_point_gives_its_place_back`, `p6_below_a_limit_of_one_is_enough_for_the_refresh_and_its_waiters` | Every stack of the in-process, the stack and the real-TCP tests | Capacity held over a refresh is looked for on runtimes of one thread |
//! | P7 | `TeamUp-Request-Mode` always matches the type of the token beside it | `p7_a_hundred_interleaved_requests_of_both_modes_match_their_tokens_while_those_expire`, `p7_a_hundred_requests_in_both_modes_while_tokens_expire`, `p7_unknown_mode_is_an_error_before_anything_is_sent` | The fake server refuses each mismatch, in every test and in the soak | What TeamUp does with a mode that its documentation does not name |
//! | P8 | A crash at any point of the transaction leaves a store that loads, holding the old pair or the new one | Real processes are killed at each step: `p8_file_killed_at_any_step_of_a_refresh`, `p8_redis_killed_at_any_step_of_a_refresh`, `p8_a_process_killed_at_any_step_of_a_save_leaves_the_old_tokens_or_the_new`, `p8_killed_while_its_save_is_on_the_way` | Each step of a refresh, each step of a save; a full disk | A power failure of a real disk, beyond the order of syncs and renames; a Redis that forgets what it has acknowledged |
//! | P9 | A body that can't be sent again is sent exactly once | `p9_body_that_cant_be_sent_again_is_sent_once_and_the_next_request_finds_the_new_token`, `p9_a_body_still_being_sent_when_the_401_comes_is_not_sent_again`, `p9_what_is_sent_again_is_what_was_sent`, `p9_repeat_is_the_same_request_save_for_its_token` | 3,000 random bodies and pollings in each run; [fuzzing](#fuzzing) of the bodies and of the whole repeat | A [`RepeatableBody`](crate::body::RepeatableBody) of your own whose copy differs |
//! | P10 | Failure to refresh never evicts a token that is still valid | `p10_failing_refresh_in_the_advised_window_never_stops_a_valid_token`, `p10_failing_store_in_the_advised_window_never_stops_a_valid_token`, `p10_while_the_token_is_valid_no_failure_of_the_endpoint_shows`, `p10_wall_clock_set_ahead_with_the_endpoint_down_does_not_stop_a_valid_token` | Sixteen kinds of failure of the endpoint, those of the store, both clocks set ahead and back | A token that the API withdraws early; the 401 that tells of it is then the caller's |
//!
//! # What can be lost
//!
//! TeamUp knows no way to ask again for an answer. When the network or the process dies between
//! TeamUp's rotation and the moment in which the answer is written down, the rotated token is gone,
//! and no client can help it. The exchange is then of *unknown* outcome: the crate reads the store
//! again and sends the token once more, for it may not have been spent. A server that takes a second
//! use for a theft answers by ending the login, and the credential says
//! [re-authorization required](crate::Error::is_login_required). That is the only case: once
//! the answer that rotated a token has arrived, or a refusal, the token is never sent again. The soak
//! tells the two apart by the server's journal.
//!
//! # The model
//!
//! `tests/model` drives the real layer and credentials through random histories under paused time, and
//! a sequential model of what they may do watches. A history has up to 59 steps: requests in both modes,
//! with bodies that can be sent again and bodies that can't, dropped after any number of polls; tokens
//! revoked; exchanges granted, refused, unreachable, slow, garbage, lost before and after the rotation;
//! a wall clock set ahead and back; logins, signing out, shutting down; a store that fails, hangs, or
//! does its work and reports a failure; another process that refreshes or logs in. After each step, and
//! at the end, the promises are checked. A history that fails shrinks, and is kept as a case of
//! regression.
//!
//! | run | what it was |
//! | --- | --- |
//! | `cargo test -p tests --test model`, with every run of the tests | 1,000 histories, some 30,000 steps and 20,000 requests |
//! | `MODEL_HISTORIES=10000 cargo test -p tests --test model -- --nocapture` | 10,000 histories, 301,204 steps, 209,405 requests, 38,547 exchanges, 1032 days of their time; passed |
//!
//! Not shown by it: the model follows what it sees, so where two changes of the tokens overlap either
//! order passes. With an inner stack of limited room, the order of tokens and the "at once" of P10 are not
//! checked. It runs on one thread. Of 32 faults put into the code by hand it finds 30; the interleavings
//! find the other two.
//!
//! # The interleavings
//!
//! The state machine of the single flight and the cell run under a checker
//! ([shuttle](https://docs.rs/shuttle)) that decides which thread goes next. Small scenes of the desk are
//! run in **every** order, with each run of the tests:
//!
//! | scene | orders |
//! | --- | --- |
//! | two callers, one refresh: `p1_two_callers_share_one_refresh_in_every_order` | 248,325 |
//! | the first waiter is dropped: `p2_the_first_waiter_dropped_leaves_the_refresh_to_the_other_in_every_order` | 191,116 |
//! | shutdown while refreshing: `p2_shutdown_waits_for_the_refresh_under_way_in_every_order` | 9,065 |
//! | a caller comes as the driver goes home: `p1_a_caller_who_comes_as_the_driver_goes_home_is_served_in_every_order` | 4,779 |
//! | publish while a service copies what it read: `p10_the_copy_of_a_service_follows_what_is_published_in_every_order` | 2,408 |
//! | the driver vanishes: `p2_a_driver_that_vanishes_leaves_nobody_waiting_in_every_order` | 987 |
//! | publish while loading: `p10_a_load_sees_the_old_token_or_the_new_one_in_every_order` | 120 |
//!
//! Eight scenes of the whole credential (`p2_no_refresh_starts_while_the_last_pair_is_unsaved` and
//! `p2_new_tokens_set_while_refreshing_win` among them), its endpoint and its store scripted, are run in
//! orders drawn by lot, half of them with few preemptions: 3,000 for each scene with the tests, 20,000 for
//! each (160,000 in all) with `RUSTFLAGS="--cfg heavy_tests" INTERLEAVINGS=20000 cargo test --lib interleavings -- --nocapture`.
//!
//! Not shown by them: the algorithms of arc-swap and of Tokio's mutex, whose operations are one step each;
//! memory orders weaker than sequential consistency; limits of time, which the model lets pass. Of 14
//! faults put in by hand they find 13. The one that survives lets the ledger go before the driver takes
//! its next flight: to matter it needs a save that fails within some ten steps of another task.
//!
//! # Faults put in on purpose
//!
//! A test that can't fail proves nothing, so the code was broken in order to see who notices.
//!
//! | where | by | broken | noticed | the rest |
//! | --- | --- | --- | --- | --- |
//! | `credentials/`, `refresh/` and the way of a request | hand, for the model | 32 | 30 | the interleavings notice both |
//! | `credentials/` | hand, for the interleavings | 14 | 13 | told [above](#the-interleavings) |
//! | `credentials/` | `cargo mutants`: 381 changes, of which 128 don't compile | 253 | 252 | a token of another process that expires in this very millisecond may be adopted or not: it is renewed right after |
//! | `refresh/` | `cargo mutants`: 293 changes, of which 71 don't compile | 222 | 221 | the words of a parser's complaint, of which only the position is shown |
//! | `service.rs`, `future.rs`, `detour.rs`, `admit.rs`, `origin.rs`, `memo/` | `cargo mutants`: 197 changes, of which 64 don't compile | 133 | 126 | five have a test now; two only copy short texts more slowly: `scripts/overhead` notices one, the other costs a GET 13 instructions |
//!
//! The changes of [cargo-mutants](https://mutants.rs) met the unit tests first, those that survived the
//! in-process tests (`core`), then the model and the tests of metrics, secrets and files. A run that hangs
//! counts as noticed. Two are noticed elsewhere only: one by the tests of a build without `xml`, one by the
//! processes that are killed. What survived at first, save for the four in the table, has a test now. To
//! repeat it: `cargo mutants --all-features -f 'src/refresh/**'`, and patience.
//!
//! # The soak
//!
//! `cargo run --release -p examples --example soak -- --seconds 60` lets 224 callers of 14 credentials loose on
//! two fake servers over real TCP, HTTP/1.1 and HTTP/2, without a store, with one in memory and in
//! files, two credentials to a file among them. Tokens live for a second and are expired earlier at
//! random. Connections drop before and after the rotation, answers are late, 5xx, 429, garbage, cut
//! off or without a key; 401s come for no reason. One call in 25 is given up after one to five polls,
//! one in 50 goes to another host.
//!
//! In a minute, on two cores with other programs at work:
//!
//! ```text
//! the most of the second third of the time → of the last: 173 → 171 MiB allocated, 212 → 215 MiB held, 782 → 778 tasks
//! tasks after: 0, before: 0
//! requests=2020447 ok=1811710 repeated=9816 exchanges=3109 cancelled=15724 lost=0 double_spent=0 leaked=0
//! ```
//!
//! | figure | asserted to be 0, from the servers' journals |
//! | --- | --- |
//! | `lost` | credentials that can't refresh any more in the end, in memory or from what their store holds; logins that no lost answer explains; tokens sent that were revoked or never minted |
//! | `double_spent` | refresh tokens sent again although the client had been told that they were spent; on the server that loses no rotated token, every second use |
//! | `leaked` | requests at the foreign server with a token in them; lines of the log with one |
//!
//! Every task has ended when the last handle is dropped, or the example fails. What is allocated goes up
//! and down with what is in flight, between 100 and 200 MiB, in a run of a minute as in one of two and a
//! half; what the allocator keeps of freed memory grows ever more slowly (186 MiB after a minute, 214
//! after two). `.ci/run` soaks for 10 s.
//!
//! # Fuzzing
//!
//! `scripts/fuzz SECONDS` fuzzes each target with libFuzzer and the stable compiler, overflow checks
//! on; `.ci/run` does for 10 s each. The figures are of 150 s each, on a fraction of one core, from
//! the seeds in `fuzz/corpus`:
//!
//! | target | what is fuzzed | what must hold | executions | edges | features | findings |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | `answer_json` | the decoder of answers in JSON, granting and refusing, whole and cut off | no panic; the token that was sent stands in no error; what is granted is a token | 4,739,665 | 1,729 | 6,613 | 0 |
//! | `answer_xml` | the same in XML | the same | 3,887,039 | 1,584 | 6,273 | 0 |
//! | `challenge` | `WWW-Authenticate` | no panic; of a well-formed list, the right verdict | 1,915,316 | 393 | 2,473 | 0 |
//! | `retry_after` | `Retry-After` | no panic; an hour at most; a number of seconds is that number | 19,588,499 | 397 | 617 | 0 |
//! | `stored_tokens` | the file store's reader | no panic; what it reads it can write and read again as the same | 8,168,595 | 871 | 3,668 | 0 |
//! | `replay_body` | `ReplayBody` under any polling, dropping and copying, of bodies that lie about their size too | no panic; a copy that calls itself complete yields what was sent | 2,468,711 | 476 | 2,524 | 0 |
//! | `repeated_request` | the recording of a request: the layer, a 401, the repeat | both sends are the caller's request and the layer's headers; method, URI, version, headers with their order and their sensitivity, extensions and body are the same | 892,942 | 2,194 | 5,039 | 0 |
//!
//! # The witness
//!
//! In the in-process, the stack, the real-TCP, the reqwest, the exchange's and the stores' tests one
//! subscriber and one recorder hear the whole test program: each event and span of this crate at every level, those of other crates
//! from `info` on (from `trace` on in the tests of silence), the name and labels of each metric; and
//! each error and answer that passes the tests' own rooms, with all that lies behind it, in `Display`
//! and `Debug`. All of it is searched for tokens while it is said, and a find ends the program: a panic
//! could be caught on its way, by a task or by the credential itself. The tests of what goes wrong around
//! a credential, and those of whole processes, search their logs in the same way. Every token that a fake server mints bears a
//! mark, and [`FakeTeamUp`](../../testing/struct.FakeTeamUp.html) can be asked whether a text holds one
//! of its own.
//!
//! # The checking service
//!
//! Below every stack of those tests (save for reqwest's client, which has no readiness) stands a
//! service that ends the program when it is called without a `poll_ready` of its own, when a clone is
//! called that nobody has readied, and when it was readied before an exchange began and is neither
//! called nor given back when the exchange is over. `p6_the_checking_service_notices_both_breaches`
//! breaks the contract on purpose.
//!
//! # In production
//!
//! [`docs::metrics`](super::metrics) lists what a program can count of all this while it runs.
