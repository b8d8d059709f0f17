//! What an arrangement's rows are and how they are sorted; every chunk carries it, since a chunk's operations are static.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use super::plan::SortKey;
use crate::types::hash::hash_columns;

/// The rows of an arrangement are whole rows; `key` and `order` are column positions in them.
///
/// Rows are sorted by the hash of their key. Rows with one key hash are sorted by the hash of their other columns, then
/// by value; in an *ordered* layout by `order` instead, ties broken by all columns from the left, ascending, NULLs
/// last. So an ordered layout's head can be read without the rest. Keys that differ can have one hash: their rows are
/// interleaved, and who reads a key must compare it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub schema: SchemaRef,
    pub key: Vec<usize>,
    /// None if rows of one key are in the order of their hashes.
    pub order: Option<Vec<SortKey>>,
    pub seed: u64,
}

impl Layout {
    pub fn hashed(schema: SchemaRef, key: Vec<usize>, seed: u64) -> Arc<Layout> {
        Arc::new(Layout { schema, key, order: None, seed })
    }

    pub fn ordered(schema: SchemaRef, key: Vec<usize>, order: Vec<SortKey>, seed: u64) -> Arc<Layout> {
        Arc::new(Layout { schema, key, order: Some(order), seed })
    }

    /// Whether the key is the whole row, so that one hash does for both.
    pub fn is_keyed_by_row(&self) -> bool {
        (0..self.schema.fields().len()).all(|column| self.key.contains(&column))
    }

    pub fn key_columns(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.key.iter().map(|&column| rows.column(column).clone()).collect()
    }

    pub fn key_hashes(&self, rows: &RecordBatch) -> Vec<u64> {
        self.hashes(self.key_columns(rows), rows.num_rows())
    }

    /// The hashes of rows of these columns, as of keys.
    pub fn hashes(&self, columns: Vec<ArrayRef>, rows: usize) -> Vec<u64> {
        let hashes = hash_columns(&columns, rows, self.seed);
        #[cfg(test)]
        let hashes = colliding::collide(hashes, self.seed);
        hashes
    }

    /// The hashes of the columns that are not in the key; those of the key if there are none.
    pub fn row_hashes(&self, rows: &RecordBatch, key_hashes: &ScalarBuffer<u64>) -> ScalarBuffer<u64> {
        if self.is_keyed_by_row() {
            return key_hashes.clone();
        }
        let others = (0..rows.num_columns()).filter(|column| !self.key.contains(column));
        self.hashes(others.map(|column| rows.column(column).clone()).collect(), rows.num_rows()).into()
    }

    /// The bytes whose order is that of `order`.
    pub fn order_bytes(&self, rows: &RecordBatch) -> Option<BinaryArray> {
        let order = self.order.as_ref()?;
        if order.is_empty() {
            return Some(BinaryArray::from_iter_values(std::iter::repeat_n(b"", rows.num_rows())));
        }
        let fields = order.iter().map(|key| {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            SortField::new_with_options(self.schema.field(key.column).data_type().clone(), options)
        });
        let columns: Vec<ArrayRef> = order.iter().map(|key| rows.column(key.column).clone()).collect();
        let converter = RowConverter::new(fields.collect()).expect("the planner orders by types that have an order");
        let bytes = converter.convert_columns(&columns).expect("the columns are those of the schema");
        Some(bytes.try_into_binary().expect("a chunk's bytes are limited"))
    }
}

/// The worker that keeps a key: hash ranges, so that sorted batches split and join when the number of workers changes.
pub fn worker_of(key_hash: u64, workers: usize) -> usize {
    ((key_hash as u128 * workers as u128) >> 64) as usize
}

/// Tests that want collisions use a seed that makes them: different rows have one hash, and nothing may go wrong.
#[cfg(test)]
pub mod colliding {
    /// Layouts with this seed have four different hashes.
    pub const SEED: u64 = 0xc011_1de5;

    pub fn collide(mut hashes: Vec<u64>, seed: u64) -> Vec<u64> {
        if seed == SEED {
            hashes.iter_mut().for_each(|hash| *hash &= 3 << 62);
        }
        hashes
    }
}
