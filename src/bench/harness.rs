//! A database in this process, driven by SQL, and what it used of the machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use futures::TryStreamExt;

use crate::engine::{Config, Database, Outcome, Session, SessionOptions};
use crate::types::{Error, Result};

/// A database of its own in a folder that goes with it, and a session.
pub struct Harness {
    pub database: Arc<Database>,
    pub session: Session,
    queries: tokio::runtime::Runtime,
    folder: std::path::PathBuf,
}

impl Harness {
    pub fn new(workers: usize) -> Result<Self> {
        let name = format!("millrace-bench-{}-{}", std::process::id(), crate::types::random_u64());
        let folder = std::env::temp_dir().join(name);
        let queries = tokio::runtime::Runtime::new().map_err(|error| Error::internal(error.to_string()))?;
        let mut config = Config::new(folder.clone(), queries.handle().clone());
        config.workers = workers;
        config.history_step_records = 40_000;
        let database = Database::open(config)?;
        let options =
            SessionOptions { user: "millrace".into(), database: "millrace".into(), ..SessionOptions::default() };
        let session = database.session(options)?;
        Ok(Harness { database, session, queries, folder })
    }

    /// Runs statements one after the other; gives the rows of the last.
    pub fn sql(&mut self, text: &str) -> Result<Vec<RecordBatch>> {
        let Harness { session, queries, .. } = self;
        queries.block_on(async {
            let mut last = Vec::new();
            for statement in session.parse(text)? {
                last = match session.execute(&statement, &[]).await? {
                    Outcome::Rows { rows, .. } => rows.try_collect().await?,
                    _ => Vec::new(),
                };
            }
            Ok(last)
        })
    }

    /// Rows that a query gives.
    pub fn count(&mut self, text: &str) -> Result<usize> {
        Ok(self.sql(text)?.iter().map(RecordBatch::num_rows).sum())
    }

    /// Waits until a view has everything that it can have by now, without reading it.
    pub fn catch_up(&self, view: &str) {
        let id = self.database.catalog().relation(None, view, &["public".to_string()]).map(|entry| entry.id);
        let id = id.expect("the benchmark made it");
        let time = self.database.timeline.readable();
        while self.database.runtime.frontier(id).is_some_and(|frontier| frontier <= time) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
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

/// Resident megabytes of this process, now and at the most.
pub fn memory_mb() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// The value below which a share of the sorted values lies.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = ((sorted.len() as f64 - 1.0) * share).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}
