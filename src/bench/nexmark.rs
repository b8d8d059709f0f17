//! Nexmark: each query as a materialized view over the generator, from CREATE to complete.
//!
//! The generator has made its events before the clock starts; the view then reads them as its history, 40,000 events
//! per timestamp, which generates them again. What generating alone costs is measured apart, and a query's rows are
//! checked against the counts that come with its text.

use serde_json::json;

use super::harness::{Harness, Stopwatch, memory_mb};
use super::report::Report;
use crate::connect::generator::nexmark;
use crate::types::Result;

/// The queries, each headed by its name and the rows that it has at the end for 10,000,000 events.
const QUERIES: &str = include_str!("nexmark.sql");

/// For which numbers of events the counts hold.
const COUNTED_EVENTS: u64 = 10_000_000;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = COUNTED_EVENTS)]
    events: u64,
    /// Which queries; all if none is named.
    queries: Vec<String>,
}

/// A query of the benchmark.
pub struct Query {
    pub name: String,
    pub rows: usize,
    pub sql: String,
}

/// The queries of the file, or those that are named.
pub fn queries(names: &[String]) -> Vec<Query> {
    let mut found: Vec<Query> = Vec::new();
    for line in QUERIES.lines() {
        let header = line.strip_prefix("-- q").and_then(|rest| rest.split_once(' '));
        if let Some((number, rows)) = header.and_then(|(number, rows)| Some((number, rows.parse().ok()?))) {
            found.push(Query { name: format!("q{number}"), rows, sql: String::new() });
        } else if let Some(query) = found.last_mut() {
            query.sql.push_str(line);
            query.sql.push('\n');
        }
    }
    found.retain(|query| names.is_empty() || names.contains(&query.name));
    found.iter_mut().for_each(|query| query.sql = query.sql.trim().trim_end_matches(';').to_string());
    found
}

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let watch = Stopwatch::start();
    for from in (0..options.events).step_by(40_000) {
        nexmark::generate(from..(from + 40_000).min(options.events), nexmark::DEFAULT_DENSITY)?;
    }
    row(report, "generator", options.events, &watch, 0, "");
    for query in queries(&options.queries) {
        let mut harness = Harness::new(workers)?;
        let events = options.events;
        harness.sql(&format!(
            "CREATE SOURCE nex FROM LOAD GENERATOR NEXMARK (EVENTS {events}, RATE 0, EVENTS_PER_EVENT_SECOND 10000)"
        ))?;
        harness.sql("SET search_path = nex, public")?;
        wait_for_events(&harness, events);
        let watch = Stopwatch::start();
        harness.sql(&format!("CREATE MATERIALIZED VIEW public.answer AS {}", query.sql))?;
        harness.catch_up("answer");
        let (wall, cpu) = (watch.wall_s(), watch.cpu_s());
        let rows = harness.count("SELECT 1 FROM public.answer")?;
        let right = match events == COUNTED_EVENTS {
            true if rows == query.rows => "right",
            true => "WRONG",
            false => "unchecked",
        };
        figures(report, &query.name, events, (wall, cpu), rows, right);
    }
    Ok(())
}

/// The generator runs at once when it is declared; the benchmark begins when it has ended.
fn wait_for_events(harness: &Harness, events: u64) {
    let position =
        || -> i64 { harness.database.ingest.status().iter().flat_map(|source| source.positions.0.values()).sum() };
    while position() < events as i64 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn row(report: &mut Report, name: &str, events: u64, watch: &Stopwatch, rows: usize, right: &str) {
    figures(report, name, events, (watch.wall_s(), watch.cpu_s()), rows, right);
}

fn figures(report: &mut Report, name: &str, events: u64, (wall, cpu): (f64, f64), rows: usize, right: &str) {
    report.row(vec![
        ("query", json!(name)),
        ("events", json!(events)),
        ("wall_s", json!(wall)),
        ("cpu_s", json!(cpu)),
        ("events_per_s", json!((events as f64 / wall).round() as u64)),
        ("events_per_cpu_s", json!((events as f64 / cpu.max(0.001)).round() as u64)),
        ("peak_mb", json!(memory_mb().1.round() as u64)),
        ("rows", json!(rows)),
        ("check", json!(right)),
    ]);
}
