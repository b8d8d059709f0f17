//! Turns the bytes of records into columns. A new format is a file here and a line in [`FORMATS`].
//!
//! Decoding goes record by record into column buffers that can take a row back, so a bad record leaves no trace in its
//! batch and costs nothing to the records around it.

mod column;
mod json;
mod value;

use arrow::array::ArrayRef;

use crate::types::{Column, Error, Result, SqlState, SqlType};

/// Decodes records into the columns that it was made for.
pub trait Decoder: Send {
    /// Appends a row: the fields of a record's value. An error leaves no row behind.
    fn decode(&mut self, bytes: &[u8]) -> Result<()>;

    /// Appends a row: the fields of a record's key, which for a single column may also be the bare value.
    fn decode_key(&mut self, bytes: &[u8]) -> Result<()>;

    /// Appends a row of NULLs, whatever is NOT NULL.
    fn push_nulls(&mut self);

    /// Takes back all rows from `rows` on.
    fn truncate(&mut self, rows: usize);

    /// The rows so far, as one array per column; the next row begins another batch.
    fn finish(&mut self) -> Result<Vec<ArrayRef>>;
}

type Open = fn(&[Column]) -> Result<Box<dyn Decoder>>;

const FORMATS: &[(&str, Open)] = &[("json", json::open)];

/// A decoder of `format` for these columns.
pub fn open(format: &str, columns: &[Column]) -> Result<Box<dyn Decoder>> {
    let Some((_, open)) = FORMATS.iter().find(|(name, _)| *name == format) else {
        let names: Vec<String> = FORMATS.iter().map(|(name, _)| name.to_uppercase()).collect();
        let message = format!("format {} is not supported", format.to_uppercase());
        return Err(Error::unsupported(message).with_hint(format!("The formats are: {}.", names.join(", "))));
    };
    for column in columns {
        if matches!(column.sql_type, SqlType::Unknown | SqlType::Record) {
            let message = format!("column \"{}\" of a source can't have the type {}", column.name, column.sql_type);
            return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
    }
    open(columns)
}
