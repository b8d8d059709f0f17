//! A text column under construction, for decoders and generators that write their bytes in place.

use arrow::array::StringArray;
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::types::Result;

/// Bytes of one column and where each value ends. The bytes are checked to be UTF-8 once, when the array is made.
#[derive(Debug)]
pub struct TextColumn {
    offsets: Vec<i32>,
    pub bytes: Vec<u8>,
}

impl TextColumn {
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        TextColumn { offsets, bytes: Vec::with_capacity(bytes) }
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Ends the value whose bytes were appended since the last end.
    pub fn end_value(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
    }

    pub fn push(&mut self, value: &str) {
        self.bytes.extend_from_slice(value.as_bytes());
        self.end_value();
    }

    /// Takes back all rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes.truncate(self.offsets[rows.min(self.len())] as usize);
    }

    pub fn finish(self, nulls: Option<NullBuffer>) -> Result<StringArray> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Ok(StringArray::try_new(offsets, Buffer::from_vec(self.bytes), nulls)?)
    }
}
