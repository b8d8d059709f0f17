//! What the running database is started with.

use std::path::PathBuf;

use tokio::runtime::Handle;

/// Chosen at start-up, the same until the process ends.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where state will live; nothing is written there yet.
    pub data: PathBuf,
    /// Dataflow worker threads.
    pub workers: usize,
    /// Where plans are executed, apart from the threads that serve sockets: a query that does not yield for seconds must
    /// not keep anybody from connecting or cancelling.
    pub query_runtime: Handle,
    /// Memory that all SELECTs together may use (53200 beyond it).
    pub query_memory_bytes: usize,
}
