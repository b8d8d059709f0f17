//! How a database is set up, with every limit by name.

use std::path::PathBuf;
use std::time::Duration;

/// What a machine has that does not say, in bytes.
const MEMORY_UNKNOWN: usize = 8 << 30;

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

/// Bytes that the machine has, or that this process's control group may use, if that is less.
fn machine_memory() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let group = read("/sys/fs/cgroup/memory.max").trim().parse().unwrap_or(usize::MAX);
    let kib = |info: String| {
        info.lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<usize>().ok())
    };
    group.min(kib(read("/proc/meminfo")).map_or(MEMORY_UNKNOWN, |kib| kib << 10))
}

impl Config {
    /// The defaults for a database in `data`.
    pub fn new(data: PathBuf, query_runtime: tokio::runtime::Handle) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Config {
            data,
            workers,
            query_runtime,
            query_memory_bytes: 2 << 30,
            backlog_bytes_max: 256 << 20,
            tick: Duration::from_millis(10),
            history_step_records: 250_000,
            disk_reserve_bytes: 64 << 20,
            checkpoint_interval: Duration::from_secs(10),
            memory_bytes: machine_memory() / 2,
            retention: Duration::from_secs(1),
        }
    }
}
