//! COPY TO STDOUT: rows as lines, each in a CopyData message.

use arrow::array::{Array, ArrayRef, RecordBatch};
use bytes::{BufMut, BytesMut};

use super::END_OF_DATA;
use crate::engine::{CopyFormat, CopyOptions};
use crate::server::encode::check_layout;
use crate::server::reply::{begin_message, end_message};
use crate::types::text::{TextStyle, TextWriter};
use crate::types::{Relation, Result};

/// Writes the rows of one batch.
pub(in crate::server) struct CopyWriter<'a> {
    columns: Vec<(&'a ArrayRef, TextWriter<'a>)>,
    rows: usize,
    options: &'a CopyOptions,
    text: String,
}

impl<'a> CopyWriter<'a> {
    pub fn new(
        batch: &'a RecordBatch,
        described: &Relation,
        options: &'a CopyOptions,
        style: &TextStyle,
    ) -> Result<Self> {
        check_layout(batch, described)?;
        let columns = batch.columns().iter().zip(&described.columns);
        let columns =
            columns.map(|(array, column)| Ok((array, TextWriter::new(array.as_ref(), &column.sql_type, style)?)));
        let columns = columns.collect::<Result<_>>()?;
        Ok(CopyWriter { columns, rows: batch.num_rows(), options, text: String::new() })
    }

    /// A line with the columns' names.
    pub fn header(columns: &Relation, options: &CopyOptions, out: &mut BytesMut) {
        let start = begin_message(out, b'd');
        for (index, column) in columns.columns.iter().enumerate() {
            if index > 0 {
                out.put_u8(options.delimiter);
            }
            put_field(&column.name, options, false, out);
        }
        out.put_u8(b'\n');
        end_message(out, start);
    }

    /// Appends rows from `row` on until the batch ends or `out` has `bytes_max`; gives the next row.
    pub fn write(&mut self, mut row: usize, out: &mut BytesMut, bytes_max: usize) -> Result<usize> {
        let is_only = self.columns.len() == 1;
        while row < self.rows && out.len() < bytes_max {
            let start = begin_message(out, b'd');
            for (index, (array, writer)) in self.columns.iter().enumerate() {
                if index > 0 {
                    out.put_u8(self.options.delimiter);
                }
                if array.is_null(row) {
                    out.put_slice(self.options.null.as_bytes());
                } else {
                    self.text.clear();
                    writer.write(row, &mut self.text);
                    put_field(&self.text, self.options, is_only, out);
                }
            }
            out.put_u8(b'\n');
            end_message(out, start);
            row += 1;
        }
        Ok(row)
    }
}

fn put_field(text: &str, options: &CopyOptions, is_only: bool, out: &mut BytesMut) {
    match options.format {
        CopyFormat::Text => put_text(text, options.delimiter, out),
        CopyFormat::Csv => put_csv(text, options, is_only, out),
    }
}

fn put_text(text: &str, delimiter: u8, out: &mut BytesMut) {
    for byte in text.bytes() {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            byte if byte == delimiter => delimiter,
            plain => {
                out.put_u8(plain);
                continue;
            }
        };
        out.put_slice(&[b'\\', letter]);
    }
}

/// Quoted if it could be read as something else.
fn put_csv(text: &str, options: &CopyOptions, is_only: bool, out: &mut BytesMut) {
    let is_special = |byte: u8| [options.delimiter, options.quote, b'\n', b'\r'].contains(&byte);
    let needs_quotes =
        text == options.null || is_only && text.as_bytes() == END_OF_DATA || text.bytes().any(is_special);
    if !needs_quotes {
        out.put_slice(text.as_bytes());
        return;
    }
    out.put_u8(options.quote);
    for byte in text.bytes() {
        if byte == options.quote || byte == options.escape {
            out.put_u8(options.escape);
        }
        out.put_u8(byte);
    }
    out.put_u8(options.quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, options: &CopyOptions) -> String {
        let mut out = BytesMut::new();
        put_field(text, options, true, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn what_could_be_misread_is_escaped_or_quoted() {
        let text = CopyOptions {
            format: CopyFormat::Text,
            delimiter: b'|',
            null: "\\N".into(),
            header: false,
            quote: b'"',
            escape: b'"',
        };
        assert_eq!(written("a|b\\c\nd\te", &text), "a\\|b\\\\c\\nd\\te");
        assert_eq!(written("\\.", &text), "\\\\.");
        let csv = CopyOptions { format: CopyFormat::Csv, delimiter: b',', null: String::new(), ..text };
        assert_eq!(written("plain", &csv), "plain");
        assert_eq!(written("", &csv), "\"\"");
        assert_eq!(written("\\.", &csv), "\"\\.\"");
        assert_eq!(written("a,\"b\"\n", &csv), "\"a,\"\"b\"\"\n\"");
        let escaped = CopyOptions { escape: b'\\', ..csv };
        assert_eq!(written("\"\\,", &escaped), "\"\\\"\\\\,\"");
    }
}
