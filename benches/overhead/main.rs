//! What a request costs on its way through the layer.
//!
//! `cargo bench -p benches --bench overhead` measures everything and ends in lines that a program can read:
//! `metric=NAME value=V goal=G unit=U`. With `-- --repeatable` it measures only what comes to the
//! same in every run: instructions, heap operations, sizes. What the clock says is noisy and given
//! as a ratio within the run.

mod callgrind;
mod child;
mod cores;
mod counting;
mod loopback;
mod memory;
mod necessary;
mod rounds;
mod setup;
mod stopwatch;
mod storm;
mod threads;
mod workloads;

use std::env;

use self::threads::How;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--workload", workload, calls] => child::run(workload, parse(calls)),
        ["--storm", storm, rounds] => storm::run(storm, parse(rounds)),
        ["--client", kind, server, calls] => loopback::run_client(kind, server, parse(calls)),
        _ => {
            repeatable();
            if !arguments.contains(&"--repeatable") {
                noisy();
            }
        }
    }
}

fn parse(calls: &str) -> u32 {
    calls.parse().expect("a number of calls")
}

/// What comes to the same in every run of one build.
fn repeatable() {
    let workloads = [
        ("get", "get", "bare_get", 1250.0, 0.0),
        ("get_clone", "get_clone", "bare_get_clone", 1400.0, 0.0),
        ("post", "post", "bare_post", 1950.0, 1.0),
        ("sent_once", "once", "bare_once", 800.0, 0.0),
        ("get_provider_id", "get_provider_id", "bare_get", 1450.0, 0.0),
        ("credentials_in_extensions", "get_user", "bare_get_user", 1800.0, 1.0),
        ("mode_in_extensions", "get_mode", "bare_get_mode", 2000.0, 1.0),
        ("provider_id_in_extensions", "get_provider", "bare_get_provider", 2000.0, 1.0),
    ];
    for (name, workload, bare, goal, heap_goal) in workloads {
        let instructions = child::instructions(workload, bare);
        print(&format!("instructions_{name}"), instructions.round(), goal, "instructions");
        let operations = child::heap_operations(workload, bare);
        print(&format!("heap_operations_{name}"), operations, heap_goal, "operations");
    }
    // A large head may cost no more than a clone of the request, and one allocation.
    let clone = child::instructions("clone_large", "bare_large");
    print(
        "instructions_large_head",
        child::instructions("large", "bare_large"),
        clone,
        "instructions",
    );
    let operations = child::heap_operations("large", "bare_large");
    print("heap_operations_large_head", operations, 1.0, "operations");
    let floors = [
        ("without_layer", "without_layer", "bare_get"),
        ("get_necessary", "necessary_get", "bare_get"),
        ("get_clone_necessary", "necessary_get_clone", "bare_get_clone"),
        ("post_necessary", "necessary_post", "bare_post"),
        ("sent_once_necessary", "necessary_once", "bare_once"),
    ];
    for (name, workload, bare) in floors {
        let instructions = child::instructions(workload, bare);
        print(&format!("instructions_{name}"), instructions.round(), f64::NAN, "instructions");
    }
    print("future_size", child::future_size() as f64, 64.0, "bytes");
    print("request_in_flight", memory::per_request_in_flight(), 1024.0, "bytes");
    let operations = memory::heap_operations_in_flight();
    print("heap_operations_in_flight", operations, 1.0, "operations");
    let idle = memory::idle_credentials();
    print("idle_credential", idle.bytes.round(), 1024.0, "bytes");
    print("idle_credentials_tasks", idle.tasks as f64, 0.0, "tasks");
}

/// What is measured over TCP or by the clock.
fn noisy() {
    let (bare, layered) = loopback::instructions();
    print("loopback_instructions_bare", bare.round(), f64::NAN, "instructions");
    print("loopback_overhead", 100.0 * (layered - bare) / bare, 4.0, "percent");
    let [layered, without_layer] = storm::instructions();
    print("storm_instructions", layered.round(), f64::NAN, "instructions");
    print("storm_instructions_without_layer", without_layer.round(), f64::NAN, "instructions");
    let storm = storm::storm();
    print("storm_refresh_requests", storm.refresh_requests as f64, 1.0, "requests");
    print("storm_milliseconds", storm.milliseconds, f64::NAN, "milliseconds");
    print("storm_over_retries", storm.ratio, 1.8, "ratio");
    print("storm_without_layer_over_retries", storm.ratio_without_layer, f64::NAN, "ratio");
    let in_a_task = storm.ratio_without_layer_in_a_task;
    print("storm_without_layer_in_a_task_over_retries", in_a_task, f64::NAN, "ratio");
    print("in_flight_nanoseconds", memory::nanoseconds_in_flight(), 200.0, "nanoseconds");
    print("two_threads_over_one", threads::two_over_one(How::Lasting), 1.1, "ratio");
    print("two_threads_over_one_clone", threads::two_over_one(How::Cloned), 1.1, "ratio");
}

/// One line of the result. A figure without a goal is there for comparison.
fn print(metric: &str, value: f64, goal: f64, unit: &str) {
    let goal = if goal.is_nan() { "none".to_owned() } else { goal.to_string() };
    let value = (value * 100.0).round() / 100.0;
    println!("metric={metric} value={value} goal={goal} unit={unit}");
}
