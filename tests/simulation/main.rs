//! A fleet of hosts that share one login, simulated: the shipped layer and credentials in one thread with a
//! paused clock, one Redis that fails over and loses writes, one TeamUp that limits the rate, and links,
//! hosts and clocks that fail. A seed draws everything, so that what fails once fails again.
//!
//! | file | role |
//! | --- | --- |
//! | `world` | the time, the chances, the links |
//! | `teamup`, `redis` | the two servers |
//! | `host` | a credential and its callers |
//! | `incidents` | what goes wrong, and when |
//! | `fleet` | a history from begin to end |
//! | `oracle` | what must hold, and which losses have a name |

mod fleet;
mod host;
mod incidents;
mod oracle;
mod redis;
mod teamup;
mod world;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::Builder;

use crate::oracle::Oracle;

/// Seeds that failed once. They run first, in each later run.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds.txt");

#[derive(Default)]
struct Total {
    seeds: usize,
    rotated: u64,
    rejected: u64,
    limited: u64,
    calls: u64,
    refused: u64,
    violations: usize,
    causes: BTreeMap<&'static str, u64>,
    adoption: Vec<u64>,
}

impl Total {
    fn add(&mut self, oracle: &Oracle) {
        self.seeds += 1;
        self.rotated += oracle.rotated;
        self.rejected += oracle.rejected;
        self.limited += oracle.limited;
        self.calls += oracle.calls;
        self.refused += oracle.refused;
        self.violations += oracle.violations.len();
        for (cause, count) in &oracle.causes {
            *self.causes.entry(cause).or_default() += count;
        }
        self.adoption.extend(oracle.adoption_times());
    }
}

fn live(seed: u64, hosts: usize) -> Oracle {
    // The crate draws its jitter from this thread's generator.
    fastrand::seed(seed);
    let runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(fleet::run(seed, hosts))
}

fn keep(seed: u64, hosts: usize) {
    let file = OpenOptions::new().create(true).append(true).open(KEPT);
    if let Err(error) = file.and_then(|mut file| writeln!(file, "{seed} {hosts}")) {
        println!("seed {seed} can't be kept in {KEPT}: {error}");
    }
}

fn known_seeds() -> Vec<(u64, usize)> {
    let text = fs::read_to_string(KEPT).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(seed, hosts)| Some((seed.parse().ok()?, hosts.trim().parse().ok()?)))
        .collect()
}

/// `simulation SEEDS [HOSTS [FIRST_SEED]]`
fn main() -> ExitCode {
    let arguments: Vec<u64> =
        std::env::args().skip(1).map(|text| text.parse().expect("a number")).collect();
    let seeds = arguments.first().copied().unwrap_or(100);
    let hosts = usize::try_from(arguments.get(1).copied().unwrap_or(200)).expect("few hosts");
    let first = arguments.get(2).copied().unwrap_or(1);
    let old = if arguments.len() > 2 { Vec::new() } else { known_seeds() };
    let mut jobs = old.clone();
    jobs.extend((first..first + seeds).map(|seed| (seed, hosts)));

    let (next, total) = (AtomicUsize::new(0), Mutex::new(Total::default()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&(seed, hosts)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let oracle = live(seed, hosts);
                    let mut total = total.lock().expect("no panic");
                    total.add(&oracle);
                    for violation in oracle.violations.iter().take(5) {
                        println!("seed {seed}, {hosts} hosts: {violation}");
                    }
                    if !oracle.violations.is_empty() && !old.contains(&(seed, hosts)) {
                        keep(seed, hosts);
                    }
                }
            });
        }
    });

    let mut total = total.into_inner().expect("no panic");
    for (cause, count) in &total.causes {
        println!("allowed, and counted: {cause}: {count}");
    }
    total.adoption.sort_unstable();
    let at = |share: usize| {
        let index = (total.adoption.len().saturating_sub(1)) * share / 100;
        total.adoption.get(index).map_or(0, |millis| millis / 1000)
    };
    println!(
        "calls={} refused_to_callers={} rate_limited={} adopted_by_all_after_s: p50={} p99={}",
        total.calls,
        total.refused,
        total.limited,
        at(50),
        at(99)
    );
    println!(
        "seeds={} hosts={hosts} refreshes={} rejected={} violations={}",
        total.seeds, total.rotated, total.rejected, total.violations
    );
    if total.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
