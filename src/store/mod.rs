//! Puts state on disk so that it is either all there or not there.
//!
//! ```text
//!   DIR/log/        RocksDB: what is small and transactional, in column families (see Family)
//!   DIR/batches/    immutable Arrow IPC files: the chunks of arrangements
//! ```

mod batch_file;
mod delta_bytes;
mod log;
mod map;
#[cfg(test)]
mod restore_tests;

pub use batch_file::{
    BatchFile, BatchFileWriter, Segment, batch_directory, batch_files, link_batch_file, remove_batch_file,
};
pub use delta_bytes::{delta_from_bytes, delta_to_bytes};
pub use log::{Change, Family, Pair, Store};
