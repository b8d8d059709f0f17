//! Point lookups on a view's key: in process, over a socket with a prepared statement, and over several at a time.

use std::time::Instant;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use futures::future::try_join_all;
use serde_json::json;
use tokio_postgres::Client;

use super::harness::{Harness, expect, percentile};
use super::report::Report;
use super::wire::{Wire, lost};
use crate::engine::Outcome;
use crate::types::{Error, Result};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    #[arg(long, default_value_t = 20_000)]
    lookups: usize,
    /// Connections at a time, where there are several.
    #[arg(long, default_value_t = 8)]
    clients: usize,
}

/// A view with one row per key; its value shows that the right row was found.
const QUERY: &str = "SELECT v FROM highest WHERE k = $1";

/// Lookups before the clock starts.
const WARM_UP: usize = 200;

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let mut harness = Harness::new(workers)?;
    let rows = options.rows;
    harness.sql("CREATE TABLE t (k bigint, v bigint)")?;
    harness.sql(&format!("INSERT INTO t SELECT n, n * 7 FROM generate_series(1, {rows}) AS g(n)"))?;
    harness.sql("CREATE MATERIALIZED VIEW highest AS SELECT k, max(v) AS v FROM t GROUP BY k")?;
    harness.catch_up("highest")?;
    harness.settle();

    in_process(&mut harness, &keys(0, WARM_UP, rows))?;
    let began = Instant::now();
    let millis = in_process(&mut harness, &keys(0, options.lookups, rows))?;
    row(report, "in process", options, 1, began, millis);
    let wire = Wire::open(&harness.database)?;
    for clients in [1, options.clients] {
        let connected: Vec<Client> = (0..clients).map(|_| wire.connect()).collect::<Result<_>>()?;
        let all = |lookups: usize| {
            let each = connected
                .iter()
                .enumerate()
                .map(|(client, connected)| over_wire(connected, keys(client * 31, lookups.div_ceil(clients), rows)));
            wire.run(try_join_all(each))
        };
        all(WARM_UP)?;
        let began = Instant::now();
        let millis = all(options.lookups)?.concat();
        row(report, "socket", options, clients, began, millis);
    }
    Ok(())
}

/// Keys all over the view.
fn keys(from: usize, count: usize, rows: usize) -> Vec<i64> {
    (from..from + count).map(|lookup| (lookup * 7919 % rows + 1) as i64).collect()
}

fn in_process(harness: &mut Harness, keys: &[i64]) -> Result<Vec<f64>> {
    let statement = harness.session.parse(QUERY)?.remove(0);
    let Harness { session, queries, .. } = harness;
    let mut millis = Vec::with_capacity(keys.len());
    for &key in keys {
        let began = Instant::now();
        let found: Vec<RecordBatch> = queries.block_on(async {
            match session.execute(&statement, &[ScalarValue::Int64(Some(key))]).await? {
                Outcome::Rows { rows, .. } => rows.try_collect().await,
                _ => Err(Error::internal("a SELECT gives rows")),
            }
        })?;
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
        let values: Vec<i64> =
            found.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        expect("the row of a key", vec![key * 7], values)?;
    }
    Ok(millis)
}

async fn over_wire(client: &Client, keys: Vec<i64>) -> Result<Vec<f64>> {
    let statement = client.prepare(QUERY).await.map_err(lost)?;
    let mut millis = Vec::with_capacity(keys.len());
    for key in keys {
        let began = Instant::now();
        let found = client.query(&statement, &[&key]).await.map_err(lost)?;
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
        expect("the row of a key", vec![key * 7], found.iter().map(|row| row.get(0)).collect())?;
    }
    Ok(millis)
}

fn row(report: &mut Report, via: &str, options: &Options, clients: usize, began: Instant, mut millis: Vec<f64>) {
    let per_second = millis.len() as f64 / began.elapsed().as_secs_f64();
    millis.sort_by(f64::total_cmp);
    report.row(vec![
        ("via", json!(via)),
        ("clients", json!(clients)),
        ("rows", json!(options.rows)),
        ("lookups", json!(millis.len())),
        ("lookups_per_s", json!(per_second.round() as u64)),
        ("p50_ms", json!(percentile(&millis, 0.5))),
        ("p99_ms", json!(percentile(&millis, 0.99))),
    ]);
}
