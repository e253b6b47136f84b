//! The tables, in Markdown.

use crate::drive::{Run, Workload};
use crate::peers::Peer;
use crate::rounds::{self, Rounds};
use crate::workloads::ACCESS_TOKEN;
use crate::{callgrind, counting};

const LOCK: &str = include_str!("../Cargo.lock");

/// What comes to the same in each run, of one workload over the bare service.
#[derive(Clone, Copy)]
struct Counted {
    instructions: f64,
    operations: f64,
}

/// Measures everything and prints it.
pub(crate) fn print() {
    let runs: Vec<Run> = Peer::ALL.iter().map(|peer| (peer.build)()).collect();
    eprintln!("timing, in rounds");
    let rounds = Rounds::of(&runs);
    let counted: Vec<Vec<Option<Counted>>> = Peer::ALL.iter().zip(&runs).map(count).collect();

    println!("{}\n", setting());
    happy_path(&counted, &rounds);
    println!();
    other_workloads(&counted);
    println!();
    notes();
}

/// The figures of a peer, by workload; not yet over the bare service.
fn count((peer, run): (&&Peer, &Run)) -> Vec<Option<Counted>> {
    eprintln!("counting: {}", peer.title);
    let counted = |workload: Workload| Counted {
        instructions: callgrind::per_call(&["--child", peer.name, workload.name()]),
        operations: counting::per_call(|calls| run(workload, calls)),
    };
    let workloads = Workload::ALL.into_iter();
    workloads
        .map(|workload| peer.workloads.contains(&workload).then(|| counted(workload)))
        .collect()
}

fn over_bare(
    counted: &[Vec<Option<Counted>>],
    at: usize,
    bare: usize,
    workload: Workload,
) -> Option<Counted> {
    let (own, bare) = (counted[at][workload as usize]?, counted[bare][workload as usize]?);
    Some(Counted {
        instructions: own.instructions - bare.instructions,
        operations: own.operations - bare.operations,
    })
}

/// The candidates with their places, and the place of each one's bare service.
fn candidates() -> impl Iterator<Item = (usize, &'static Peer, usize)> {
    Peer::ALL
        .iter()
        .enumerate()
        .filter_map(|(at, peer)| Some((at, *peer, Peer::position(peer.over?))))
}

fn setting() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name"));
    let processor = processor.map_or("unknown", |name| name.trim_start_matches([' ', '\t', ':']));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown");
    format!(
        "What each adds to the bare service, measured in one run on {cores} cores ({processor}); load \
         average {load}. The token is {} bytes long, there, and fresh. Nanoseconds are \
         medians over {} rounds in which all take turns. Compare instructions within these tables: the tracked \
         benchmark is another program, in which they differ by a few in a hundred.",
        ACCESS_TOKEN.len(),
        rounds::ROUNDS,
    )
}

fn happy_path(counted: &[Vec<Option<Counted>>], rounds: &Rounds) {
    println!("GET with three headers, one long-lived service:\n");
    println!(
        "| layer | version | instructions | heap operations | ns, 1 thread | over ours | \
         ns, 2 threads | over ours | headers | on a 401 |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
    let ours = rounds.over(Peer::position("ours"), Peer::position("bare"));
    for (at, peer, bare) in candidates() {
        let figures = over_bare(counted, at, bare, Workload::Get).expect("all make this request");
        let [one, two] = rounds.over(at, bare);
        let [over_one, over_two] = [one / ours[0], two / ours[1]];
        println!(
            "| {} | {} | {} | {} | {} | {over_one:.1} | {} | {over_two:.1} | {} | {} |",
            peer.title,
            peer.package.map_or("–", version),
            thousands(figures.instructions),
            operations(figures.operations),
            thousands(one),
            thousands(two),
            peer.headers,
            peer.on_401,
        );
    }
}

fn other_workloads(counted: &[Vec<Option<Counted>>]) {
    println!("The other requests, in instructions (heap operations):\n");
    println!(
        "| layer | GET, long-lived | GET, `clone().oneshot(..)` | POST, 8 headers, 1 KiB | GET, body \
         sent once |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (at, peer, bare) in candidates() {
        let cells = Workload::ALL.map(|workload| {
            over_bare(counted, at, bare, workload).map_or("–".to_owned(), |figures| {
                format!("{} ({})", thousands(figures.instructions), operations(figures.operations))
            })
        });
        println!("| {} | {} |", peer.title, cells.join(" | "));
    }
}

fn notes() {
    println!(
        "How each is driven, and what it does not do of what the layer does. Nobody else knows a \
         request mode: where two headers are counted, the second is a constant.\n"
    );
    println!("| layer | driven by | does not |");
    println!("| --- | --- | --- |");
    for (_, peer, _) in candidates() {
        println!("| {} | {} | {} |", peer.title, peer.driven, peer.lacks);
    }
}

/// The version in this program's own lock file; the newest, where there are several.
fn version(package: &str) -> &'static str {
    let line = format!("name = \"{package}\"\nversion = \"");
    let (_, after) = LOCK.rsplit_once(&line).expect("a package of the lock file");
    after.split('"').next().expect("a version")
}

fn thousands(number: f64) -> String {
    let number = number.round() as i64;
    if number.abs() < 1000 {
        return number.to_string();
    }
    format!("{},{:03}", number / 1000, number.abs() % 1000)
}

fn operations(number: f64) -> String {
    // A whole number for every call, save what happens once in a long while.
    format!("{}", (number * 10.0).round() / 10.0 + 0.0)
}
