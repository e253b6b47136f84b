//! What a request costs on its way through the layer.
//!
//! `cargo bench --bench overhead` runs everything and ends in lines that a program can read:
//! `metric=NAME value=V goal=G unit=U`. Instructions are counted by valgrind's callgrind in a child
//! process, as the difference between two runs of different length, so that start-up costs nothing;
//! heap operations and bytes by a counting allocator; both repeat exactly.

mod child;
mod counting;
mod workloads;

use std::env;

use tower_layer::Layer;
use tower_teamup_auth::{Auth, AuthLayer, Credentials};

use workloads::Bare;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// A layered service whose token is fresh, as it is on the path of almost every request.
fn layered() -> Auth<Bare> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let credentials = runtime
        .block_on(async {
            let refresh = child::NeverRefreshed;
            let tokens = tower_teamup_auth::TokenSet::new("a-refresh-token".parse()?)
                .with_access_token(
                    tower_teamup_auth::RequestMode::Provider,
                    child::ACCESS_TOKEN.parse()?,
                    Some(std::time::Duration::from_secs(7200)),
                );
            Credentials::builder(tower_teamup_auth::RequestMode::Provider)
                .tokens(tokens)
                .refresh_with(refresh)
                .build()
                .await
        })
        .expect("good credentials");
    AuthLayer::new(credentials).layer(Bare)
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--child") {
        child::run(&arguments[at + 1], arguments[at + 2].parse().expect("a number of calls"));
        return;
    }
    let runs = [
        ("get_long_lived", "get", 1350.0, 0.0),
        ("get_clone_oneshot", "get_clone", 1600.0, 0.0),
        ("post_8_headers_1_kib", "post", 1900.0, 1.0),
        ("body_sent_once", "once", 690.0, 0.0),
    ];
    for (name, workload, goal, heap_goal) in runs {
        let instructions =
            child::instructions(workload) - child::instructions(&format!("bare_{workload}"));
        println!(
            "metric=instructions_{name} value={instructions:.0} goal={goal} unit=instructions"
        );
        let heap = child::heap(workload) - child::heap(&format!("bare_{workload}"));
        println!("metric=heap_operations_{name} value={heap} goal={heap_goal} unit=operations");
    }
    let floor = child::instructions("by_hand") - child::instructions("bare_get");
    println!("metric=instructions_by_hand value={floor:.0} unit=instructions");
    println!("metric=future_size value={} goal=64 unit=bytes", child::future_size());
}
