//! What a request costs through `tower-teamup-auth`, and through what others offer for the same task.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! prints the tables, on Linux with two cores and valgrind. Instructions are counted by callgrind in a
//! child process, as the difference between two runs of different length; heap operations by a counting
//! allocator. Both come to the same in each run of one build, to one in a hundred at worst: some candidates
//! have a random hash seed or a task of their own. Nanoseconds are the median of many short rounds, in
//! each of which every candidate takes its turn on one thread and on two; compare them within one run
//! only. Everything is given over what the same request costs without any of the candidates.

#[path = "../../overhead/callgrind.rs"]
mod callgrind;
#[path = "../../overhead/cores.rs"]
mod cores;
#[allow(dead_code, reason = "bytes are counted elsewhere")]
#[path = "../../overhead/counting.rs"]
mod counting;
mod drive;
mod inner;
mod peers;
mod rounds;
#[path = "../../overhead/stopwatch.rs"]
mod stopwatch;
mod table;
#[allow(dead_code, reason = "calls are made here in a way that can wait")]
#[path = "../../overhead/workloads.rs"]
mod workloads;

use std::env;

use drive::Workload;
use peers::Peer;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--child", peer, workload, calls] => {
            let run = (Peer::named(peer).build)();
            run(Workload::named(workload), calls.parse().expect("a number of calls"));
        }
        [] => table::print(),
        _ => panic!("this program takes no arguments"),
    }
}
