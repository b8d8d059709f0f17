//! The cost of one change against the size of the group that it is in.

use std::time::Instant;

use serde_json::json;

use super::harness::{Harness, Stopwatch, percentile};
use super::report::Report;
use crate::types::Result;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Sizes of the group.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    sizes: Vec<usize>,
}

/// The views whose one group changes.
const VIEWS: &[(&str, &str)] = &[
    ("count", "SELECT count(*) FROM t"),
    ("sum", "SELECT sum(v) FROM t"),
    ("min", "SELECT min(v) FROM t"),
    ("top-k", "SELECT v FROM t ORDER BY v LIMIT 10"),
];

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    for (name, sql) in VIEWS {
        for &size in &options.sizes {
            let mut harness = Harness::new(workers)?;
            harness.sql("CREATE TABLE t (v bigint)")?;
            harness.sql(&format!("INSERT INTO t SELECT n FROM generate_series(1, {size}) AS g(n)"))?;
            harness.sql(&format!("CREATE MATERIALIZED VIEW answer AS {sql}"))?;
            harness.catch_up("answer");
            let mut micros = Vec::with_capacity(options.changes);
            let watch = Stopwatch::start();
            for change in 0..options.changes {
                let began = Instant::now();
                // Smaller than all others, so that the head of the group changes every time.
                harness.sql(&format!("INSERT INTO t VALUES (-{change})"))?;
                harness.catch_up("answer");
                micros.push(began.elapsed().as_secs_f64() * 1e6);
            }
            let cpu = watch.cpu_s() * 1e6 / options.changes as f64;
            micros.sort_by(f64::total_cmp);
            report.row(vec![
                ("view", json!(name)),
                ("group_rows", json!(size)),
                ("p50_us", json!(percentile(&micros, 0.5))),
                ("p99_us", json!(percentile(&micros, 0.99))),
                ("cpu_us_per_change", json!(cpu)),
            ]);
        }
    }
    Ok(())
}
