//! Owns the running system: executes statements, chooses times, builds and retires views, reads.
//!
//! ```text
//!   Session ── Transaction ──COMMIT──▶ Timeline ──▶ workers (dataflow::Runtime)
//!      │                                  ▲
//!      └── read (DataFusion over          └── Ingest (sources' followers, by ticks)
//!          published snapshots at one time)
//! ```

mod bell;
mod checkpoint;
mod config;
mod cursor;
mod database;
mod durable;
mod effect;
mod footprint;
mod ingest;
mod memory;
mod metric;
mod metrics;
mod outcome;
mod plans;
mod prepared;
mod read;
mod recovery;
mod session;
mod settings;
mod statement;
mod system;
mod timeline;
mod transaction;
mod upsert;
mod views;
mod write_log;

pub use crate::sql::statement::Statement;
pub use config::Config;
pub use database::Database;
pub use metric::{Metric, MetricKind, Sample};
pub use outcome::{
    CopyFormat, CopyIn, CopyOptions, Description, Notice, Outcome, RowStream, Severity, TransactionStatus,
};
pub use prepared::{Prepared, PreparedStatements};
pub use session::{Session, SessionOptions};
