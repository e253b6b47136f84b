//! What the crate guarantees, which tests show it, to which bound, and what is not shown.
//!
//! A test whose name begins with `p1_` to `p12_` shows the guarantee of that number. The table names
//! some of them. [`proof`](super::proof) tells how the state machine behind the guarantees is explored.
//!
//! | | guarantee | some of its tests |
//! | --- | --- | --- |
//! | P1 | one refresh for each generation | `p1_ten_thousand_callers_on_an_expired_token_share_one_refresh_request`, `p1_two_processes_that_share_a_store_cause_one_refresh_request`, `p1_p8_p11_hold_for_three_processes_whatever_interleaves` |
//! | P2 | nothing that happens to a caller, a task or a subscriber loses a rotated token | `p2_answer_is_recorded_before_it_is_saved_and_published_after`, `p2_answer_that_is_lost_with_its_worker_counts_as_unknown`, `p2_a_caller_that_times_out_leaves_the_refresh_running` |
//! | P3 | one retry at most, and no loop | `p3_server_that_answers_401_for_ever_gets_each_request_twice_at_most`, `p3_a_route_that_is_remembered_does_not_use_up_the_limit_of_others`, `p3_above_retry_of_401s_ends` |
//! | P4 | a token never goes to an origin that is not allowed | `p4_request_to_elsewhere_passes_untouched`, `p4_a_redirect_layer_outside_carries_no_token_to_another_host_on_either_send`, `p4_a_path_that_would_be_read_as_part_of_the_host_is_sent_nowhere` |
//! | P5 | no secret in `Debug`, `Display`, errors, events or metrics | `p5_every_public_type_is_shown_and_shows_no_secret`, `p5_no_token_is_traced_or_shown_whatever_goes_wrong`, `p5_an_error_repeats_nothing_of_the_body_but_teamups_own_fields` |
//! | P6 | a request that waits holds nothing of the inner stack | `p6_concurrency_limit_of_one_shared_with_the_refresh_request_does_not_deadlock`, `p6_future_dropped_at_any_await_point_gives_its_place_back`, `p6_all_waiting_requests_together_keep_4_mib` |
//! | P7 | `TeamUp-Request-Mode` matches the type of the token beside it | `p7_a_hundred_interleaved_requests_of_both_modes_match_their_tokens_while_those_expire`, `p7_unknown_mode_is_an_error_before_anything_is_sent` |
//! | P8 | a crash leaves a store that loads, with the old record or the new one | `p8_a_process_killed_at_any_step_of_a_save_leaves_the_old_record_or_the_new`, `p8_redis_killed_at_each_step_and_within_each_command`, `p8_postgres_killed_at_each_step_and_within_each_statement`, `p8_sqlite_killed_at_each_step` |
//! | P9 | a body that can't be sent again is sent once; what was carried out is not sent again | `p9_a_body_still_being_sent_when_the_401_comes_is_not_sent_again`, `p9_what_is_sent_again_is_what_was_sent`, `p9_a_stream_is_sent_once_and_the_next_request_finds_the_new_token` |
//! | P10 | no failure takes away an access token that works, nor the login | `p10_while_the_token_is_valid_no_failure_of_the_endpoint_shows`, `p10_only_teamups_own_word_about_the_token_ends_a_login`, `p10_rejection_is_saved_and_leaves_the_access_token` |
//! | P11 | logins never mix | `p11_login_takes_effect_at_once_and_fails_all_who_wait_for_the_one_before`, `p11_at_equal_revisions_the_greater_login_wins_and_gets_one_above`, `p11_two_keys_never_meet_and_any_key_is_safe` |
//! | P12 | `shutdown` and `flush` are `Ok` only when nothing is in memory alone and no lease is held | `p12_shutdown_is_ok_only_when_the_lease_is_given_back`, `p12_shutdown_tries_once_and_names_the_cause_and_may_be_called_again`, `p12_request_that_was_served_leaves_no_lease_behind` |
//!
//! # What can be lost
//!
//! TeamUp documents no way to ask again for an answer. These are the cases in which a rotated token is
//! gone, or a refresh token is sent a second time although it was spent:
//!
//! - The answer never reaches this machine.
//! - The runtime that sent the refresh request is dropped while the request is under way.
//! - The process dies between the answer and the end of the save.
//! - The lease runs out while its holder stands still, and another process refreshes.
//! - The store loses a write that it had confirmed (a failover to a replica that lags).
//! - A login is replaced while its refresh request is under way. Its answer has no value.
//!
//! After an unknown outcome the store is read again, and one further request is sent. If that one is
//! rejected, the error says that an answer was lost before.
//!
//! # What is not shown
//!
//! - Memory orders weaker than sequential consistency, and the algorithms of arc-swap and Tokio.
//! - The real TeamUp service: every test runs against `testing::FakeTeamUp` or a scripted server.
//! - Windows: its code is compiled and not run.
//! - The interleavings of threads around the mutex of the state. The state itself is explored.
//!
//! # The model
//!
//! `tests/model` drives the real layer and credentials through random histories under paused time, and
//! a sequential model of what they may do watches: 1,000 histories with the tests, more with
//! `MODEL_HISTORIES=10000 cargo test -p tests --test model -- --nocapture`. A history that fails
//! shrinks, and is kept as a regression.
//!
//! # The soak
//!
//! `cargo run --release -p examples --example soak -- --seconds 60` lets callers of several credentials
//! loose on fake servers over real TCP, while connections drop, answers are late and callers give up.
//! Its last line counts what was lost, spent twice or leaked, from the servers' journals.
//!
//! # Fuzzing
//!
//! `scripts/fuzz SECONDS` fuzzes each target with libFuzzer and the stable compiler, overflow checks on:
//! the responses of the endpoint in JSON and XML, challenges, `Retry-After`, stored records, `ReplayBody`,
//! and the recording of a request.
