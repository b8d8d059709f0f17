//! From a record to a row: value and key decoded by their formats, then what INCLUDE asks for.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;

use crate::connect::declaration::Included;
use crate::connect::format::{self, Decoder};
use crate::connect::text_column::TextColumn;
use crate::connect::{Envelope, RecordError, SourceRelation};
use crate::types::{Column, Relation, Result};

/// The largest record that is decoded.
const RECORD_BYTES_MAX: usize = 32 << 20;

/// How much of a bad record's key and value is kept for `millrace.source_errors`.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// What the records of a topic are turned into.
#[derive(Debug)]
pub struct RecordLayout {
    /// As declared.
    pub columns: Vec<Column>,
    /// Which of them come from the record's key; none unless the envelope is Upsert.
    pub key: Vec<usize>,
    pub included: Vec<(Included, Column)>,
    pub format: String,
    pub key_format: Option<String>,
    pub envelope: Envelope,
}

/// A record as the broker has it.
pub struct Record<'a> {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_millis: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

impl RecordLayout {
    /// The relation that a source of such records is.
    pub fn relation(&self) -> Relation {
        let mut columns = self.columns.clone();
        for &position in &self.key {
            columns[position].nullable = false;
        }
        columns.extend(self.included.iter().map(|(_, column)| column.clone()));
        Relation { columns, key: Some(self.key.clone()).filter(|key| !key.is_empty()) }
    }

    pub fn decoder(&self) -> Result<RecordDecoder> {
        let relation = self.relation();
        let (mut keys, mut values) = (vec![], vec![]);
        for (position, column) in relation.columns[..self.columns.len()].iter().enumerate() {
            if self.key.contains(&position) { keys.push(column.clone()) } else { values.push(column.clone()) }
        }
        let key = match &self.key_format {
            Some(key_format) => Some(format::open(key_format, &keys)?),
            None => None,
        };
        let source_relation = SourceRelation { name: None, relation, envelope: self.envelope };
        Ok(RecordDecoder {
            schema: source_relation.batch_schema(),
            is_key: (0..self.columns.len()).map(|position| self.key.contains(&position)).collect(),
            value: format::open(&self.format, &values)?,
            key,
            included: self.included.iter().map(|(what, _)| IncludedColumn::new(*what)).collect(),
            tombstones: vec![],
            offsets: vec![],
            bytes: 0,
        })
    }
}

/// Records under way to a batch.
pub struct RecordDecoder {
    schema: SchemaRef,
    /// For each declared column, whether it comes from the record's key.
    is_key: Vec<bool>,
    value: Box<dyn Decoder>,
    /// With ENVELOPE UPSERT.
    key: Option<Box<dyn Decoder>>,
    included: Vec<IncludedColumn>,
    tombstones: Vec<bool>,
    offsets: Vec<i64>,
    bytes: usize,
}

impl RecordDecoder {
    pub fn rows(&self) -> usize {
        self.offsets.len()
    }

    /// Bytes of the records since the last [`finish`](Self::finish).
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a record's row. One that does not decode leaves no row.
    pub fn push(&mut self, record: &Record) -> Result<(), RecordError> {
        let length = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        if length > RECORD_BYTES_MAX {
            let message = format!("the record has {length} bytes, more than the limit of {RECORD_BYTES_MAX}");
            return Err(record.error(message));
        }
        let rows = self.rows();
        self.push_declared(record).map_err(|message| {
            self.value.truncate(rows);
            if let Some(key) = &mut self.key {
                key.truncate(rows);
            }
            record.error(message)
        })?;
        let tombstone = record.value.is_none();
        for column in &mut self.included {
            column.push(if tombstone { None } else { Some(record) });
        }
        self.tombstones.push(tombstone);
        self.offsets.push(record.offset);
        self.bytes += length;
        Ok(())
    }

    fn push_declared(&mut self, record: &Record) -> Result<(), String> {
        let text_key = self.included.iter().any(|column| matches!(column, IncludedColumn::Key { .. }));
        if text_key && record.key.is_some_and(|key| std::str::from_utf8(key).is_err()) {
            return Err("the key is not valid UTF-8".to_string());
        }
        if let Some(decoder) = &mut self.key {
            let key = record.key.ok_or("the record has no key")?;
            decoder.decode_key(key).map_err(|error| format!("in the key: {}", error.message()))?;
        }
        match (record.value, &self.key) {
            (Some(value), _) => self.value.decode(value).map_err(|error| error.message().to_string()),
            (None, Some(_)) => {
                self.value.push_nulls();
                Ok(())
            }
            (None, None) => Err("the record has no value".to_string()),
        }
    }

    /// The rows so far; the next record begins another batch.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let mut values = self.value.finish()?.into_iter();
        let keys = self.key.as_mut().map_or(Ok(vec![]), |key| key.finish())?;
        let mut keys = keys.into_iter();
        let declared = self.is_key.iter().filter_map(|&is_key| if is_key { keys.next() } else { values.next() });
        let mut columns: Vec<ArrayRef> = declared.collect();
        for column in &mut self.included {
            columns.push(column.finish()?);
        }
        let (tombstones, offsets) = (std::mem::take(&mut self.tombstones), std::mem::take(&mut self.offsets));
        if self.key.is_some() {
            columns.push(Arc::new(BooleanArray::from(tombstones)));
            columns.push(Arc::new(Int64Array::from(offsets)));
        }
        self.bytes = 0;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// A column of INCLUDE under construction.
enum IncludedColumn {
    Key { keys: TextColumn, valid: Vec<bool> },
    Partition(Vec<Option<i32>>),
    Offset(Vec<Option<i64>>),
    Timestamp(Vec<Option<i64>>),
}

impl IncludedColumn {
    fn new(what: Included) -> Self {
        match what {
            Included::Key => IncludedColumn::Key { keys: TextColumn::with_capacity(0, 0), valid: vec![] },
            Included::Partition => IncludedColumn::Partition(vec![]),
            Included::Offset => IncludedColumn::Offset(vec![]),
            Included::Timestamp => IncludedColumn::Timestamp(vec![]),
        }
    }

    /// Appends the record's part, or NULL for none.
    fn push(&mut self, record: Option<&Record>) {
        match self {
            IncludedColumn::Key { keys, valid } => {
                let key = record.and_then(|record| record.key);
                keys.bytes.extend_from_slice(key.unwrap_or_default());
                keys.end_value();
                valid.push(key.is_some());
            }
            IncludedColumn::Partition(values) => values.push(record.map(|record| record.partition)),
            IncludedColumn::Offset(values) => values.push(record.map(|record| record.offset)),
            IncludedColumn::Timestamp(values) => {
                let millis = record.and_then(|record| record.timestamp_millis);
                values.push(millis.and_then(|millis| millis.checked_mul(1_000)));
            }
        }
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match self {
            IncludedColumn::Key { keys, valid } => {
                let keys = std::mem::replace(keys, TextColumn::with_capacity(0, 0));
                Arc::new(keys.finish(Some(NullBuffer::from(std::mem::take(valid))))?)
            }
            IncludedColumn::Partition(values) => Arc::new(Int32Array::from(std::mem::take(values))),
            IncludedColumn::Offset(values) => Arc::new(Int64Array::from(std::mem::take(values))),
            IncludedColumn::Timestamp(values) => {
                Arc::new(TimestampMicrosecondArray::from(std::mem::take(values)).with_timezone("UTC"))
            }
        })
    }
}

impl Record<'_> {
    fn error(&self, message: String) -> RecordError {
        let kept = |bytes: &[u8]| bytes[..bytes.len().min(ERROR_BYTES_MAX)].to_vec();
        RecordError {
            partition: self.partition,
            offset: self.offset,
            message,
            key: self.key.map(kept),
            value: self.value.map(kept),
        }
    }
}
