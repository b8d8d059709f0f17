//! Nexmark: each query as a materialized view over the generator, from CREATE to complete, in a process of its own.
//!
//! The source has read all events before the clock starts; the view then reads them as its history, 40,000 events
//! per timestamp, which makes them again. What making the relations of the query alone costs is measured apart, and
//! the rows at the end are checked against the counts that come with the queries.

use serde_json::json;

use super::apart;
use super::feldera;
use super::harness::{Harness, Stopwatch, expect, memory_mb};
use super::report::Report;
use crate::connect::generator::nexmark;
use crate::types::{Error, Result, SqlState};

/// The queries, each headed by its name and the rows that it has at the end for 10,000,000 events.
const QUERIES: &str = include_str!("nexmark.sql");

/// For which numbers of events the counts hold.
pub const COUNTED_EVENTS: u64 = 10_000_000;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = COUNTED_EVENTS)]
    events: u64,
    /// In this process, one after the other; peak memory is then that of all so far.
    #[arg(long)]
    together: bool,
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
pub fn queries(names: &[String]) -> Result<Vec<Query>> {
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
    let known = |name: &&String| found.iter().any(|query| query.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = found.iter().map(|query| query.name.as_str()).collect();
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("there is no query {unknown}"))
            .with_hint(format!("The queries are {}.", known.join(", "))));
    }
    found.retain(|query| names.is_empty() || names.contains(&query.name));
    found.iter_mut().for_each(|query| query.sql = query.sql.trim().trim_end_matches(';').to_string());
    Ok(found)
}

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    let queries = queries(&options.queries)?;
    if options.together {
        return queries.iter().try_for_each(|query| measure(query, options.events, workers, report));
    }
    report_generator(options.events, report)?;
    for query in queries {
        let arguments = ["nexmark", "--events", &options.events.to_string(), "--together", &query.name];
        apart::run(&arguments.map(str::to_string), workers, report)?;
    }
    Ok(())
}

/// What was used for a query.
struct Used {
    wall_s: f64,
    cpu_s: f64,
    /// Of these, for making the events.
    generator_cpu_s: f64,
    peak_mb: f64,
}

fn measure(query: &Query, events: u64, workers: usize, report: &mut Report) -> Result<()> {
    let mut harness = Harness::new(workers)?;
    harness.generate(events)?;
    harness.sql("SET search_path = nex, public")?;
    let watch = Stopwatch::start();
    harness.sql(&format!("CREATE MATERIALIZED VIEW public.answer AS {}", query.sql))?;
    harness.catch_up("answer")?;
    let (wall_s, cpu_s, peak_mb) = (watch.wall_s(), watch.cpu_s(), memory_mb().1);
    let used = Used { wall_s, cpu_s, generator_cpu_s: generator_cpu_s(&harness)?, peak_mb };
    let rows = harness.count("SELECT 1 FROM public.answer")?;
    let expected = match events == COUNTED_EVENTS {
        true => query.rows,
        // Nobody counted these; the same query run once is the next best.
        false => harness.count(&query.sql)?,
    };
    row(&query.name, events, &used, rows, report);
    expect(&format!("rows of {}", query.name), expected, rows)
}

/// Makes the rows that the view has read once more, as it read them but for nobody.
fn generator_cpu_s(harness: &Harness) -> Result<f64> {
    let catalog = harness.database.catalog();
    let view = catalog.get(harness.id("public", "answer")?).map_or(vec![], |entry| entry.depends_on.clone());
    let time = harness.database.timeline.readable();
    let watch = Stopwatch::start();
    for history in view.iter().filter_map(|&relation| harness.database.ingest.history(relation, 0, time)) {
        let history = history?;
        for batch in history.source.read(history.relation, &history.from, &history.to)? {
            batch?;
        }
    }
    Ok(watch.cpu_s())
}

/// All three relations, made and dropped: what no query over them can fall below.
fn report_generator(events: u64, report: &mut Report) -> Result<()> {
    let watch = Stopwatch::start();
    for from in (0..events).step_by(40_000) {
        nexmark::generate(from..(from + 40_000).min(events), nexmark::DEFAULT_DENSITY)?;
    }
    let (wall_s, cpu_s) = (watch.wall_s(), watch.cpu_s());
    row("generator", events, &Used { wall_s, cpu_s, generator_cpu_s: cpu_s, peak_mb: memory_mb().1 }, 0, report);
    Ok(())
}

fn row(name: &str, events: u64, used: &Used, rows: usize, report: &mut Report) {
    let per_second = |seconds: f64| (events as f64 / seconds.max(0.001)).round() as u64;
    let own_cpu_s = used.cpu_s - used.generator_cpu_s;
    let theirs = feldera::figures(name);
    let their_rate = theirs.map(|theirs| feldera::EVENTS as f64 / theirs.cpu_s);
    // With fewer events there is less state, and a ratio would say too much.
    let comparable = their_rate.filter(|_| events == feldera::EVENTS);
    report.row(vec![
        ("query", json!(name)),
        ("events", json!(events)),
        ("wall_s", json!(used.wall_s)),
        ("cpu_s", json!(used.cpu_s)),
        ("events_per_s", json!(per_second(used.wall_s))),
        ("events_per_cpu_s", json!(per_second(used.cpu_s))),
        ("feldera", json!(their_rate.map(|rate| rate.round() as u64))),
        ("ratio", json!(comparable.map(|rate| events as f64 / used.cpu_s.max(0.001) / rate))),
        ("not_alike", json!(theirs.map_or("", |theirs| theirs.differs))),
        // Not to be held against Feldera's, of which the decoding of events can't be taken off.
        ("without_generator", json!((own_cpu_s > 0.0).then(|| per_second(own_cpu_s)))),
        ("peak_mb", json!(used.peak_mb.round() as u64)),
        ("feldera_peak_mb", json!(theirs.map(|theirs| theirs.peak_mb))),
        ("rows", json!(rows)),
    ]);
}
