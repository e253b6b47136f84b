//! What the crate guarantees, the tests that show it, and what is not shown.
//!
//! A test whose name begins with `p1_` to `p12_` shows the guarantee of that number. The tables name
//! some of them. [`proof`](super::proof) tells how the state machine behind them is explored. The
//! terms are those of [`internals`](super::internals#terms).
//!
//! # P1: one refresh for each generation
//!
//! However many callers, processes or hosts ask for a new token, one refresh request is sent. A completed
//! refresh always ends the generation, whatever text the new token has.
//!
//! | callers | test |
//! | --- | --- |
//! | 10,000 in one process | `p1_ten_thousand_callers_on_an_expired_token_share_one_refresh_request` |
//! | 10,000 answered 401 | `p1_ten_thousand_401s_cost_one_refresh_request_and_no_caller_sees_one` |
//! | two processes with one store | `p1_two_processes_that_share_a_store_cause_one_refresh_request` |
//! | three processes, in every order | `p1_p8_p11_hold_for_three_processes_whatever_interleaves` |
//!
//! - Bound: every sequence of three events, 5,000 longer ones, three processes with one fault, 1,000
//!   drawn interleavings of threads; 10,000 callers over a real connection.
//! - Not shown: that a store's lease excludes others while clocks jump. Each store's tests show it for
//!   its own kind of clock.
//!
//! # P2: no rotated token is lost
//!
//! Nothing that happens to a caller, a task, a subscriber or a process that stands still loses a rotated
//! token, or sends a spent one again, as long as the response reached this machine while the runtime that
//! sent the request lives.
//!
//! | event | test |
//! | --- | --- |
//! | a response arrives | `p2_answer_is_recorded_before_it_is_saved_and_published_after` |
//! | a caller is dropped at any await point | `p2_only_waiter_for_a_token_dropped_at_every_await_point_loses_nothing` |
//! | a caller times out | `p2_a_caller_that_times_out_leaves_the_refresh_running` |
//! | the worker is lost | `p2_answer_that_is_lost_with_its_worker_counts_as_unknown` |
//! | the save fails | `p2_no_refresh_request_is_sent_while_the_last_answer_is_unsaved` |
//!
//! - Bound: the same, each worker lost at any await point in drawn interleavings, and random histories of up
//!   to three processes that stand still, die and share a store that loses writes.
//! - Not shown: a response that reached the machine and not the runtime, which was dropped before.
//!
//! # P3: one retry, no loop
//!
//! A request is retried once at most, whatever the server answers. One route or one mode that refuses
//! fresh tokens does not keep others from being refreshed.
//!
//! | server | test |
//! | --- | --- |
//! | answers 401 to everything | `p3_server_that_answers_401_permanently_gets_each_request_twice_at_most` |
//! | answers 401 on one route | `p3_a_route_that_is_remembered_does_not_use_up_the_limit_of_others` |
//! | answers 401 to a retry layer above | `p3_above_retry_of_401s_ends` |
//!
//! - Bound: each answer that the tests name, from each of two sends; three refresh requests for one
//!   refresh in every explored sequence.
//! - Not shown: loops that a layer above makes, other than the retry layer of tower.
//!
//! # P4: tokens stay within allowed origins
//!
//! A token never goes to an origin that is not allowed, on either send, however the URI or `Host` is
//! written.
//!
//! | request | test |
//! | --- | --- |
//! | to another host | `p4_request_to_elsewhere_passes_untouched` |
//! | after a redirect | `p4_a_redirect_layer_outside_carries_no_token_to_another_host_on_either_send` |
//! | with an odd path | `p4_a_path_that_would_be_read_as_part_of_the_host_is_sent_nowhere` |
//!
//! - Bound: the URIs and `Host` values of the tests; redirects of reqwest and of tower-http.
//! - Not shown: what a client below does with a redirect that it follows by rules of its own.
//!
//! # P5: no secret is shown
//!
//! No secret is in `Debug`, `Display`, errors, events or metrics.
//!
//! | place | test |
//! | --- | --- |
//! | each public type | `p5_every_public_type_is_shown_and_shows_no_secret` |
//! | events and errors of every failure | `p5_no_token_is_traced_or_shown_whatever_goes_wrong` |
//! | a response of the endpoint | `p5_an_error_repeats_nothing_of_the_body_but_teamups_own_fields` |
//!
//! - Bound: each public type, each event and each error of the tests. Every freed block is looked into:
//!   `p5_a_refresh_in_every_form_leaves_nothing_but_what_is_named_in_freed_memory`.
//! - Not shown: header values and what hyper reads and writes hold tokens, and are not wiped.
//!
//! # P6: a waiting request holds nothing
//!
//! While a request waits for a refresh it holds nothing of the inner stack: no readiness, no connection,
//! no response body, no flow-control window.
//!
//! | resource | test |
//! | --- | --- |
//! | a concurrency limit of one | `p6_concurrency_limit_of_one_shared_with_the_refresh_request_does_not_deadlock` |
//! | readiness | `p6_future_dropped_at_any_await_point_gives_its_place_back` |
//! | memory for the bodies of 401s | `p6_all_waiting_requests_together_keep_4_mib` |
//!
//! - Bound: a limit of one place, with each await point of the wait dropped.
//! - Not shown: inner services that hold a resource outside of readiness, response and connection.
//!
//! # P7: mode and token match
//!
//! `TeamUp-Request-Mode` always matches the type of the token beside it.
//!
//! | requests | test |
//! | --- | --- |
//! | both modes, while tokens expire | `p7_a_hundred_interleaved_requests_of_both_modes_match_their_tokens_while_those_expire` |
//! | an unknown mode | `p7_unknown_mode_is_an_error_before_anything_is_sent` |
//!
//! - Bound: 100 interleaved requests, every history of the model.
//! - Not shown: what TeamUp does with a token of the other mode.
//!
//! # P8: a crash leaves a store that loads
//!
//! After a crash at any point the store holds the old record or the new one.
//!
//! | killed | test |
//! | --- | --- |
//! | a process, in a save | `p8_a_process_killed_at_any_step_of_a_save_leaves_the_old_record_or_the_new` |
//! | Redis | `p8_redis_killed_at_each_step_and_within_each_command` |
//! | PostgreSQL | `p8_postgres_killed_at_each_step_and_within_each_statement` |
//! | a process over SQLite | `p8_sqlite_killed_at_each_step` |
//!
//! - Bound: each step and each statement of a save, in each store, with the process or server killed.
//! - Not shown: a file system or a server that confirms a write and loses it, as power loss may.
//!
//! # P9: nothing is carried out twice
//!
//! A body that can't be sent again is sent once. A request that was carried out is not sent again.
//!
//! | body | test |
//! | --- | --- |
//! | a stream | `p9_a_stream_is_sent_once_and_the_next_request_finds_the_new_token` |
//! | still being sent at the 401 | `p9_a_body_still_being_sent_when_the_401_comes_is_not_sent_again` |
//! | recorded | `p9_what_is_sent_again_is_what_was_sent` |
//! | after a redirect | `p9_only_a_safe_request_is_sent_again_after_a_redirect` |
//!
//! - Bound: the bodies of the tests; 303 answers of two clients; recordings drawn by libFuzzer.
//! - Not shown: a server that carries out a request and answers 401 without a redirect.
//!
//! # P10: failures take nothing away
//!
//! No failed or rejected refresh takes away an access token that still works, nor the login, unless
//! TeamUp itself said so of that token.
//!
//! | failure | test |
//! | --- | --- |
//! | of the endpoint | `p10_while_the_token_is_valid_no_failure_of_the_endpoint_shows` |
//! | a page of a firewall | `p10_only_teamups_own_word_about_the_token_ends_a_login` |
//! | a rejection | `p10_rejection_is_saved_and_leaves_the_access_token` |
//!
//! - Bound: every class of failure at every point of the explored sequences.
//! - Not shown: which answer TeamUp gives to a dead refresh token. Nobody outside knows it.
//!
//! # P11: logins never mix
//!
//! No record, retry or waiting request of one login ever uses another's tokens.
//!
//! | case | test |
//! | --- | --- |
//! | requests wait | `p11_login_takes_effect_at_once_and_fails_all_who_wait_for_the_one_before` |
//! | the inner service is not ready yet | `p11_request_whose_login_changes_while_its_service_is_readied_is_not_sent` |
//! | two processes log in | `p11_at_equal_revisions_the_greater_login_wins_and_gets_one_above` |
//! | two users' stores | `p11_two_keys_never_meet_and_any_key_is_safe` |
//!
//! - Bound: logins and sign-outs at every point of the explored sequences, in one process and in three;
//!   two at once in drawn interleavings of threads.
//! - Not shown: two logins that draw the same 128 random bits.
//!
//! # P12: a clean end
//!
//! `shutdown` and `flush` return `Ok` only when nothing exists in memory alone and no lease is held. A
//! program that ends without them, with no request under way, has normally nothing to lose.
//!
//! | end | test |
//! | --- | --- |
//! | `shutdown` | `p12_shutdown_is_ok_only_when_the_lease_is_given_back` |
//! | `shutdown`, the store fails | `p12_shutdown_tries_once_and_names_the_cause_and_may_be_called_again` |
//! | none | `p12_request_that_was_served_leaves_no_lease_behind` |
//!
//! - Bound: `shutdown` and `flush` at every point of the explored sequences, with the store failing.
//! - Not shown: a store that says `Ok` and has not saved.
//!
//! # What can be lost
//!
//! TeamUp documents no way to ask again for a response. In these cases a rotated token is gone, or a
//! refresh token is sent a second time although it was spent:
//!
//! - The response never reaches this machine.
//! - The runtime that sent the refresh request is dropped while the request is under way.
//! - The process dies between the response and the end of the save.
//! - The lease runs out while its holder stands still, and another process refreshes.
//! - The store loses a write that it had confirmed (a failover to a replica that lags).
//! - A login is replaced while its refresh request is under way. Its response has no value.
//!
//! After an unknown outcome the store is read again, and one further request is sent. If that one is
//! rejected, the error says that a response was lost before.
//!
//! # What is not shown
//!
//! - Memory orders weaker than sequential consistency, and the algorithms of arc-swap and Tokio.
//! - The real TeamUp service: every test runs against `testing::FakeTeamUp` or a scripted server.
//! - Windows: its code is compiled and not run.
//! - Every interleaving of threads around the mutex of the state: `scripts/interleavings` draws them.
//!   The state itself is explored.
//!
//! # Further tests
//!
//! | what | run |
//! | --- | --- |
//! | random histories, watched by a sequential model | `MODEL_HISTORIES=10000 cargo test -p tests --test model` |
//! | load with faults over real TCP | `cargo run --release -p examples --example soak -- --seconds 60` |
//! | decoders, recordings, the state machine and the proxy under libFuzzer | `scripts/fuzz SECONDS` |
//! | interleavings of threads and tasks under shuttle | `scripts/interleavings EXECUTIONS` |
//!
//! 300 histories run with the tests. A history that fails shrinks, and is kept as a regression. The last
//! line of the soak counts what was lost, spent twice or leaked, from the servers' journals.
