//! Values as text: what PostgreSQL prints, and what it reads. The one definition for the wire, COPY, casts and JSON.

use arrow::array::{Array, ArrayRef, StringArray};

use super::{Result, SqlType};

/// The settings that change how values are printed and read.
#[derive(Clone, Debug)]
pub struct TextStyle {
    /// An IANA name or a fixed offset; timestamptz is shown and read in it.
    pub time_zone: String,
}

impl Default for TextStyle {
    fn default() -> Self {
        TextStyle { time_zone: "UTC".into() }
    }
}

/// Writes the values of one array as PostgreSQL's output functions do.
pub struct TextWriter<'a> {
    _array: &'a dyn Array,
}

impl<'a> TextWriter<'a> {
    pub fn new(array: &'a dyn Array, sql_type: &SqlType, style: &TextStyle) -> Result<Self> {
        let _ = (sql_type, style);
        Ok(TextWriter { _array: array })
    }

    /// Appends the text of a row that is not NULL.
    pub fn write(&self, row: usize, out: &mut String) {
        let _ = (row, out);
        todo!()
    }
}

/// Reads text as PostgreSQL's input functions do; the first value that is none is the error (22P02, 22003, 22007, 22008).
pub fn parse(values: &StringArray, to: &SqlType, style: &TextStyle) -> Result<ArrayRef> {
    let _ = (values, to, style);
    todo!()
}
