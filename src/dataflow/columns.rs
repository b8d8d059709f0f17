//! Taking rows apart and together, column by column. Schemas without columns have rows too.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;

/// Rows of these columns. A column that the schema calls NOT NULL and that has NULLs anyway is taken as it is: a view's
/// rows are right even where the planner's knowledge of them is not.
pub fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    match RecordBatch::try_new_with_options(schema.clone(), columns.clone(), &options) {
        Ok(batch) => batch,
        Err(_) => {
            let fields = schema.fields().iter().map(|field| Field::clone(field).with_nullable(true));
            let nullable = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            RecordBatch::try_new_with_options(nullable, columns, &options).expect("the columns have the schema's types")
        }
    }
}

/// Copies of the rows at these positions.
pub fn take_rows(rows: &RecordBatch, positions: &[u32]) -> RecordBatch {
    let indices = UInt32Array::from(positions.to_vec());
    let columns = rows.columns().iter().map(|column| take(column, &indices, None).expect("the rows are there"));
    batch_of(&rows.schema(), columns.collect(), positions.len())
}

/// Copies of rows of several batches, given as (batch, row).
pub fn interleave_columns(batches: &[&RecordBatch], picks: &[(usize, usize)]) -> Vec<ArrayRef> {
    let columns = batches.first().map_or(0, |first| first.num_columns());
    (0..columns).map(|column| interleave_column(batches, column, picks)).collect()
}

/// One column of rows of several batches.
pub fn interleave_column(batches: &[&RecordBatch], column: usize, picks: &[(usize, usize)]) -> ArrayRef {
    try_interleave_column(batches, column, picks).expect("parts have one type, and few enough bytes")
}

/// The same, or none if the rows are too many bytes for one array.
pub fn try_interleave_column(batches: &[&RecordBatch], column: usize, picks: &[(usize, usize)]) -> Option<ArrayRef> {
    let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
    match interleave(&parts, picks) {
        Err(ArrowError::OffsetOverflowError(_)) => None,
        column => Some(column.expect("parts have one type")),
    }
}

/// All rows of several batches.
pub fn concat_rows(schema: &SchemaRef, batches: &[&RecordBatch]) -> RecordBatch {
    let columns = (0..schema.fields().len()).map(|column| {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
        concat(&parts).expect("parts have one type, and few enough bytes")
    });
    batch_of(schema, columns.collect(), batches.iter().map(|batch| batch.num_rows()).sum())
}

/// Bytes of memory that the rows take, about; buffers shared with other rows are not counted whole.
pub fn bytes_of(rows: &RecordBatch) -> usize {
    let columns = rows.columns().iter().map(|column| {
        let data = column.to_data();
        data.get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    });
    columns.sum()
}
