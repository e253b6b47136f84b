//! Takes the stores in turn, and prints what they come to.

use std::time::Duration;

use futures_util::StreamExt as _;

use crate::Options;
use crate::count::Fsyncs;
use crate::disk::Disk;
use crate::refreshes::{Times, at_once, credentials, in_turn};
use crate::relay::Relay;
use crate::stores::{Files, Memory, Place, Postgres, Redis, Sqlite};

/// So many one after the other at most, and for so long.
const IN_TURN: usize = 500;
const TIME: Duration = Duration::from_secs(10);

/// So many are counted.
const COUNTED: usize = 25;

/// What one refresh costs, in numbers that come to the same each time.
struct Cost {
    round_trips: f64,
    fsyncs: Option<f64>,
}

/// Measures the stores that are asked for.
pub(crate) async fn all(options: &Options) {
    println!(
        "| store | records | round trips | fsyncs | an fsync took | in turn: 1/s | p50 | p99 | \
         {} at once: 1/s | p50 | p99 | failed |",
        options.at_once
    );
    println!(
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    let run = Run(options);
    if run.is_asked_for("memory") {
        run.measure("memory", Memory::default()).await;
    }
    if run.is_asked_for("file") {
        run.measure("file", Files::new()).await;
    }
    if run.is_asked_for("redis") {
        run.measure("redis", Redis::start(&[]).await).await;
    }
    if run.is_asked_for("redis-always") {
        let always = ["--appendonly", "yes", "--appendfsync", "always"];
        run.measure("redis-always", Redis::start(&always).await).await;
    }
    if run.is_asked_for("postgres") {
        run.measure("postgres", Postgres::start().await).await;
    }
    if run.is_asked_for("sqlite") {
        run.measure("sqlite", Sqlite::open().await).await;
    }
}

struct Run<'a>(&'a Options);

impl Run<'_> {
    fn is_asked_for(&self, name: &str) -> bool {
        self.0.names.is_empty() || self.0.names.iter().any(|asked| asked == name)
    }

    /// Prints a line for each number of records.
    async fn measure<P: Place>(&self, name: &str, mut place: P) {
        let one = credentials(place.store("one")).await;
        let cost = self.cost(&place).await;
        let mut filled = 1;
        for &records in &self.0.records {
            if records > filled {
                place.fill(filled, records).await;
                filled = records;
            }
            in_turn(&one, IN_TURN / 10, TIME / 10, None).await;
            let mut disk = Disk::new();
            let turns = in_turn(&one, IN_TURN, TIME, Some(&mut disk)).await;
            let many = futures_util::stream::iter(0..self.0.at_once)
                .map(|number| credentials(place.store(&format!("many-{records}-{number}"))))
                .buffer_unordered(16)
                .collect()
                .await;
            print(name, records, &cost, &disk, &turns, &at_once(many).await);
        }
    }

    /// Counts on a store of its own, behind a relay where there is a server.
    async fn cost<P: Place>(&self, place: &P) -> Cost {
        let relay = match place.port() {
            Some(port) => Some(Relay::before(port).await),
            None => None,
        };
        let store = match &relay {
            Some(relay) => place.by_port("counted", relay.port()).await,
            None => place.store("counted"),
        };
        let credentials = credentials(store).await;
        let fsyncs = Fsyncs::of(&place.writers());
        let before = relay.as_ref().map_or(0, Relay::round_trips);
        let refreshes = in_turn(&credentials, COUNTED, Duration::MAX, None).await;
        assert_eq!(refreshes.count(), COUNTED);
        let each = |count: f64| count / COUNTED as f64;
        Cost {
            round_trips: relay.map_or(0.0, |relay| each((relay.round_trips() - before) as f64)),
            fsyncs: fsyncs.map(|fsyncs| each(fsyncs.end() as f64)),
        }
    }
}

/// A line of the table.
fn print(name: &str, records: usize, cost: &Cost, disk: &Disk, turns: &Times, together: &Times) {
    println!(
        "| {name} | {records} | {:.1} | {} | {} | {:.0} | {} | {} | {:.0} | {} | {} | {} |",
        cost.round_trips,
        cost.fsyncs.map_or("?".to_owned(), |fsyncs| format!("{fsyncs:.1}")),
        shown(disk.fsync()),
        turns.per_second(),
        shown(turns.percentile(50)),
        shown(turns.percentile(99)),
        together.per_second(),
        shown(together.percentile(50)),
        shown(together.percentile(99)),
        together.failed,
    );
}

fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1000.0 => format!("{micros:.0} µs"),
        1000.0..1_000_000.0 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.1} s", micros / 1e6),
    }
}
