//! Arrow rows as DataRow messages, each column in the format that the client asked for.
//!
//! What depends on a column's type is decided once per batch; a value then costs no allocation.

mod array;
mod binary;
mod numeric;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use bytes::{BufMut, BytesMut};

pub(super) use self::binary::BinaryWriter;
pub(super) use self::binary::{EPOCH_DAYS, EPOCH_MICROS, JSONB_VERSION};
use super::reply::{begin_message, end_message};
use super::request::Format;
use crate::types::text::{TextStyle, TextWriter};
use crate::types::{Error, Relation, Result, SqlState, SqlType};

/// Longest row that is sent; the protocol's own limit is a gigabyte too.
const ROW_BYTES_MAX: usize = (1 << 30) - 1;

/// Writes the rows of one batch.
pub(super) struct RowEncoder<'a> {
    columns: Vec<ColumnEncoder<'a>>,
    rows: usize,
    text: String,
}

struct ColumnEncoder<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    /// Text that is sent as it is, in either format.
    Plain(&'a StringArray),
    Text(TextWriter<'a>),
    Binary(BinaryWriter<'a>),
}

impl<'a> RowEncoder<'a> {
    /// XX000 if the batch does not have the described columns: a client would read garbage.
    pub fn new(batch: &'a RecordBatch, described: &Relation, formats: &[Format], style: &TextStyle) -> Result<Self> {
        check_layout(batch, described)?;
        let columns = batch.columns().iter().zip(&described.columns).zip(formats);
        let columns = columns.map(|((array, column), format)| {
            let values = match (&column.sql_type, format) {
                (SqlType::Text | SqlType::Varchar(_), _) => Values::Plain(array.as_string()),
                (sql_type, Format::Text) => Values::Text(TextWriter::new(array.as_ref(), sql_type, style)?),
                (sql_type, Format::Binary) => Values::Binary(BinaryWriter::new(array.as_ref(), sql_type)?),
            };
            Ok(ColumnEncoder { nulls: array.nulls(), values })
        });
        let columns = columns.collect::<Result<_>>()?;
        Ok(RowEncoder { columns, rows: batch.num_rows(), text: String::new() })
    }

    /// Appends rows from `row` on until the batch ends or `out` has `bytes_max`; gives the next row.
    pub fn encode(&mut self, mut row: usize, out: &mut BytesMut, bytes_max: usize) -> Result<usize> {
        while row < self.rows && out.len() < bytes_max {
            let start = begin_message(out, b'D');
            out.put_i16(self.columns.len() as i16);
            for column in &self.columns {
                column.encode(row, out, &mut self.text)?;
            }
            if out.len() - start > ROW_BYTES_MAX {
                let error = Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row is too long to be sent");
                return Err(error.with_detail(format!("Its limit is {ROW_BYTES_MAX} bytes.")));
            }
            end_message(out, start);
            row += 1;
        }
        Ok(row)
    }
}

impl ColumnEncoder<'_> {
    /// A length and the value's bytes; -1 is NULL.
    fn encode(&self, row: usize, out: &mut BytesMut, text: &mut String) -> Result<()> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out.put_i32(-1);
            return Ok(());
        }
        match &self.values {
            Values::Plain(array) => put_sized(out, array.value(row).as_bytes()),
            Values::Text(writer) => {
                text.clear();
                writer.write(row, text);
                put_sized(out, text.as_bytes());
            }
            Values::Binary(writer) => {
                let start = out.len();
                out.put_i32(0);
                writer.write(row, out)?;
                let length = (out.len() - start - 4) as i32;
                out[start..start + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(())
    }
}

fn put_sized(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

/// The batch must carry exactly the described types.
pub(super) fn check_layout(batch: &RecordBatch, described: &Relation) -> Result<()> {
    let wrong =
        |what: String| Err(Error::internal("a result does not have the columns that were announced").with_detail(what));
    if batch.num_columns() != described.columns.len() {
        return wrong(format!("{} were announced, {} came.", described.columns.len(), batch.num_columns()));
    }
    for (array, column) in batch.columns().iter().zip(&described.columns) {
        let announced = column.sql_type.arrow();
        if !is_carried_as(array.data_type(), &announced) {
            let (name, given) = (&column.name, array.data_type());
            return wrong(format!("Column \"{name}\" was announced as {announced}, {given} came."));
        }
    }
    Ok(())
}

/// Whether the types are the same, apart from what lists call their items.
fn is_carried_as(given: &DataType, announced: &DataType) -> bool {
    match (given, announced) {
        (DataType::List(given), DataType::List(announced)) => is_carried_as(given.data_type(), announced.data_type()),
        _ => given == announced,
    }
}

#[cfg(test)]
mod tests;
