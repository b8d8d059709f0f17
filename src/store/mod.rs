//! Puts state on disk so that it is either all there or not there.
//!
//! ```text
//!   DIR/log/        RocksDB: what is small and transactional, in column families (see Family)
//!   DIR/batches/    immutable Arrow IPC files: the chunks of arrangements
//! ```

mod batch_file;
mod delta_bytes;
mod files;
mod log;
mod map;
mod paging;
#[cfg(test)]
mod restore_tests;

pub use batch_file::{BatchFile, BatchFileWriter};
pub use delta_bytes::{delta_from_bytes, delta_to_bytes};
pub use files::Files;
pub use log::{Change, Family, Pair, Store, fatal};
pub use paging::{PagedOut, keep_within, map};
