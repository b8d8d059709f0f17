//! Owns the running system: executes statements, chooses times, builds and retires views, reads.

mod config;
mod metric;
mod prepared;
mod session;

pub use config::Config;
pub use metric::{Metric, MetricKind, Sample};
pub use prepared::{Prepared, PreparedStatements};
pub use session::{
    CopyFormat, CopyIn, CopyOptions, Database, Description, Notice, Outcome, RowStream, Session, SessionOptions,
    Severity, Statement, TransactionStatus,
};
