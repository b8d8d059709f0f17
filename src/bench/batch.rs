//! Nexmark queries run once over tables, against plain DataFusion on a MemTable of the same batches.
//!
//! Both sides run in this process with the same allocator, the same number of threads and partitions and the same size
//! of batches, parse and plan included. They take turns, the one that begins changing every round, after a round that
//! does not count. (Sums of floats are exact on our side only.)

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use serde_json::json;
use tokio::runtime::Runtime;

use super::harness::{Harness, Stopwatch, expect, median, range};
use super::nexmark::{COUNTED_EVENTS, Query, queries};
use super::report::Report;
use crate::connect::generator::nexmark::{DEFAULT_DENSITY, RELATIONS, generate};
use crate::types::{Error, Result};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Each query runs this often on both sides.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    queries: Vec<String>,
}

/// Events whose rows make one batch; bids, the most of them, then come close to the 8192 rows of DataFusion's own.
const BATCH_EVENTS: u64 = 8192;

/// Milliseconds of each round.
#[derive(Default)]
struct Rounds {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let mut harness = Harness::new(workers)?;
    let plain = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(workers));
    load(&mut harness, &plain, options.events, workers)?;
    let runtime = Runtime::new().map_err(|error| Error::internal(error.to_string()))?;
    let mut wrong = Ok(());
    for query in queries(&options.queries)? {
        let ours = |harness: &mut Harness| harness.count(&query.sql);
        let theirs = || collect(&runtime, &plain, &query.sql);
        let (rows, their_rows) = (ours(&mut harness)?, theirs());
        let mut rounds = Rounds::default();
        for round in 0..options.runs as usize {
            for side in [round % 2, 1 - round % 2] {
                let watch = Stopwatch::start();
                match side {
                    0 => {
                        ours(&mut harness)?;
                    }
                    _ => drop(theirs()),
                }
                let millis = watch.wall_s() * 1000.0;
                let taken = if side == 0 { &mut rounds.ours } else { &mut rounds.theirs };
                taken.push(millis);
            }
        }
        row(&query, rows, &their_rows, &rounds, report);
        wrong = wrong.and(check(&query, options.events, rows, &their_rows));
    }
    wrong
}

/// Loads the same rows into our tables and into plain DataFusion's, there in as many partitions as there are threads.
fn load(harness: &mut Harness, plain: &SessionContext, events: u64, workers: usize) -> Result<()> {
    let batches: Vec<_> = (0..events)
        .step_by(BATCH_EVENTS as usize)
        .map(|from| generate(from..(from + BATCH_EVENTS).min(events), DEFAULT_DENSITY))
        .collect::<Result<_>>()?;
    harness.generate(events)?;
    for (index, relation) in RELATIONS.iter().enumerate() {
        let name = relation.name.clone().unwrap_or_default();
        harness.sql(&format!("CREATE TABLE {name} AS SELECT * FROM nex.{name}"))?;
        let mut partitions: Vec<Vec<RecordBatch>> = vec![Vec::new(); workers];
        let rows = batches.iter().map(|batch| &batch[index]).filter(|rows| rows.num_rows() > 0);
        rows.enumerate().for_each(|(place, rows)| partitions[place % workers].push(rows.clone()));
        let table = MemTable::try_new(relation.relation.schema(), partitions)?;
        plain.register_table(name.as_str(), Arc::new(table))?;
    }
    harness.sql("DROP SOURCE nex")?;
    harness.settle();
    Ok(())
}

/// The rows that DataFusion gives, or why it refuses the query.
fn collect(runtime: &Runtime, plain: &SessionContext, sql: &str) -> Result<usize, String> {
    let collected = runtime.block_on(async { plain.sql(sql).await?.collect().await });
    match collected {
        Ok(batches) => Ok(batches.iter().map(|batch| batch.num_rows()).sum()),
        Err(error) => Err(error.strip_backtrace().lines().next().unwrap_or_default().chars().take(60).collect()),
    }
}

fn row(query: &Query, rows: usize, their_rows: &Result<usize, String>, rounds: &Rounds, report: &mut Report) {
    let known = |figure: f64| if their_rows.is_ok() { json!(figure) } else { json!(null) };
    let ratios: Vec<f64> = rounds.ours.iter().zip(&rounds.theirs).map(|(ours, theirs)| ours / theirs).collect();
    report.row(vec![
        ("query", json!(query.name)),
        ("rounds", json!(ratios.len())),
        ("millrace_ms", json!(median(&rounds.ours))),
        ("millrace_ms_min", json!(range(&rounds.ours).0)),
        ("datafusion_ms", known(median(&rounds.theirs))),
        ("datafusion_ms_min", known(range(&rounds.theirs).0)),
        ("ratio", known(median(&ratios))),
        ("ratio_of_mins", known(range(&rounds.ours).0 / range(&rounds.theirs).0)),
        ("ratio_min", known(range(&ratios).0)),
        ("ratio_max", known(range(&ratios).1)),
        ("rows", json!(rows)),
        ("refused", json!(their_rows.as_ref().err().cloned().unwrap_or_default())),
    ]);
}

fn check(query: &Query, events: u64, rows: usize, their_rows: &Result<usize, String>) -> Result<()> {
    if events == COUNTED_EVENTS {
        expect(&format!("rows of {}", query.name), query.rows, rows)?;
    }
    match their_rows {
        Ok(theirs) => expect(&format!("rows of {}, as DataFusion gives them", query.name), *theirs, rows),
        Err(_) => Ok(()),
    }
}
