//! One client's conversation with the database: its settings, transaction, cursors and prepared statements.
//!
//! Everything is `async` and may be dropped at any await: dropping an execution cancels it, and its work stops.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use futures::stream::BoxStream;

use super::{Config, Metric, PreparedStatements};
use crate::types::{Relation, Result, SqlType};

/// The running database; one per process.
pub struct Database {}

/// What a client said when it connected.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    pub user: String,
    pub database: String,
    /// Startup parameters (application_name, search_path, those of `options=-c name=value`), in order.
    pub settings: Vec<(String, String)>,
    pub process_id: i32,
}

impl Database {
    /// Starts the workers; returns when statements can be executed.
    pub fn open(config: Config) -> Result<Arc<Database>> {
        let _ = config;
        todo!()
    }

    /// Figures for `/metrics`, as they are now.
    pub fn metrics(&self) -> Vec<Metric> {
        todo!()
    }

    /// A new session; 3D000 if there is no such database, 42704 or 22023 if a setting is wrong.
    pub fn session(self: &Arc<Self>, options: SessionOptions) -> Result<Session> {
        let _ = options;
        todo!()
    }
}

/// A parsed statement, with its own text.
#[derive(Clone, Debug)]
pub struct Statement {}

/// What a statement takes and gives, before it runs.
#[derive(Clone, Debug)]
pub struct Description {
    /// The types of `$1`, `$2`, ...
    pub parameters: Vec<SqlType>,
    /// None if it gives no rows.
    pub columns: Option<Relation>,
}

/// Batches whose schema is exactly that of the described columns.
pub type RowStream = BoxStream<'static, Result<RecordBatch>>;

/// What a statement did.
pub enum Outcome {
    /// Rows, as they come. The tag is `verb`, a space and the number of rows sent (`SELECT 3`, `FETCH 2`,
    /// `INSERT 0 1`). With the verb `SUBSCRIBE` the stream has no end, and a portal with a row limit hands out what
    /// there is instead of waiting until the limit is reached.
    Rows { columns: Relation, rows: RowStream, verb: &'static str },
    /// No rows; the whole command tag.
    Done { tag: String },
    /// The client may now send rows; they go to [`Session::copy_rows`], then [`Session::copy_end`].
    CopyIn(CopyIn),
    /// Rows to be written in a COPY format; the tag is `COPY n`.
    CopyOut { columns: Relation, rows: RowStream, options: CopyOptions },
    /// The empty statement.
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
}

/// COPY's options, with their defaults filled in by format.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    pub format: CopyFormat,
    pub delimiter: u8,
    pub null: String,
    pub header: bool,
    pub quote: u8,
    pub escape: u8,
}

/// A COPY FROM STDIN under way: the columns that the client sends, in order.
pub struct CopyIn {
    pub columns: Relation,
    pub options: CopyOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Notice,
    Warning,
    Info,
}

/// Something to tell the client that is not an error.
#[derive(Clone, Debug)]
pub struct Notice {
    pub severity: Severity,
    pub error: crate::types::Error,
}

/// One client's session.
pub struct Session {}

impl Session {
    /// Parses a string of statements; a syntax error anywhere means that none of them runs.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>> {
        let _ = text;
        todo!()
    }

    /// Plans a statement to learn its parameters and columns. `declared` holds the types that the client gave. In a
    /// failed transaction block only what ends it can be described (25P02 for the rest).
    pub async fn describe(&mut self, statement: &Statement, declared: &[Option<SqlType>]) -> Result<Description> {
        let _ = (statement, declared);
        todo!()
    }

    /// Runs a statement. An error inside a transaction block makes the block fail (25P02 follows).
    pub async fn execute(&mut self, statement: &Statement, parameters: &[ScalarValue]) -> Result<Outcome> {
        let _ = (statement, parameters);
        todo!()
    }

    /// Opens the implicit transaction of a multi-statement string or an extended-protocol pipeline; the first statement
    /// of it that is a BEGIN turns it into a block. Nothing happens if a transaction is open; so it is called before
    /// each statement, and what follows a COMMIT in the same string has an implicit transaction of its own.
    pub fn begin_implicit(&mut self) {
        todo!()
    }

    /// Commits the implicit transaction, if one is open, or rolls it back after an error.
    pub async fn end_implicit(&mut self, succeeded: bool) -> Result<()> {
        let _ = succeeded;
        todo!()
    }

    /// Rows of a COPY FROM STDIN: one Utf8 column per copied column, as the format's fields were (NULL resolved).
    /// Values are parsed here; `first_line` is the line number of the first row, for the error's context.
    pub async fn copy_rows(&mut self, copy: &mut CopyIn, rows: RecordBatch, first_line: u64) -> Result<()> {
        let _ = (copy, rows, first_line);
        todo!()
    }

    /// Commits what was copied and gives the tag (`COPY n`); with an error (the client's CopyFail, say) drops it.
    pub async fn copy_end(&mut self, copy: CopyIn, result: Result<()>) -> Result<String> {
        let _ = (copy, result);
        todo!()
    }

    pub fn transaction_status(&self) -> TransactionStatus {
        todo!()
    }

    /// An error that the server found itself (a bad parameter, a cancel) while this session was in a transaction.
    pub fn fail_transaction(&mut self) {
        todo!()
    }

    /// The prepared statements of the protocol and of PREPARE, which share their names.
    pub fn prepared(&mut self) -> &mut PreparedStatements {
        todo!()
    }

    /// The columns of an open cursor, which the protocol may describe as it does its own portals.
    pub fn cursor(&self, name: &str) -> Option<Relation> {
        let _ = name;
        todo!()
    }

    /// A setting as SHOW prints it (`statement_timeout`, `TimeZone`, ...).
    pub fn setting(&self, name: &str) -> Option<String> {
        let _ = name;
        todo!()
    }

    /// The settings that clients are told of when they change (ParameterStatus), changed since the last call; all of
    /// them at the first.
    pub fn changed_settings(&mut self) -> Vec<(String, String)> {
        todo!()
    }

    pub fn take_notices(&mut self) -> Vec<Notice> {
        todo!()
    }
}
