//! How long a restart takes that goes on with the state it had, against computing it again from the source; what a
//! checkpoint costs, and what it puts on the disk. What made the state and what restarts are processes of their own.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::apart;
use super::harness::{Harness, Stopwatch, expect, memory_mb, memory_of};
use super::report::Report;
use crate::types::{Error, Result};

#[derive(clap::Args)]
pub struct Options {
    /// Nexmark events, for each size that is measured.
    #[arg(default_values_t = [1_000_000, 5_000_000])]
    events: Vec<u64>,
    /// Makes state in this folder, and leaves it there.
    #[arg(long, hide = true)]
    make: Option<PathBuf>,
    /// Opens the state in this folder.
    #[arg(long, hide = true, requires = "made")]
    open: Option<PathBuf>,
    /// The figures of who made it.
    #[arg(long, hide = true)]
    made: Option<String>,
}

/// State that is as large as the rows that come in, and an aggregate and a join over it.
const VIEWS: &[(&str, &str)] = &[
    ("kept", "SELECT * FROM nex.bid"),
    ("per_auction", "SELECT auction, count(*) AS bids, max(price) AS best FROM nex.bid GROUP BY auction"),
    ("sold", "SELECT a.id, a.seller, p.best FROM nex.auction a JOIN per_auction p ON p.auction = a.id"),
];

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    match (&options.make, &options.open, &options.made) {
        (Some(folder), _, _) => options.events.iter().try_for_each(|&events| make(events, folder, workers, report)),
        (None, Some(folder), Some(made)) => open(folder, made, workers, report),
        _ => options.events.iter().try_for_each(|&events| measure(events, workers, report)),
    }
}

fn measure(events: u64, workers: usize, report: &mut Report) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("millrace-bench-restart-{}", std::process::id()));
    let shown = folder.display().to_string();
    let arguments = |arguments: &[&str]| arguments.iter().map(|argument| argument.to_string()).collect::<Vec<_>>();
    let made = apart::last_row(&arguments(&["restart", "--make", &shown, &events.to_string()]), workers);
    let opened =
        made.and_then(|made| apart::run(&arguments(&["restart", "--open", &shown, "--made", &made]), workers, report));
    std::fs::remove_dir_all(&folder).ok();
    opened
}

fn make(events: u64, folder: &Path, workers: usize, report: &mut Report) -> Result<()> {
    let mut harness = Harness::with(workers, |config| config.data = folder.to_path_buf())?;
    let computing = Stopwatch::start();
    harness.sql(&format!("CREATE SOURCE nex FROM LOAD GENERATOR NEXMARK (EVENTS {events}, RATE 0)"))?;
    for (name, query) in VIEWS {
        harness.sql(&format!("CREATE MATERIALIZED VIEW {name} AS {query}"))?;
    }
    harness.read_to(events)?;
    let answer = first_answer(&mut harness)?;
    let (compute_s, compute_cpu_s) = (computing.wall_s(), computing.cpu_s());
    harness.settle();
    let rows: usize = harness.arrangements().iter().map(|arrangement| arrangement.rows).sum();
    let (resident_mb, anonymous_mb) = (memory_mb().0, memory_of("RssAnon:"));

    let writing = Instant::now();
    harness.sql("CHECKPOINT")?;
    let checkpoint_s = writing.elapsed().as_secs_f64();
    let newest = harness.database.checkpoints.kept().pop();
    let newest = newest.ok_or_else(|| Error::internal("there is no checkpoint"))?;
    let (bytes, written) = (newest.bytes(), newest.bytes_written);
    report.row(vec![
        ("events", json!(events)),
        ("rows_of_state", json!(rows)),
        ("disk_mb", json!(bytes as f64 / 1e6)),
        ("bytes_per_row", json!(bytes as f64 / rows as f64)),
        ("written_mb", json!(written as f64 / 1e6)),
        ("checkpoint_s", json!(checkpoint_s)),
        ("compute_s", json!(compute_s)),
        ("compute_cpu_s", json!(compute_cpu_s)),
        ("resident_mb", json!(resident_mb)),
        ("anonymous_mb", json!(anonymous_mb)),
        (ANSWER, json!(answer)),
    ]);
    Ok(())
}

fn open(folder: &Path, made: &str, workers: usize, report: &mut Report) -> Result<()> {
    let unreadable = |error: serde_json::Error| Error::internal(format!("not a row of figures: {error}: {made}"));
    let mut figures: serde_json::Map<String, Value> = serde_json::from_str(made).map_err(unreadable)?;
    let restarting = Stopwatch::start();
    let mut harness = Harness::with(workers, |config| config.data = folder.to_path_buf())?;
    let opened_s = restarting.wall_s();
    let answer = first_answer(&mut harness)?;
    let (answered_s, cpu_s) = (restarting.wall_s(), restarting.cpu_s());
    expect("the answer after the restart", figures.remove(ANSWER), Some(json!(answer)))?;
    for (name, figure) in [
        ("open_s", opened_s),
        ("first_answer_s", answered_s),
        ("cpu_s", cpu_s),
        ("after_anonymous_mb", memory_of("RssAnon:")),
        ("peak_mb", memory_mb().1),
    ] {
        figures.insert(name.to_string(), json!(figure));
    }
    report.pass_on(&Value::Object(figures).to_string())
}

/// Where the figures of who made the state say what is in it.
const ANSWER: &str = "answer";

/// What the views hold, in a few numbers.
fn first_answer(harness: &mut Harness) -> Result<String> {
    let query = "SELECT (SELECT count(*) FROM kept), (SELECT sum(bids) FROM per_auction), (SELECT count(*) FROM sold)";
    Ok(format!("{:?}", harness.sql(query)?.iter().map(|batch| batch.columns().to_vec()).collect::<Vec<_>>()))
}
