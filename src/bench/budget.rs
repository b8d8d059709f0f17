//! State that is larger than the memory it may have: what it costs to build, and to look something up in it, against the
//! same state all in memory; each in a process of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::apart;
use super::harness::{Harness, Stopwatch, expect, major_faults, memory_of, percentile};
use super::report::Report;
use crate::engine::Database;
use crate::types::Result;

#[derive(clap::Args)]
pub struct Options {
    /// Nexmark events; a million make about 270 MB of state.
    #[arg(long, default_value_t = 15_000_000)]
    events: u64,
    /// Megabytes of state that may be in memory.
    #[arg(long, default_value_t = 1024)]
    memory_mb: usize,
    #[arg(long, default_value_t = 5_000)]
    lookups: u64,
    /// Megabytes of rows that may wait to be worked off; the server's default otherwise.
    #[arg(long)]
    backlog_mb: Option<usize>,
    /// In this process, once.
    #[arg(long)]
    alone: bool,
}

/// More than a machine has.
const NO_LIMIT_MB: usize = 1 << 20;

/// Between two looks at how much memory there is.
const SAMPLE: Duration = Duration::from_millis(50);

/// Auctions per Nexmark event; their bids are spread over all of the state.
const EVENTS_PER_AUCTION: f64 = 50.0 / 3.0;
/// The first auction's number.
const FIRST_AUCTION: u64 = 1000;

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    if options.alone {
        return measure(options, workers, report);
    }
    for memory_mb in [NO_LIMIT_MB, options.memory_mb] {
        let numbers = [("--events", options.events), ("--memory-mb", memory_mb as u64), ("--lookups", options.lookups)];
        let backlog = options.backlog_mb.map(|megabytes| ("--backlog-mb", megabytes as u64));
        let named =
            numbers.into_iter().chain(backlog).flat_map(|(name, number)| [name.to_string(), number.to_string()]);
        let arguments: Vec<String> = ["budget", "--alone"].map(str::to_string).into_iter().chain(named).collect();
        apart::run(&arguments, workers, report)?;
    }
    Ok(())
}

fn measure(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let Options { events, memory_mb, lookups, .. } = *options;
    let mut harness = Harness::with(workers, |config| {
        *config = config.clone().with_memory(memory_mb << 20);
        config.backlog_bytes_max = options.backlog_mb.map_or(config.backlog_bytes_max, |megabytes| megabytes << 20);
    })?;
    let (most, building, faults) = (Most::watch(&harness.database), Stopwatch::start(), major_faults());
    harness.sql(&format!("CREATE SOURCE nex FROM LOAD GENERATOR NEXMARK (EVENTS {events}, RATE 0)"))?;
    harness.sql("CREATE MATERIALIZED VIEW kept AS SELECT * FROM nex.bid")?;
    harness.sql("CREATE INDEX by_auction ON kept (auction)")?;
    harness.sql("CREATE MATERIALIZED VIEW per_auction AS SELECT auction, count(*) AS n FROM kept GROUP BY auction")?;
    harness.read_to(events)?;
    harness.catch_up("per_auction")?;
    let (build_s, build_cpu_s, build_faults) = (building.wall_s(), building.cpu_s(), major_faults() - faults);
    harness.settle();
    let kept = harness.arrangements();
    let sum = |bytes: fn(&crate::dataflow::runtime::Arrangement) -> usize| kept.iter().map(bytes).sum::<usize>();
    let (rows, in_memory) = (sum(|kept| kept.rows), sum(|kept| kept.bytes));

    let faults = major_faults();
    let mut millis = look_up(&mut harness, events, lookups)?;
    let lookup_faults = major_faults() - faults;
    millis.sort_by(f64::total_cmp);
    let megabytes = |bytes: usize| json!((bytes as f64 / 1e6).round());
    let most = most.stop();
    report.row(vec![
        ("budget_mb", if memory_mb == NO_LIMIT_MB { json!("none") } else { json!(memory_mb) }),
        ("rows_of_state", json!(rows)),
        ("pages_in_memory_mb", megabytes(in_memory)),
        ("events_per_s", json!((events as f64 / build_s).round())),
        ("events_per_cpu_s", json!((events as f64 / build_cpu_s).round())),
        ("anonymous_mb", json!(memory_of("RssAnon:").round())),
        ("most_anonymous_mb", megabytes(most.anonymous)),
        ("pages_then_mb", megabytes(most.pages)),
        ("backlog_then_mb", megabytes(most.backlog)),
        ("mapped_mb", json!(memory_of("RssFile:").round())),
        ("major_faults", json!(build_faults)),
        ("lookups", json!(millis.len())),
        ("p50_ms", json!(percentile(&millis, 0.5))),
        ("p99_ms", json!(percentile(&millis, 0.99))),
        ("faults_per_lookup", json!(lookup_faults as f64 / millis.len() as f64)),
    ]);
    Ok(())
}

/// All bids of auctions from all over the state, by the index; what they are is known from the other view.
fn look_up(harness: &mut Harness, events: u64, lookups: u64) -> Result<Vec<f64>> {
    let auctions = (events as f64 / EVENTS_PER_AUCTION) as u64;
    let mut millis = vec![];
    for lookup in 0..lookups {
        let auction = FIRST_AUCTION + lookup * 7919 % auctions;
        let began = Instant::now();
        let found = harness.count(&format!("SELECT bidder, price FROM kept WHERE auction = {auction}"))?;
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
        if lookup % 100 == 0 {
            let counted = format!("SELECT 1 FROM per_auction WHERE auction = {auction} AND n = {found}");
            expect("bids of an auction", usize::from(found > 0), harness.count(&counted)?)?;
        }
    }
    Ok(millis)
}

/// The most anonymous memory of this process since it is watched, and what of it is known.
#[derive(Clone, Copy, Default)]
struct Most {
    anonymous: usize,
    pages: usize,
    backlog: usize,
}

struct Watch {
    stopped: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Most>,
}

impl Most {
    fn watch(database: &Arc<Database>) -> Watch {
        let (database, stopped) = (database.clone(), Arc::<AtomicBool>::default());
        let is_over = stopped.clone();
        let thread = std::thread::spawn(move || {
            let mut most = Most::default();
            while !is_over.load(Ordering::Relaxed) {
                let anonymous = (memory_of("RssAnon:") * (1 << 20) as f64) as usize;
                if anonymous > most.anonymous {
                    let runtime = &database.runtime;
                    most = Most { anonymous, pages: runtime.memory().used(), backlog: runtime.backlog() };
                }
                std::thread::sleep(SAMPLE);
            }
            most
        });
        Watch { stopped, thread }
    }
}

impl Watch {
    fn stop(self) -> Most {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().expect("watching does not panic")
    }
}
