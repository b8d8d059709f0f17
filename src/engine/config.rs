//! How a database is set up, with every limit by name.

use std::path::PathBuf;
use std::time::Duration;

use super::memory::machine_memory;

/// Settings of the process; what a session can set is in [`settings`](super::settings).
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept.
    pub data: PathBuf,
    /// Timely worker threads.
    pub workers: usize,
    /// Where SELECTs run, apart from the threads that serve connections.
    pub query_runtime: tokio::runtime::Handle,
    /// All running SELECTs together may hold this much; beyond it they fail with 53200.
    pub query_memory_bytes: usize,
    /// Bytes that were given a timestamp and that some view has not finished; beyond it sources pause and commits wait.
    pub backlog_bytes_max: usize,
    /// Sources are drained at most this often.
    pub tick: Duration,
    /// Records of a source's history that a new view takes at one timestamp.
    pub history_step_records: u64,
    /// Writes that would leave less than this on the disk are refused.
    pub disk_reserve_bytes: u64,
    /// Between checkpoints.
    pub checkpoint_interval: Duration,
    /// Memory for what views and tables keep; what is more lies in files, mapped.
    pub memory_bytes: usize,
    /// How far back a SUBSCRIBE can begin.
    pub retention: Duration,
}

impl Config {
    /// The defaults for a database in `data`.
    pub fn new(data: PathBuf, query_runtime: tokio::runtime::Handle) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let config = Config {
            data,
            workers,
            query_runtime,
            query_memory_bytes: 2 << 30,
            backlog_bytes_max: 0,
            tick: Duration::from_millis(10),
            history_step_records: 250_000,
            disk_reserve_bytes: 64 << 20,
            checkpoint_interval: Duration::from_secs(10),
            memory_bytes: 0,
            retention: Duration::from_secs(1),
        };
        config.with_memory(machine_memory() / 2)
    }

    /// With so much memory for what is kept. Rows that wait to be worked off may be a small part of it, since they take
    /// several times their bytes while they are; more than the most makes nothing faster.
    pub fn with_memory(self, bytes: usize) -> Self {
        Config { memory_bytes: bytes, backlog_bytes_max: (bytes / 16).clamp(16 << 20, 256 << 20), ..self }
    }
}
