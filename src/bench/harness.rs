//! A database in this process, driven by SQL, and what it used of the machine.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use futures::TryStreamExt;

use crate::connect::generator::nexmark::DEFAULT_DENSITY;
use crate::dataflow::runtime::Arrangement;
use crate::engine::{Config, Database, Outcome, Session, SessionOptions};
use crate::types::{Error, ObjectId, Result};

/// Between two looks at whether the workers still merge, and how long that is waited for.
const SETTLE_PAUSE: Duration = Duration::from_millis(300);
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// A source that has not moved for so long won't.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// What is measured is the engine without checkpoints, unless [`CHECKPOINT_INTERVAL`] says otherwise.
const NEVER: Duration = Duration::from_secs(86_400);

/// Between checkpoints, for a whole process.
pub static CHECKPOINT_INTERVAL: OnceLock<Duration> = OnceLock::new();

/// A database of its own in a folder that goes with it, and a session.
pub struct Harness {
    pub database: Arc<Database>,
    pub session: Session,
    pub queries: tokio::runtime::Runtime,
    folder: std::path::PathBuf,
}

impl Harness {
    pub fn new(workers: usize) -> Result<Self> {
        Harness::with(workers, |_| ())
    }

    /// One whose limits are others.
    pub fn with(workers: usize, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let name = format!("millrace-bench-{}-{}", std::process::id(), crate::types::random_u64());
        let folder = std::env::temp_dir().join(name);
        let queries = tokio::runtime::Runtime::new().map_err(|error| Error::internal(error.to_string()))?;
        let mut config = Config::new(folder.clone(), queries.handle().clone());
        config.workers = workers;
        config.history_step_records = 40_000;
        config.checkpoint_interval = CHECKPOINT_INTERVAL.get().copied().unwrap_or(NEVER);
        change(&mut config);
        let database = Database::open(config)?;
        let session = session(&database)?;
        Ok(Harness { database, session, queries, folder })
    }

    /// Runs statements one after the other; gives the rows of the last.
    pub fn sql(&mut self, text: &str) -> Result<Vec<RecordBatch>> {
        self.queries.block_on(run_sql(&mut self.session, text))
    }

    /// Rows that a query gives.
    pub fn count(&mut self, text: &str) -> Result<usize> {
        Ok(self.sql(text)?.iter().map(RecordBatch::num_rows).sum())
    }

    /// Waits until a view has everything that it can have by now, without reading it.
    pub fn catch_up(&self, view: &str) -> Result<()> {
        let time = self.database.timeline.readable();
        self.queries.block_on(self.database.complete_to(self.id("public", view)?, time))
    }

    pub fn id(&self, schema: &str, name: &str) -> Result<ObjectId> {
        let catalog = self.database.catalog();
        let found = catalog.relation(Some(schema), name, &[]).map(|entry| entry.id);
        found.ok_or_else(|| Error::internal(format!("{schema}.{name} is not in the catalog")))
    }

    /// Declares the source `nex` of so many Nexmark events and waits until it has given them all.
    pub fn generate(&mut self, events: u64) -> Result<()> {
        self.sql(&format!(
            "CREATE SOURCE nex FROM LOAD GENERATOR NEXMARK (EVENTS {events}, RATE 0, EVENTS_PER_EVENT_SECOND {DEFAULT_DENSITY})"
        ))?;
        self.read_to(events)
    }

    /// Waits until the sources have read so many records in all.
    pub fn read_to(&self, records: u64) -> Result<()> {
        let (mut read, mut moved) = (self.records_read(), Instant::now());
        while read < records {
            std::thread::sleep(Duration::from_millis(5));
            let now = self.records_read();
            if now > read {
                (read, moved) = (now, Instant::now());
            } else if moved.elapsed() > STUCK_AFTER {
                let status = self.database.ingest.status();
                let trouble: Vec<String> = status.into_iter().filter_map(|source| source.trouble).collect();
                let message = format!("a source stands at {read} of {records} records: {}", trouble.join("; "));
                return Err(Error::internal(message));
            }
        }
        Ok(())
    }

    /// How far the sources have read, over all partitions.
    pub fn records_read(&self) -> u64 {
        self.database.ingest.status().iter().flat_map(|source| source.positions.0.values()).sum::<i64>() as u64
    }

    /// Waits until the workers have merged what they will merge, so that loading is over before reading is measured.
    pub fn settle(&self) {
        let batches = || self.arrangements().iter().map(|arrangement| arrangement.batches).sum::<usize>();
        let (mut before, began) = (usize::MAX, Instant::now());
        while before != batches() && began.elapsed() < SETTLE_LIMIT {
            before = batches();
            std::thread::sleep(SETTLE_PAUSE);
        }
    }

    pub fn arrangements(&self) -> Vec<Arrangement> {
        self.database.runtime.arrangements()
    }
}

/// Runs statements one after the other; gives the rows of the last.
pub async fn run_sql(session: &mut Session, text: &str) -> Result<Vec<RecordBatch>> {
    let mut last = Vec::new();
    for statement in session.parse(text)? {
        last = match session.execute(&statement, &[]).await? {
            Outcome::Rows { rows, .. } => rows.try_collect().await?,
            _ => Vec::new(),
        };
    }
    Ok(last)
}

/// A session of the benchmark's user.
pub fn session(database: &Arc<Database>) -> Result<Session> {
    database.session(SessionOptions {
        user: "millrace".into(),
        database: "millrace".into(),
        ..SessionOptions::default()
    })
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.database.shutdown();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Wall and CPU time since a moment.
pub struct Stopwatch {
    began: Instant,
    cpu: f64,
}

impl Stopwatch {
    pub fn start() -> Self {
        Stopwatch { began: Instant::now(), cpu: cpu_seconds() }
    }

    pub fn wall_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    pub fn cpu_s(&self) -> f64 {
        cpu_seconds() - self.cpu
    }
}

/// CPU seconds (user and system) of all threads of this process, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// CPU nanoseconds of the calling thread, exact where ticks would be too coarse.
pub fn thread_cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// Resident megabytes of this process, now and at the most.
pub fn memory_mb() -> (f64, f64) {
    (memory_of("VmRSS:"), memory_of("VmHWM:"))
}

/// Megabytes of this process that a field of its status tells.
pub fn memory_of(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Megabytes that this process has given to the disk, or will have given when its caches are.
pub fn disk_written_mb() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|bytes| bytes.trim().parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e6
}

/// How often this process had to wait for the disk to have a page of its memory.
pub fn major_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(9).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// The value below which a share of the sorted values lies.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = ((sorted.len() as f64 - 1.0) * share).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// The middle one of the values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 0.5)
}

/// The least and the largest of the values.
pub fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(*value), most.max(*value)))
}

/// A benchmark that measures the wrong thing fails: what was expected, and what was there.
pub fn expect<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, found: T) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::internal(format!("wrong result: {what}: expected {expected:?}, found {found:?}")))
}
