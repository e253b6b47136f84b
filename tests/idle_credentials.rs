//! What an idle credential costs: a service may hold one for each of its users.

use std::alloc::System;

use http_body_util::Full;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{BoxError, service_fn};
use tower_teamup_auth::{Credentials, RequestMode, TokenSet};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const USERS: usize = 10_000;

#[tokio::test(flavor = "current_thread")]
async fn idle_credential_costs_at_most_so_many_bytes_and_no_task() {
    let http_client = service_fn(|_: http::Request<Full<bytes::Bytes>>| async {
        Err::<http::Response<String>, BoxError>("idle credentials send nothing".into())
    });
    let builder = Credentials::builder(RequestMode::Customer).refresh_client(http_client);
    let mut users = Vec::with_capacity(USERS);
    let region = Region::new(ALLOCATOR);
    for user in 0..USERS {
        // Tokens of 40 characters. Each further one of an access token counts twice: once in the set
        // that is stored, once in the header value that is sent.
        let tokens = TokenSet::new(format!("{user:040}").parse().unwrap()).with_access_token(
            RequestMode::Customer,
            format!("{user:040}").parse().unwrap(),
            None,
        );
        users.push(builder.clone().tokens(tokens).build().await.unwrap());
    }
    let change = region.change();
    let each = (change.bytes_allocated - change.bytes_deallocated) / USERS;
    // Measured: 1,681. The goal is 1,024 beside the tokens.
    assert!(each <= 1700, "{each} bytes each");
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);

    // Asking is free of lasting cost, save for what each thread keeps from its first time on; and a
    // subscriber pays for those alone that it watches.
    users[0].status();
    let region = Region::new(ALLOCATOR);
    assert!(users.iter().all(|credentials| credentials.status().is_ready()));
    let change = region.change();
    assert_eq!(change.bytes_allocated, change.bytes_deallocated);
    let changes: Vec<_> = users.iter().take(100).map(Credentials::subscribe).collect();
    let watched = region.change();
    let each = (watched.bytes_allocated - watched.bytes_deallocated) / changes.len();
    assert!(each <= 1024, "{each} bytes for a subscriber");
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}
