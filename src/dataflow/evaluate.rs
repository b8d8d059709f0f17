//! Evaluating scalar expressions on rows, some of which may fail.
//!
//! Arrow's kernels fail a whole batch because of one row. Then the batch is halved until the culprits stand alone: the
//! other rows go on, and each culprit becomes an error.

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, SchemaRef};

use super::columns::batch_of;
use super::errors::error_rows;
use super::plan::Scalar;
use crate::types::{Delta, Error, Result};

/// What became of some rows.
pub struct Evaluated {
    /// One output row per row that did not fail, in order.
    pub rows: RecordBatch,
    /// Which rows those are; all, if it is None.
    pub good: Option<Vec<u32>>,
    /// Rows that failed, in order, and why.
    pub bad: Vec<(u32, Error)>,
}

/// The columns that the expressions compute.
pub fn evaluate(expressions: &[Scalar], rows: &RecordBatch, schema: &SchemaRef) -> Evaluated {
    let all = |part: &RecordBatch| -> Result<RecordBatch> {
        let columns =
            expressions.iter().zip(schema.fields()).map(|(scalar, field)| column(scalar, part, field.data_type()));
        Ok(batch_of(schema, columns.collect::<Result<_>>()?, part.num_rows()))
    };
    match all(rows) {
        Ok(rows) => Evaluated { rows, good: None, bad: vec![] },
        Err(error) => {
            let mut parts = Parts { rows: vec![], good: vec![], bad: vec![] };
            halve(rows, 0, error, &all, &mut parts);
            let rows = concat_batches(&parts.schema(schema), &parts.rows).expect("the parts have one type");
            Evaluated { rows, good: Some(parts.good), bad: parts.bad }
        }
    }
}

struct Parts {
    rows: Vec<RecordBatch>,
    good: Vec<u32>,
    bad: Vec<(u32, Error)>,
}

impl Parts {
    /// That of the parts, if there are any: a column may be nullable that was not expected to be.
    fn schema(&self, expected: &SchemaRef) -> SchemaRef {
        self.rows.iter().map(RecordBatch::schema).find(|schema| schema != expected).unwrap_or_else(|| expected.clone())
    }
}

/// `rows`, which begin at position `start`, failed together with `error`.
fn halve(
    rows: &RecordBatch,
    start: usize,
    error: Error,
    evaluate: &impl Fn(&RecordBatch) -> Result<RecordBatch>,
    parts: &mut Parts,
) {
    let len = rows.num_rows();
    if len == 1 {
        parts.bad.push((start as u32, error));
        return;
    }
    for (offset, half) in [(0, rows.slice(0, len / 2)), (len / 2, rows.slice(len / 2, len - len / 2))] {
        match evaluate(&half) {
            Ok(output) => {
                parts.good.extend((start + offset) as u32..(start + offset + half.num_rows()) as u32);
                parts.rows.push(output);
            }
            Err(error) => halve(&half, start + offset, error, evaluate, parts),
        }
    }
}

/// One expression on rows that are not empty, in its declared type.
fn column(scalar: &Scalar, rows: &RecordBatch, data_type: &DataType) -> Result<ArrayRef> {
    let array = scalar.physical.evaluate(rows)?.into_array(rows.num_rows())?;
    match array.data_type() == data_type {
        true => Ok(array),
        false => Ok(cast(&array, data_type)?),
    }
}

/// For which rows the predicate is true (NULL is not), and which failed.
pub fn evaluate_predicate(predicate: &Scalar, rows: &RecordBatch) -> (BooleanArray, Vec<(u32, Error)>) {
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
        "true",
        DataType::Boolean,
        true,
    )]));
    let evaluated = evaluate(std::slice::from_ref(predicate), rows, &schema);
    let column = evaluated.rows.column(0).as_boolean();
    let is_true = |position: usize| column.is_valid(position) && column.value(position);
    let Some(good) = &evaluated.good else {
        return match column.null_count() {
            0 => (column.clone(), vec![]),
            _ => ((0..column.len()).map(|row| Some(is_true(row))).collect(), vec![]),
        };
    };
    let mut mask = vec![false; rows.num_rows()];
    for (position, &row) in good.iter().enumerate() {
        mask[row as usize] = is_true(position);
    }
    (mask.into(), evaluated.bad)
}

/// The failed rows of a delta as errors, with the times and diffs of the rows.
pub fn error_delta(delta: &Delta, bad: Vec<(u32, Error)>) -> Delta {
    let (rows, errors): (Vec<u32>, Vec<Error>) = bad.into_iter().unzip();
    Delta { rows: error_rows(&errors), times: delta.times.take(&rows), diffs: delta.diffs.take(&rows) }
}
