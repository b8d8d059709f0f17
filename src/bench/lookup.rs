//! Point lookups on a view's key, one after the other.

use std::time::Instant;

use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use serde_json::json;

use super::harness::{Harness, percentile};
use super::report::Report;
use crate::engine::Outcome;
use crate::types::{Error, Result};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    #[arg(long, default_value_t = 5000)]
    lookups: usize,
}

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let mut harness = Harness::new(workers)?;
    let rows = options.rows;
    harness.sql("CREATE TABLE t (k bigint, v bigint)")?;
    harness.sql(&format!("INSERT INTO t SELECT n, n * 7 FROM generate_series(1, {rows}) AS g(n)"))?;
    harness.sql("CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS total FROM t GROUP BY k")?;
    harness.catch_up("sums");
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Error::internal(error.to_string()))?;
    let statement = harness.session.parse("SELECT total FROM sums WHERE k = $1")?.remove(0);
    let mut millis = Vec::with_capacity(options.lookups);
    let began = Instant::now();
    for lookup in 0..options.lookups {
        let key = (lookup * 7919 % rows + 1) as i64;
        let one = Instant::now();
        let found: usize = runtime.block_on(async {
            match harness.session.execute(&statement, &[ScalarValue::Int64(Some(key))]).await? {
                Outcome::Rows { rows, .. } => rows.try_fold(0, async |count, batch| Ok(count + batch.num_rows())).await,
                _ => Ok(0),
            }
        })?;
        assert_eq!(found, 1, "every key is there");
        millis.push(one.elapsed().as_secs_f64() * 1000.0);
    }
    let per_second = options.lookups as f64 / began.elapsed().as_secs_f64();
    millis.sort_by(f64::total_cmp);
    report.row(vec![
        ("rows", json!(rows)),
        ("lookups_per_s", json!(per_second.round() as u64)),
        ("p50_ms", json!(percentile(&millis, 0.5))),
        ("p99_ms", json!(percentile(&millis, 0.99))),
    ]);
    Ok(())
}
