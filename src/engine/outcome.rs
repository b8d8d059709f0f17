//! What statements give back.

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::types::{Column, Error, Relation, Result, SqlType};

/// What a statement takes and gives, before it runs.
#[derive(Clone, Debug, Default)]
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
    /// Rows, as they come; an endless stream for SUBSCRIBE. The tag is `verb`, a space and the number of rows sent
    /// (`SELECT 3`, `FETCH 2`, `INSERT 0 1`).
    Rows { columns: Relation, rows: RowStream, verb: &'static str },
    /// No rows; the whole command tag.
    Done { tag: String },
    /// The client may now send rows; they go to [`Session::copy_rows`](super::Session::copy_rows), then
    /// [`Session::copy_end`](super::Session::copy_end).
    CopyIn(CopyIn),
    /// Rows to be written in a COPY format; the tag is `COPY n`.
    CopyOut { columns: Relation, rows: RowStream, options: CopyOptions },
    /// The empty statement.
    Empty,
}

impl Outcome {
    pub fn done(tag: impl Into<String>) -> Outcome {
        Outcome::Done { tag: tag.into() }
    }

    /// Rows that are there already.
    pub fn rows(columns: Relation, batches: Vec<RecordBatch>, verb: &'static str) -> Outcome {
        let rows = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
        Outcome::Rows { columns, rows, verb }
    }

    /// Text columns (SHOW, EXPLAIN): one array of cells per row.
    pub fn text<const N: usize>(names: [&str; N], cells: Vec<[String; N]>, verb: &'static str) -> Result<Outcome> {
        let columns = Relation::new(names.map(|name| Column::new(name, SqlType::Text, false)).into());
        let column = |place: usize| -> arrow::array::ArrayRef {
            std::sync::Arc::new(
                cells.iter().map(|row| Some(row[place].as_str())).collect::<arrow::array::StringArray>(),
            )
        };
        let batch = RecordBatch::try_new(columns.schema(), (0..N).map(column).collect())?;
        Ok(Outcome::rows(columns, vec![batch], verb))
    }
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
    pub(super) target: super::statement::copy::Target,
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
    pub error: Error,
}
