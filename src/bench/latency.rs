//! From INSERT to the visible change, in process and over a socket, at rest and while a generator feeds the same view.
//!
//! It is seen in two ways. *SELECT*: the row is inserted, then read from the view; reads are strictly serializable, so
//! the one read must show it, and its time counts too. *SUBSCRIBE*: until a subscriber of the view is told of it. One
//! client does one thing after the other, with random pauses, so that it does not fall into step with the ticks.

use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::harness::{Harness, expect, percentile, run_sql, session};
use super::report::Report;
use super::wire::{Wire, lost};
use crate::engine::{Outcome, Session};
use crate::types::{Error, Result, random_u64};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1000)]
    samples: usize,
    /// Events per second that a generator feeds to the same view meanwhile.
    #[arg(long, default_value_t = 50_000)]
    load: u64,
}

/// Between two inserts at the most.
const PAUSE_MICROS_MAX: u64 = 4000;
/// A change that takes longer has been lost.
const LOST_AFTER: Duration = Duration::from_secs(20);
/// Samples before those that count.
const WARM_UP: usize = 20;
/// How long the load runs before it is measured under.
const LOAD_WARM_UP: Duration = Duration::from_secs(2);

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    for load in [0, options.load] {
        let mut harness = Harness::new(workers)?;
        harness.sql("CREATE TABLE t (k bigint, v bigint)")?;
        let also = match load {
            0 => "",
            _ => " UNION ALL SELECT auction, price FROM nex.bid",
        };
        if load > 0 {
            harness.sql(&format!("CREATE SOURCE nex FROM LOAD GENERATOR NEXMARK (RATE {load})"))?;
        }
        harness.sql(&format!(
            "CREATE MATERIALIZED VIEW sums AS SELECT k, sum(v) AS total, count(*) AS n
             FROM (SELECT k, v FROM t{also}) x GROUP BY k"
        ))?;
        harness.catch_up("sums")?;
        std::thread::sleep(if load > 0 { LOAD_WARM_UP } else { Duration::ZERO });
        measure(&mut harness, options.samples, load, report)?;
    }
    Ok(())
}

/// All four ways to see it. The keys are below zero, where the generator has none.
fn measure(harness: &mut Harness, samples: usize, load: u64, report: &mut Report) -> Result<()> {
    let wire = Wire::open(&harness.database)?;
    let (mut writer, reader) = (session(&harness.database)?, session(&harness.database)?);
    let (wire_writer, wire_reader) = (wire.connect()?, wire.connect()?);
    let began = (Instant::now(), harness.records_read());
    let select = harness.queries.block_on(series(samples, 1, async |key| {
        sleep(pause()).await;
        insert_and_select(&mut writer, key).await
    }))?;
    row(report, "in process", "SELECT", load, harness, began, select);

    let mut told = harness.queries.block_on(subscribe(reader))?;
    let subscribed = harness.queries.block_on(series(samples, 2, async |key| {
        drain(&mut told).await;
        let insert = format!("INSERT INTO t VALUES ({key}, 1)");
        until_told(async { run_sql(&mut writer, &insert).await.map(drop) }, &mut told, key).await
    }))?;
    drop(told);
    row(report, "in process", "SUBSCRIBE", load, harness, began, subscribed);

    let select = wire.run(async {
        let insert = wire_writer.prepare("INSERT INTO t VALUES ($1, 1)").await.map_err(lost)?;
        let query = wire_writer.prepare("SELECT n FROM sums WHERE k = $1").await.map_err(lost)?;
        series(samples, 3, async |key| {
            sleep(pause()).await;
            let began = Instant::now();
            wire_writer.execute(&insert, &[&key]).await.map_err(lost)?;
            let found = wire_writer.query(&query, &[&key]).await.map_err(lost)?;
            let millis = began.elapsed().as_secs_f64() * 1000.0;
            let seen: Vec<i64> = found.iter().map(|row| row.get(0)).collect();
            expect("the row that was inserted", vec![1], seen).map(|()| millis)
        })
        .await
    })?;
    row(report, "socket", "SELECT", load, harness, began, select);

    let subscribed = wire.run(async {
        let insert = wire_writer.prepare("INSERT INTO t VALUES ($1, 1)").await.map_err(lost)?;
        let mut told = subscribe_wire(wire_reader).await?;
        series(samples, 4, async |key| {
            drain(&mut told).await;
            let inserted = async { wire_writer.execute(&insert, &[&key]).await.map(drop).map_err(lost) };
            until_told(inserted, &mut told, key).await
        })
        .await
    })?;
    row(report, "socket", "SUBSCRIBE", load, harness, began, subscribed);
    Ok(())
}

/// Milliseconds of each sample, sorted; every series has keys of its own.
async fn series(samples: usize, number: i64, mut sample: impl AsyncFnMut(i64) -> Result<f64>) -> Result<Vec<f64>> {
    let mut millis = Vec::with_capacity(samples);
    for place in 0..WARM_UP + samples {
        let taken = sample(-(number * 1_000_000_000 + place as i64)).await?;
        if place >= WARM_UP {
            millis.push(taken);
        }
    }
    millis.sort_by(f64::total_cmp);
    Ok(millis)
}

fn pause() -> Duration {
    Duration::from_micros(random_u64() % PAUSE_MICROS_MAX)
}

async fn insert_and_select(session: &mut Session, key: i64) -> Result<f64> {
    let began = Instant::now();
    run_sql(session, &format!("INSERT INTO t VALUES ({key}, 1)")).await?;
    let found = run_sql(session, &format!("SELECT n FROM sums WHERE k = {key}")).await?;
    let millis = began.elapsed().as_secs_f64() * 1000.0;
    let seen: Vec<i64> = found.iter().flat_map(|rows| column(rows, 0)).collect();
    expect("the row that was inserted", vec![1], seen).map(|()| millis)
}

fn column(rows: &RecordBatch, place: usize) -> Vec<i64> {
    rows.column(place).as_primitive::<Int64Type>().values().to_vec()
}

/// The keys of what a subscriber is told.
type Told = BoxStream<'static, Result<Vec<i64>>>;

const SUBSCRIBE: &str = "SUBSCRIBE sums WITH (snapshot = false)";
/// The first column of the view, after the timestamp and the diff.
const KEY_COLUMN: usize = 2;

async fn subscribe(mut session: Session) -> Result<Told> {
    let statement = session.parse(SUBSCRIBE)?.remove(0);
    let Outcome::Rows { rows, .. } = session.execute(&statement, &[]).await? else {
        return Err(Error::internal("SUBSCRIBE gives rows"));
    };
    let keys = rows.map_ok(move |rows| {
        // The subscription lives as long as its session.
        let _alive = &session;
        column(&rows, KEY_COLUMN)
    });
    Ok(keys.boxed())
}

async fn subscribe_wire(client: Client) -> Result<Told> {
    let messages = client.simple_query_raw(SUBSCRIBE).await.map_err(lost)?;
    let keys = messages.map(move |message| {
        // The connection lives as long as its client.
        let _alive = &client;
        let SimpleQueryMessage::Row(row) = message.map_err(lost)? else { return Ok(vec![]) };
        let key = row.get(KEY_COLUMN).and_then(|text| text.parse().ok());
        key.map(|key| vec![key]).ok_or_else(|| Error::internal("the subscriber's key is not a number"))
    });
    Ok(keys.boxed())
}

/// Takes what the subscriber is told in a pause, so that it is never behind.
async fn drain(told: &mut Told) {
    let all = async { while let Some(Ok(_)) = told.next().await {} };
    // It ends by the timeout unless the subscription has ended, which the next sample then finds.
    timeout(pause(), all).await.ok();
}

/// Milliseconds from before the insert until the subscriber has heard of the key.
async fn until_told(insert: impl Future<Output = Result<()>>, told: &mut Told, key: i64) -> Result<f64> {
    let began = Instant::now();
    let heard = async {
        while let Some(keys) = told.next().await {
            if keys?.contains(&key) {
                return Ok(began.elapsed().as_secs_f64() * 1000.0);
            }
        }
        Err(Error::internal("the subscription ended"))
    };
    let (inserted, heard) = futures::join!(insert, timeout(LOST_AFTER, heard));
    inserted?;
    heard.map_err(|_| Error::internal(format!("the subscriber never heard of the key {key}")))?
}

fn row(
    report: &mut Report,
    via: &str,
    seen_by: &str,
    load: u64,
    harness: &Harness,
    (began, read): (Instant, u64),
    millis: Vec<f64>,
) {
    let fed = (harness.records_read() - read) as f64 / began.elapsed().as_secs_f64();
    report.row(vec![
        ("via", json!(via)),
        ("seen_by", json!(seen_by)),
        ("load", json!(if load == 0 { "at rest" } else { "fed" })),
        // What was really fed, on average since the load began.
        ("fed_events_per_s", json!(fed.round() as u64)),
        ("samples", json!(millis.len())),
        ("p50_ms", json!(percentile(&millis, 0.5))),
        ("p99_ms", json!(percentile(&millis, 0.99))),
        ("max_ms", json!(percentile(&millis, 1.0))),
    ]);
}
