//! What a refresh costs in each token store, over real servers on loopback and real files.
//!
//! `cargo bench -p benches --bench stores` measures all of them, and prints the table of
//! `docs::performance`. After `--` it takes the names of stores, and
//!
//! | option | sets | unless given |
//! | --- | --- | --- |
//! | `--records N,N` | how many records the store holds in turn | 1,100000 |
//! | `--at-once N` | how many credentials refresh at once | 1000 |
//!
//! A refresh is a whole one of a [`Credentials`](tower_teamup_auth::Credentials): lease, record, refresh
//! request, save, release. The refresh request is answered within the process and at once, so what is left
//! is the store's. `redis-server`, PostgreSQL and, for the fsyncs, `strace` must be installed.
//!
//! Files and the servers' data are in the system's temporary folder. `TMPDIR=/dev/shm` in front of the command
//! takes the disk out of the times: an fsync is counted all the same, and takes no time there.

mod count;
mod disk;
mod measure;
#[path = "../../tests/support/postgres.rs"]
mod postgres_server;
#[path = "../../tests/support/redis.rs"]
mod redis_server;
mod refreshes;
mod relay;
#[path = "../overhead/stopwatch.rs"]
mod stopwatch;
mod stores;

/// What is asked for on the command line.
struct Options {
    records: Vec<usize>,
    at_once: usize,
    names: Vec<String>,
}

fn main() {
    let options = options();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure::all(&options));
}

fn options() -> Options {
    let mut options = Options { records: vec![1, 100_000], at_once: 1000, names: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value after each option");
        match argument.as_str() {
            // cargo adds it.
            "--bench" => {}
            "--records" => {
                options.records = value().split(',').map(number).collect();
            }
            "--at-once" => options.at_once = number(&value()),
            name => options.names.push(name.to_owned()),
        }
    }
    options
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}
