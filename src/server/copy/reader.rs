//! COPY FROM STDIN: bytes as they come, cut anywhere, to batches of text fields.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::END_OF_DATA;
use super::fields::{LineScan, split_fields};
use crate::engine::CopyOptions;
use crate::server::request::utf8;
use crate::types::{Error, Relation, Result, SqlState};

/// A batch is handed on when it has so many rows or bytes.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 1 << 20;
/// Longest line, and so the most that is kept of unfinished ones.
const LINE_BYTES_MAX: usize = 256 << 20;

/// Reads one COPY's data.
pub(in crate::server) struct CopyReader {
    options: CopyOptions,
    schema: SchemaRef,
    columns: Vec<StringBuilder>,
    rows: usize,
    bytes: usize,
    /// The number of the line that was read last, and of the one that the batch begins with.
    line: u64,
    first_line: u64,
    /// Bytes of a line whose end has not come yet.
    pending: Vec<u8>,
    scan: LineScan,
    scratch: Vec<u8>,
    /// After `\.` nothing counts.
    is_over: bool,
}

impl CopyReader {
    pub fn new(columns: &Relation, options: &CopyOptions) -> Self {
        let fields = columns.columns.iter().map(|column| Field::new(&column.name, DataType::Utf8, true));
        let fields: Vec<Field> = fields.collect();
        CopyReader {
            options: options.clone(),
            columns: fields.iter().map(|_| StringBuilder::new()).collect(),
            schema: Arc::new(Schema::new(fields)),
            rows: 0,
            bytes: 0,
            line: 0,
            first_line: 1,
            pending: Vec::new(),
            scan: LineScan::default(),
            scratch: Vec::new(),
            is_over: false,
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, data: &[u8]) -> Result<()> {
        if self.is_over {
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(data);
        let mut start = 0;
        while let Some(end) = self.scan.line_end(&pending[start..], &self.options) {
            self.read_line(&pending[start..start + end])?;
            start += end + 1;
            if self.is_over {
                return Ok(());
            }
        }
        pending.drain(..start);
        if pending.len() > LINE_BYTES_MAX {
            let error = Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a line of COPY data is too long");
            return Err(self.located(error).with_hint(format!("The limit is {LINE_BYTES_MAX} bytes.")));
        }
        self.pending = pending;
        Ok(())
    }

    /// All bytes have come; the last line may lack its newline.
    pub fn finish(&mut self) -> Result<()> {
        if self.scan.is_in_quotes() {
            let error = Error::new(SqlState::BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field");
            return Err(self.located(error));
        }
        let pending = std::mem::take(&mut self.pending);
        match pending.is_empty() || self.is_over {
            true => Ok(()),
            false => self.read_line(&pending),
        }
    }

    /// The rows so far, with the line number of the first, if they are enough or `all` are wanted.
    pub fn take_batch(&mut self, all: bool) -> Option<(RecordBatch, u64)> {
        if self.rows == 0 || !all && self.rows < BATCH_ROWS && self.bytes < BATCH_BYTES {
            return None;
        }
        let arrays = self.columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .expect("every line gave each column one field");
        (self.rows, self.bytes) = (0, 0);
        Some((batch, std::mem::replace(&mut self.first_line, self.line + 1)))
    }

    fn read_line(&mut self, line: &[u8]) -> Result<()> {
        self.line += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.options.header && self.line == 1 {
            self.first_line = 2;
            return Ok(());
        }
        if line == END_OF_DATA {
            self.is_over = true;
            return Ok(());
        }
        self.read_row(line).map_err(|error| self.located(error))?;
        self.rows += 1;
        self.bytes += line.len();
        Ok(())
    }

    fn read_row(&mut self, line: &[u8]) -> Result<()> {
        let columns = &mut self.columns;
        let mut count = 0;
        if !columns.is_empty() || !line.is_empty() {
            split_fields(line, &self.options, &mut self.scratch, |field| {
                let Some(column) = columns.get_mut(count) else {
                    let message = "extra data after last expected column";
                    return Err(Error::new(SqlState::BAD_COPY_FILE_FORMAT, message));
                };
                count += 1;
                match field {
                    Some(bytes) => column.append_value(utf8(bytes)?),
                    None => column.append_null(),
                }
                Ok(())
            })?;
        }
        match self.schema.fields().get(count) {
            None => Ok(()),
            Some(missing) => {
                let message = format!("missing data for column \"{}\"", missing.name());
                Err(Error::new(SqlState::BAD_COPY_FILE_FORMAT, message))
            }
        }
    }

    fn located(&self, error: Error) -> Error {
        match error.detail() {
            None => error.with_detail(format!("COPY data, line {}.", self.line.max(1))),
            Some(_) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;
    use crate::engine::CopyFormat;
    use crate::types::{Column, SqlType};

    fn text() -> CopyOptions {
        let null = "\\N".to_string();
        CopyOptions { format: CopyFormat::Text, delimiter: b'\t', null, header: false, quote: b'"', escape: b'"' }
    }

    fn csv() -> CopyOptions {
        CopyOptions { format: CopyFormat::Csv, delimiter: b',', null: String::new(), ..text() }
    }

    fn columns(count: usize) -> Relation {
        Relation::new((0..count).map(|index| Column::new(format!("c{index}"), SqlType::Text, true)).collect())
    }

    type Rows = Vec<Vec<Option<String>>>;

    /// The rows of `data`, fed in pieces of `piece` bytes.
    fn read_pieces(data: &[u8], count: usize, options: &CopyOptions, piece: usize) -> Result<Rows> {
        let mut reader = CopyReader::new(&columns(count), options);
        for bytes in data.chunks(piece) {
            reader.feed(bytes)?;
        }
        reader.finish()?;
        let Some((batch, _)) = reader.take_batch(true) else {
            return Ok(vec![]);
        };
        let value = |row: usize, column: usize| {
            let array = batch.column(column).as_string::<i32>();
            array.iter().nth(row).unwrap().map(str::to_string)
        };
        Ok((0..batch.num_rows()).map(|row| (0..count).map(|column| value(row, column)).collect()).collect())
    }

    /// However the data is cut, the rows are the same.
    fn read(data: &[u8], count: usize, options: &CopyOptions) -> Result<Rows> {
        let whole = read_pieces(data, count, options, data.len().max(1));
        for piece in 1..data.len() {
            assert_eq!(read_pieces(data, count, options, piece), whole, "in pieces of {piece} bytes");
        }
        whole
    }

    fn rows(rows: &[&[Option<&str>]]) -> Rows {
        rows.iter().map(|row| row.iter().map(|field| field.map(str::to_string)).collect()).collect()
    }

    #[test]
    fn text_has_escapes_nulls_and_an_end_marker() {
        let data = b"a\tb\n\\N\t\n\\\\N\t\\t\\n\\x41\\101\\q\nx\\\ny\t\\\tz\n\\.\nignored\n";
        let expected = rows(&[
            &[Some("a"), Some("b")],
            &[None, Some("")],
            &[Some("\\N"), Some("\t\nAAq")],
            &[Some("x\ny"), Some("\tz")],
        ]);
        assert_eq!(read(data, 2, &text()).unwrap(), expected);
        assert_eq!(read(b"a\r\nb", 1, &text()).unwrap(), rows(&[&[Some("a")], &[Some("b")]]));
    }

    #[test]
    fn csv_has_quotes_newlines_in_them_and_unquoted_nulls() {
        let data = b"a,\"b,\"\"c\"\"\nd\"\r\n,\"\"\nx\"y\"z,1\n";
        let expected = rows(&[&[Some("a"), Some("b,\"c\"\nd")], &[None, Some("")], &[Some("xyz"), Some("1")]]);
        assert_eq!(read(data, 2, &csv()).unwrap(), expected);
        let escaped = CopyOptions { escape: b'\\', header: true, delimiter: b';', null: "NULL".into(), ..csv() };
        let data = b"h1;h2\n\"a\\\"\nb\";NULL\n\"NULL\";\\\n\\.\n";
        let expected = rows(&[&[Some("a\"\nb"), None], &[Some("NULL"), Some("\\")]]);
        assert_eq!(read(data, 2, &escaped).unwrap(), expected);
    }

    #[test]
    fn bad_data_is_refused_with_its_line() {
        let cases: [(&[u8], CopyOptions, &str, &str); 5] = [
            (b"a\tb\na\n", text(), "22P04", "missing data for column \"c1\""),
            (b"a\tb\tc\n", text(), "22P04", "extra data after last expected column"),
            (b"a\tb\rc\n", text(), "22P04", "literal carriage return found in data"),
            (b"a,\"b\n", csv(), "22P04", "unterminated CSV quoted field"),
            (b"a\t\xff\n", text(), "22021", "invalid byte sequence for encoding \"UTF8\": 0xff"),
        ];
        for (data, options, state, message) in cases {
            let error = read(data, 2, &options).unwrap_err();
            assert_eq!((error.state().code(), error.message()), (state, message));
            assert!(error.detail().unwrap().contains("line"), "{error:?}");
        }
    }

    #[test]
    fn batches_know_their_first_line() {
        let mut reader = CopyReader::new(&columns(1), &CopyOptions { header: true, ..text() });
        reader.feed(b"header\na\nb\n").unwrap();
        assert!(reader.take_batch(false).is_none(), "two rows are not worth a batch");
        assert_eq!(reader.take_batch(true).unwrap().1, 2);
        reader.feed(b"c\n").unwrap();
        assert_eq!(reader.take_batch(true).unwrap().1, 4);
    }
}
