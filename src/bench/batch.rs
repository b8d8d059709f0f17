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

/// Where a query means something else in DataFusion: what to write there for PostgreSQL's meaning. Numbers with a point
/// and sums of bigint are exact there; here, rows with equal sort keys have an order, the same at every run.
const SAME_MEANING: [(&str, &[(&str, &str)]); 4] = [
    ("q1", &[("0.908 * price", "CAST('0.908' AS DECIMAL(4, 3)) * price")]),
    (
        "q9",
        &[(
            "b.date_time ASC",
            "b.date_time ASC, a.item_name, a.description, a.initial_bid, a.reserve, a.date_time, a.expires, a.seller, \
             a.category, a.extra, b.bidder, b.extra",
        )],
    ),
    (
        "q17",
        &[("avg(price)", "avg(CAST(price AS DECIMAL(38, 0)))"), ("sum(price)", "sum(CAST(price AS DECIMAL(38, 0)))")],
    ),
    ("q18", &[("date_time DESC", "date_time DESC, price, channel, url, extra")]),
];

/// The query for DataFusion with PostgreSQL's meaning.
fn same_meaning(query: &Query) -> String {
    let differences = SAME_MEANING.iter().filter(|(name, _)| *name == query.name).flat_map(|(_, changes)| *changes);
    differences.fold(query.sql.clone(), |sql, (from, to)| sql.replace(from, to))
}

/// Milliseconds of each round.
#[derive(Default)]
struct Rounds {
    ours: Vec<f64>,
    theirs: Vec<f64>,
    /// Of DataFusion with the query of [`same_meaning`].
    same: Vec<f64>,
}

/// Who runs a query.
const OURS: usize = 0;
const THEIRS: usize = 1;

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let mut harness = Harness::new(workers)?;
    let plain = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(workers));
    load(&mut harness, &plain, options.events, workers)?;
    let runtime = Runtime::new().map_err(|error| Error::internal(error.to_string()))?;
    let mut wrong = Ok(());
    for query in queries(&options.queries)? {
        let same = same_meaning(&query);
        let (rows, their_rows) = (harness.count(&query.sql)?, collect(&runtime, &plain, &query.sql));
        let same_rows = collect(&runtime, &plain, &same);
        let mut rounds = Rounds::default();
        for round in 0..options.runs as usize {
            for turn in 0..3 {
                let side = (round + turn) % 3;
                let watch = Stopwatch::start();
                match side {
                    OURS => drop(harness.sql(&query.sql)?),
                    THEIRS => drop(collect(&runtime, &plain, &query.sql)),
                    _ => drop(collect(&runtime, &plain, &same)),
                }
                let millis = watch.wall_s() * 1000.0;
                [&mut rounds.ours, &mut rounds.theirs, &mut rounds.same][side].push(millis);
            }
        }
        row(&query, rows, [&their_rows, &same_rows], &rounds, report);
        wrong = wrong.and(check(&query, options.events, rows, &their_rows));
        wrong = wrong.and(check(&query, options.events, rows, &same_rows));
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

fn row(query: &Query, rows: usize, theirs: [&Result<usize, String>; 2], rounds: &Rounds, report: &mut Report) {
    let refused = theirs.into_iter().find_map(|rows| rows.as_ref().err());
    let known = |figure: f64| if refused.is_none() { json!(figure) } else { json!(null) };
    let ratios: Vec<f64> = rounds.ours.iter().zip(&rounds.theirs).map(|(ours, theirs)| ours / theirs).collect();
    report.row(vec![
        ("query", json!(query.name)),
        ("rounds", json!(ratios.len())),
        ("millrace_ms", json!(median(&rounds.ours))),
        ("millrace_ms_min", json!(range(&rounds.ours).0)),
        ("datafusion_ms", known(median(&rounds.theirs))),
        ("datafusion_ms_min", known(range(&rounds.theirs).0)),
        ("ratio", known(median(&ratios))),
        ("same_meaning_ms", known(median(&rounds.same))),
        ("same_meaning_ratio", known(median(&rounds.ours) / median(&rounds.same))),
        ("ratio_of_mins", known(range(&rounds.ours).0 / range(&rounds.theirs).0)),
        ("ratio_min", known(range(&ratios).0)),
        ("ratio_max", known(range(&ratios).1)),
        ("rows", json!(rows)),
        ("refused", json!(refused.cloned().unwrap_or_default())),
    ]);
}

fn check(query: &Query, events: u64, rows: usize, their_rows: &Result<usize, String>) -> Result<()> {
    if events == COUNTED_EVENTS {
        expect(&format!("rows of {}", query.name), query.rows, rows)?;
    }
    match their_rows {
        Ok(theirs) => expect(&format!("rows of {}, as DataFusion gives them", query.name), *theirs, rows),
        // What DataFusion refuses is told by name; it has no rows to compare.
        Err(_) => Ok(()),
    }
}
