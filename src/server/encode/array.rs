//! Arrays in binary: their dimensions, then every element with its length.

use arrow::array::{Array, AsArray, ListArray};
use bytes::{BufMut, BytesMut};

use super::binary::BinaryWriter;
use crate::types::{Error, Result, SqlState, SqlType};

/// Where PostgreSQL's arrays begin to count.
const LOWER_BOUND: i32 = 1;

/// Writes lists; lists of lists become arrays of several dimensions.
pub(in crate::server) struct ArrayWriter<'a> {
    /// Outermost first.
    levels: Vec<&'a ListArray>,
    elements: &'a dyn Array,
    writer: BinaryWriter<'a>,
    element_oid: u32,
}

impl<'a> ArrayWriter<'a> {
    pub fn new(array: &'a dyn Array, element: &SqlType) -> Result<Self> {
        let mut levels: Vec<&ListArray> = vec![array.as_list()];
        let mut element = element;
        let mut elements: &dyn Array = levels[0].values().as_ref();
        while let SqlType::Array(inner) = element {
            let level: &ListArray = elements.as_list();
            elements = level.values().as_ref();
            levels.push(level);
            element = inner;
        }
        let writer = BinaryWriter::new(elements, element)?;
        Ok(ArrayWriter { levels, elements, writer, element_oid: element.oid() })
    }

    pub fn write(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        let mut dimensions = Vec::with_capacity(self.levels.len());
        let mut range = row..row + 1;
        for (depth, level) in self.levels.iter().enumerate() {
            let count = range.len();
            let offsets = level.value_offsets();
            let inner = offsets[range.start] as usize..offsets[range.end] as usize;
            let length = if count == 0 { 0 } else { inner.len() / count };
            let is_even = range.clone().all(|list| level.value_length(list) as usize == length);
            if !is_even || depth > 0 && range.clone().any(|list| level.is_null(list)) {
                let message = "multidimensional arrays must have sub-arrays with matching dimensions";
                return Err(Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message));
            }
            dimensions.push(length as i32);
            range = inner;
        }
        if range.is_empty() {
            dimensions.clear();
        }
        out.put_i32(dimensions.len() as i32);
        out.put_i32(range.clone().any(|index| self.elements.is_null(index)).into());
        out.put_u32(self.element_oid);
        for length in dimensions {
            out.put_i32(length);
            out.put_i32(LOWER_BOUND);
        }
        for index in range {
            self.write_element(index, out)?;
        }
        Ok(())
    }

    fn write_element(&self, index: usize, out: &mut BytesMut) -> Result<()> {
        if self.elements.is_null(index) {
            out.put_i32(-1);
            return Ok(());
        }
        let start = out.len();
        out.put_i32(0);
        self.writer.write(index, out)?;
        let length = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}
