//! JSON records from a Kafka topic into a view: how many per second, and which part of the CPU time decoding takes.
//!
//! The topic is filled with Nexmark bids before the clock starts. *live*: source and view are made, and the clock runs
//! until the view has everything; all but the first moments comes through the follower. *history*: the source has been
//! read before, and the new view reads the topic again. Decoding alone is the same bytes through the same decoder, on
//! this thread and without Kafka. The broker is another process, whose time is not counted, but on a small machine it
//! takes wall time from us.

use std::sync::atomic::Ordering;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::json::LineDelimitedWriter;
use serde_json::json;

use super::harness::{Harness, Stopwatch, expect, thread_cpu_ns};
use super::report::Report;
use crate::connect::generator::nexmark::{DEFAULT_DENSITY, RELATIONS, generate};
use crate::connect::{ScratchTopic, format};
use crate::types::{Column, Error, Result, SqlState, random_u64};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 2_000_000)]
    records: usize,
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Where the broker is [default: what MILLRACE_KAFKA says].
    #[arg(long)]
    broker: Option<String>,
}

/// The views: a name, the query, and a query over the view that gives the number of records and the sum of prices.
const VIEWS: &[(&str, &str, &str)] = &[
    (
        "count and sum by auction",
        "SELECT auction, count(*) AS n, sum(price) AS total FROM bid GROUP BY auction",
        "SELECT sum(n)::bigint, sum(total)::bigint FROM answer",
    ),
    ("SELECT *", "SELECT * FROM bid", "SELECT count(*), sum(price)::bigint FROM answer"),
];

/// Where a view's records come from.
const PATHS: &[&str] = &["live", "history"];

/// Records of one batch of the decoder, as a follower makes them.
const DECODE_RECORDS: usize = 8192;
/// Events made at a time.
const CHUNK_EVENTS: u64 = 40_000;
const BID: usize = 2;

/// What the topic holds, and what decoding it costs.
struct Filled {
    records: usize,
    bytes: usize,
    prices: i64,
    decode_cpu_s: f64,
}

/// The broker that is asked for, if one is.
pub fn broker(given: Option<&String>) -> Option<String> {
    given.cloned().or_else(|| std::env::var("MILLRACE_KAFKA").ok()).filter(|broker| !broker.is_empty())
}

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let broker = broker(options.broker.as_ref()).ok_or_else(|| {
        Error::new(SqlState::INVALID_PARAMETER_VALUE, "it is not known where a Kafka broker is")
            .with_hint("Give --broker, or set MILLRACE_KAFKA; `scripts/kafka start` starts one and prints its address.")
    })?;
    let name = format!("millrace-bench-{:016x}", random_u64());
    let topic = ScratchTopic::create(&broker, &name, options.partitions)?;
    let filled = fill(&topic, options.records)?;
    report_decoding(&filled, report);
    for &(name, query, check) in VIEWS {
        for &path in PATHS {
            let mut harness = Harness::new(workers)?;
            harness.sql(&format!("CREATE CONNECTION kafka TO KAFKA (BROKER '{broker}')"))?;
            let source = source(&topic);
            if path == "history" {
                harness.sql(&source)?;
                harness.read_to(filled.records as u64)?;
            }
            let watch = Stopwatch::start();
            if path == "live" {
                harness.sql(&source)?;
            }
            harness.sql(&format!("CREATE MATERIALIZED VIEW answer AS {query}"))?;
            harness.read_to(filled.records as u64)?;
            harness.catch_up("answer")?;
            let used = (watch.wall_s(), watch.cpu_s());
            report_view(&harness, (name, path), &filled, used, report)?;
            let found = harness.sql(check)?;
            let whole = |column: usize| found.iter().flat_map(|rows| numbers(rows, column)).sum::<i64>();
            expect("records and sum of prices", (filled.records as i64, filled.prices), (whole(0), whole(1)))?;
        }
    }
    Ok(())
}

fn numbers(rows: &RecordBatch, column: usize) -> Vec<i64> {
    rows.column(column).as_primitive::<Int64Type>().values().to_vec()
}

fn columns() -> &'static [Column] {
    &RELATIONS[BID].relation.columns
}

fn source(topic: &ScratchTopic) -> String {
    let columns: Vec<String> =
        columns().iter().map(|column| format!("{} {} NOT NULL", column.name, column.sql_type)).collect();
    let (columns, topic) = (columns.join(", "), topic.name());
    format!(
        "CREATE SOURCE bid ({columns}) FROM KAFKA CONNECTION kafka (TOPIC '{topic}') FORMAT JSON WITH (on_error = 'stop')"
    )
}

/// Fills the topic, and decodes what goes there; only the decoding is timed.
fn fill(topic: &ScratchTopic, records: usize) -> Result<Filled> {
    let mut filled = Filled { records: 0, bytes: 0, prices: 0, decode_cpu_s: 0.0 };
    let mut decoder = format::open("json", columns())?;
    let mut from = 0;
    while filled.records < records {
        let bids = generate(from..from + CHUNK_EVENTS, DEFAULT_DENSITY)?[BID].clone();
        from += CHUNK_EVENTS;
        let bids = bids.slice(0, bids.num_rows().min(records - filled.records));
        let text = json_lines(&bids)?;
        let values: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        topic.fill(values.iter().copied())?;
        let began = thread_cpu_ns();
        for batch in values.chunks(DECODE_RECORDS) {
            batch.iter().try_for_each(|value| decoder.decode(value))?;
            decoder.finish()?;
        }
        filled.decode_cpu_s += (thread_cpu_ns() - began) as f64 / 1e9;
        filled.records += values.len();
        filled.bytes += values.iter().map(|value| value.len()).sum::<usize>();
        let price = bids.schema().index_of("price")?;
        filled.prices += numbers(&bids, price).iter().sum::<i64>();
    }
    Ok(filled)
}

fn json_lines(rows: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

fn report_decoding(filled: &Filled, report: &mut Report) {
    let cpu_s = filled.decode_cpu_s;
    row(report, ("decoding alone", ""), filled, (cpu_s, cpu_s), filled.records as u64);
}

fn report_view(
    harness: &Harness,
    what: (&str, &str),
    filled: &Filled,
    used: (f64, f64),
    report: &mut Report,
) -> Result<()> {
    let view = harness.database.views.get(harness.id("public", "answer")?);
    let history = view.map_or(0, |view| view.history_total.load(Ordering::Relaxed));
    // What the follower has read before the clock started is not decoded while it runs.
    let followed = if what.1 == "live" { filled.records as u64 } else { 0 };
    row(report, what, filled, used, followed + history);
    Ok(())
}

fn row(report: &mut Report, (view, path): (&str, &str), filled: &Filled, (wall_s, cpu_s): (f64, f64), decoded: u64) {
    let records = filled.records as f64;
    let decode_cpu_s = filled.decode_cpu_s * decoded as f64 / records;
    report.row(vec![
        ("view", json!(view)),
        ("path", json!(path)),
        ("records", json!(filled.records)),
        ("bytes_per_record", json!(filled.bytes as f64 / records)),
        ("decoded", json!(decoded)),
        ("wall_s", json!(wall_s)),
        ("cpu_s", json!(cpu_s)),
        ("records_per_s", json!((records / wall_s).round() as u64)),
        ("records_per_cpu_s", json!((records / cpu_s.max(0.001)).round() as u64)),
        ("mb_per_s", json!(filled.bytes as f64 / 1e6 / wall_s)),
        ("decode_share", json!(decode_cpu_s / cpu_s.max(0.001))),
    ]);
}
