//! The cost of one change against the size of the group that it is in.
//!
//! A row is inserted that becomes the least of all, and deleted again, so that the head of the group changes every
//! time; each is timed from the statement to the view's completeness. The statement alone, with no view to keep up to
//! date, is measured at each size too: what a view costs is the difference.

use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use serde_json::json;

use super::harness::{Harness, Stopwatch, expect, percentile};
use super::report::Report;
use crate::types::Result;

#[derive(clap::Args)]
pub struct Options {
    /// Rows inserted and deleted again.
    #[arg(long, default_value_t = 500)]
    changes: usize,
    /// Sizes of the group.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    sizes: Vec<usize>,
}

/// The views whose one group changes, in the order of their columns.
const VIEWS: &[(&str, &str)] = &[
    ("none", ""),
    ("count", "SELECT count(*) AS n FROM t"),
    ("sum", "SELECT sum(v) AS total FROM t"),
    ("min", "SELECT min(v) AS least FROM t"),
    ("top-k", "SELECT v FROM t ORDER BY v LIMIT 10"),
];

/// Changes before those that count.
const WARM_UP: usize = 10;

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    for &size in &options.sizes {
        let mut harness = Harness::new(workers)?;
        // By its key a row is found without a scan, whose time would grow with the table.
        harness.sql("CREATE TABLE t (k bigint PRIMARY KEY, v bigint)")?;
        harness.sql(&format!("INSERT INTO t SELECT n, n FROM generate_series(1, {size}) AS g(n)"))?;
        for &(name, sql) in VIEWS {
            if !sql.is_empty() {
                harness.sql(&format!("CREATE MATERIALIZED VIEW answer AS {sql}"))?;
                harness.catch_up("answer")?;
            }
            harness.settle();
            measure(&mut harness, (name, sql), size, options.changes, report)?;
            if !sql.is_empty() {
                harness.sql("DROP MATERIALIZED VIEW answer")?;
            }
        }
    }
    Ok(())
}

fn measure(
    harness: &mut Harness,
    (name, sql): (&str, &str),
    size: usize,
    changes: usize,
    report: &mut Report,
) -> Result<()> {
    for change in 0..WARM_UP {
        timed(harness, sql, &insert(change))?;
        check(harness, sql)?;
        timed(harness, sql, &delete(change))?;
        check(harness, sql)?;
    }
    let (mut inserts, mut deletes) = (Vec::with_capacity(changes), Vec::with_capacity(changes));
    let watch = Stopwatch::start();
    for change in 0..changes {
        inserts.push(timed(harness, sql, &insert(change))?);
        deletes.push(timed(harness, sql, &delete(change))?);
    }
    let cpu = watch.cpu_s() * 1e6 / (2 * changes) as f64;
    check(harness, sql)?;
    inserts.sort_by(f64::total_cmp);
    deletes.sort_by(f64::total_cmp);
    report.row(vec![
        ("view", json!(name)),
        ("group_rows", json!(size)),
        ("changes", json!(2 * changes)),
        ("insert_p50_us", json!(percentile(&inserts, 0.5))),
        ("insert_p99_us", json!(percentile(&inserts, 0.99))),
        ("delete_p50_us", json!(percentile(&deletes, 0.5))),
        ("delete_p99_us", json!(percentile(&deletes, 0.99))),
        ("cpu_us_per_change", json!(cpu)),
    ]);
    Ok(())
}

fn insert(change: usize) -> String {
    format!("INSERT INTO t VALUES (-{0}, -{0})", change + 1)
}

fn delete(change: usize) -> String {
    format!("DELETE FROM t WHERE k = -{}", change + 1)
}

/// Microseconds of a statement, with what it changes in the view if there is one.
fn timed(harness: &mut Harness, view: &str, statement: &str) -> Result<f64> {
    let began = Instant::now();
    harness.sql(statement)?;
    if !view.is_empty() {
        harness.catch_up("answer")?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

/// The view holds what its query gives when it is run once.
fn check(harness: &mut Harness, sql: &str) -> Result<()> {
    if sql.is_empty() {
        return Ok(());
    }
    let view = whole(harness.sql("SELECT * FROM answer ORDER BY 1")?)?;
    let once = whole(harness.sql(&format!("SELECT * FROM ({sql}) q ORDER BY 1"))?)?;
    expect(sql, once.as_ref().map(RecordBatch::columns), view.as_ref().map(RecordBatch::columns))
}

fn whole(batches: Vec<RecordBatch>) -> Result<Option<RecordBatch>> {
    let Some(first) = batches.first() else { return Ok(None) };
    Ok(Some(concat_batches(&first.schema(), &batches)?))
}
