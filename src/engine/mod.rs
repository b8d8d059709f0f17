//! Owns the running system: executes statements, chooses times, builds and retires views, reads.

mod session;

pub use session::{
    CopyFormat, CopyIn, CopyOptions, Database, Description, Notice, Outcome, RowStream, Session, SessionOptions, Severity,
    Statement, TransactionStatus,
};
