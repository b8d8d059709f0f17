//! From INSERT to the visible change: a row is inserted, then the view over the table is read until it shows it.
//!
//! Reads are strictly serializable, so one read after the INSERT has returned must show it; its time counts too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::{Harness, percentile};
use super::report::Report;
use crate::engine::SessionOptions;
use crate::types::Result;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 500)]
    samples: usize,
    /// Rows per second that a generator feeds to the same view meanwhile; 0 for none.
    #[arg(long, default_value_t = 50_000)]
    load: u64,
}

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    measure("at rest", options.samples, 0, workers, report)?;
    measure("under load", options.samples, options.load, workers, report)
}

fn measure(name: &str, samples: usize, load: u64, workers: usize, report: &mut Report) -> Result<()> {
    let mut harness = Harness::new(workers)?;
    harness.sql("CREATE TABLE t (k bigint, v bigint)")?;
    harness.sql("CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS total FROM t GROUP BY k")?;
    if load > 0 {
        harness.sql(&format!("CREATE SOURCE nex FROM LOAD GENERATOR NEXMARK (EVENTS 1000000000, RATE {load})"))?;
        harness.sql(
            "CREATE MATERIALIZED VIEW prices AS SELECT auction, count(*), sum(price) FROM nex.bid GROUP BY auction",
        )?;
    }
    std::thread::sleep(Duration::from_millis(500));
    let mut millis = Vec::with_capacity(samples);
    for sample in 0..samples {
        let began = Instant::now();
        harness.sql(&format!("INSERT INTO t VALUES ({sample}, 1)"))?;
        let seen = harness.count(&format!("SELECT total FROM sums WHERE k = {sample}"))?;
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(seen, 1, "a read sees what was acknowledged before it");
    }
    millis.sort_by(f64::total_cmp);
    report.row(vec![
        ("insert_to_visible", json!(name)),
        ("samples", json!(samples)),
        ("p50_ms", json!(percentile(&millis, 0.5))),
        ("p99_ms", json!(percentile(&millis, 0.99))),
        ("max_ms", json!(percentile(&millis, 1.0))),
        ("concurrent_readers", json!(0)),
    ]);
    let visible = subscribe_latency(&mut harness, samples)?;
    report.row(vec![
        ("insert_to_visible", json!(format!("{name}, SUBSCRIBE"))),
        ("samples", json!(samples)),
        ("p50_ms", json!(percentile(&visible, 0.5))),
        ("p99_ms", json!(percentile(&visible, 0.99))),
        ("max_ms", json!(percentile(&visible, 1.0))),
        ("concurrent_readers", json!(1)),
    ]);
    Ok(())
}

/// The same seen by a subscriber, who is told of each change.
fn subscribe_latency(harness: &mut Harness, samples: usize) -> Result<Vec<f64>> {
    let options = SessionOptions { user: "millrace".into(), database: "millrace".into(), ..SessionOptions::default() };
    let mut session = harness.database.session(options)?;
    let arrived = Arc::new(std::sync::Mutex::new(None::<Instant>));
    let stopped = Arc::new(AtomicBool::new(false));
    let (seen, stop) = (arrived.clone(), stopped.clone());
    let runtime = tokio::runtime::Runtime::new().map_err(|error| crate::types::Error::internal(error.to_string()))?;
    runtime.spawn(async move {
        let statement = session.parse("SUBSCRIBE sums WITH (snapshot = false)").expect("it parses").remove(0);
        let Ok(crate::engine::Outcome::Rows { mut rows, .. }) = session.execute(&statement, &[]).await else { return };
        while let Some(Ok(batch)) = futures::StreamExt::next(&mut rows).await {
            if batch.num_rows() > 0 {
                *seen.lock().expect("no panic while noting") = Some(Instant::now());
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    let mut millis = Vec::with_capacity(samples);
    for sample in 0..samples {
        *arrived.lock().expect("no panic while noting") = None;
        let began = Instant::now();
        harness.sql(&format!("INSERT INTO t VALUES ({}, 1)", 1_000_000 + sample))?;
        while arrived.lock().expect("no panic while noting").is_none() {
            std::thread::sleep(Duration::from_micros(50));
            if began.elapsed() > Duration::from_secs(5) {
                break;
            }
        }
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    stopped.store(true, Ordering::Relaxed);
    runtime.shutdown_background();
    millis.sort_by(f64::total_cmp);
    Ok(millis)
}
