//! How long a restart takes that goes on with the state it had, against computing it again from the source; what a
//! checkpoint costs, and what it puts on the disk.

use std::time::Instant;

use serde_json::json;

use super::harness::{Harness, Stopwatch, expect, forget_peak, memory_mb, memory_of};
use super::report::Report;
use crate::types::{Error, Result};

#[derive(clap::Args)]
pub struct Options {
    /// Nexmark events, for each size that is measured.
    #[arg(default_values_t = [1_000_000, 5_000_000])]
    events: Vec<u64>,
}

/// State that is as large as the rows that come in, and an aggregate and a join over it.
const VIEWS: &[(&str, &str)] = &[
    ("kept", "SELECT * FROM nex.bid"),
    ("per_auction", "SELECT auction, count(*) AS bids, max(price) AS best FROM nex.bid GROUP BY auction"),
    ("sold", "SELECT a.id, a.seller, p.best FROM nex.auction a JOIN per_auction p ON p.auction = a.id"),
];

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    options.events.iter().try_for_each(|&events| measure(events, workers, report))
}

fn measure(events: u64, workers: usize, report: &mut Report) -> Result<()> {
    let mut harness = Harness::new(workers)?;
    let computing = Stopwatch::start();
    harness.sql(&format!("CREATE SOURCE nex FROM LOAD GENERATOR NEXMARK (EVENTS {events}, RATE 0)"))?;
    for (name, query) in VIEWS {
        harness.sql(&format!("CREATE MATERIALIZED VIEW {name} AS {query}"))?;
    }
    harness.read_to(events)?;
    let answer = first_answer(&mut harness)?;
    let (compute_s, compute_cpu_s) = (computing.wall_s(), computing.cpu_s());
    harness.settle();
    let (resident_mb, anonymous_mb) = (memory_mb().0, memory_of("RssAnon:"));
    let rows: usize = harness.arrangements().iter().map(|arrangement| arrangement.rows).sum();

    let writing = Instant::now();
    harness.sql("CHECKPOINT")?;
    let checkpoint_s = writing.elapsed().as_secs_f64();
    let newest = harness.database.checkpoints.kept().pop();
    let newest = newest.ok_or_else(|| Error::internal("there is no checkpoint"))?;
    let (bytes, written) = (newest.bytes(), newest.bytes_written);

    harness.close()?;
    forget_peak();
    let restarting = Stopwatch::start();
    harness.reopen()?;
    let opened_s = restarting.wall_s();
    expect("the answer after the restart", answer, first_answer(&mut harness)?)?;
    report.row(vec![
        ("events", json!(events)),
        ("rows_of_state", json!(rows)),
        ("disk_mb", json!(bytes as f64 / 1e6)),
        ("bytes_per_row", json!(bytes as f64 / rows as f64)),
        ("written_mb", json!(written as f64 / 1e6)),
        ("checkpoint_s", json!(checkpoint_s)),
        ("open_s", json!(opened_s)),
        ("first_answer_s", json!(restarting.wall_s())),
        ("cpu_s", json!(restarting.cpu_s())),
        ("compute_s", json!(compute_s)),
        ("compute_cpu_s", json!(compute_cpu_s)),
        ("resident_mb", json!(resident_mb)),
        ("anonymous_mb", json!(anonymous_mb)),
        ("after_mb", json!(memory_mb().0)),
        ("after_anonymous_mb", json!(memory_of("RssAnon:"))),
        ("peak_mb", json!(memory_mb().1)),
    ]);
    Ok(())
}

/// What the views hold, in a few numbers.
fn first_answer(harness: &mut Harness) -> Result<String> {
    let query = "SELECT (SELECT count(*) FROM kept), (SELECT sum(bids) FROM per_auction), (SELECT count(*) FROM sold)";
    Ok(format!("{:?}", harness.sql(query)?.iter().map(|batch| batch.columns().to_vec()).collect::<Vec<_>>()))
}
