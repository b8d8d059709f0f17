//! Keeping within the budget of memory: how much the machine has, what this process takes of it, and what is left for pages.

use std::time::Duration;

use super::database::Database;
use crate::store;

/// What a machine has that does not say, in bytes.
const MEMORY_UNKNOWN: usize = 8 << 30;

/// Until pages that could not be written are tried again.
const PAGING_RETRY: Duration = Duration::from_secs(1);

/// Of the budget, the part beyond which it is worth asking what else there is.
const WORTH_ASKING: usize = 4;

/// Bytes that the machine has, or that this process's control group may use, if that is less.
pub fn machine_memory() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let group = read("/sys/fs/cgroup/memory.max").trim().parse().unwrap_or(usize::MAX);
    let kib = |info: String| {
        info.lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<usize>().ok())
    };
    group.min(kib(read("/proc/meminfo")).map_or(MEMORY_UNKNOWN, |kib| kib << 10))
}

/// Bytes of this process that no file backs; none where the system does not say.
fn anonymous_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix("kB"));
    line.and_then(|kib| kib.trim().parse::<usize>().ok()).unwrap_or(0) << 10
}

impl Database {
    /// Takes pages out of memory if there are too many. One that can't be written stays, and is tried again.
    pub(super) fn keep_within_memory(&self) {
        let memory = self.runtime.memory();
        if memory.used() > memory.budget() / WORTH_ASKING {
            let queries = self.query_environment.memory_pool.reserved();
            memory.set_overhead(anonymous_memory().saturating_sub(memory.used() + queries));
        }
        let paged = store::keep_within(&self.store, memory, memory.room()).and_then(|done| {
            if done.pages > 0 {
                tracing::debug!(pages = done.pages, bytes = done.bytes, written = done.bytes_written, "paged out");
                self.checkpoints.remove_unused(&self.store)?;
            }
            Ok(())
        });
        if let Err(error) = paged {
            tracing::warn!(%error, "memory is over its budget");
            std::thread::sleep(PAGING_RETRY);
        }
    }
}
