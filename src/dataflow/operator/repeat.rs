//! Repeat: every row as often as one of its columns says.

use arrow::array::cast::AsArray;
use arrow::datatypes::{Int64Type, SchemaRef};

use super::stateless::each;
use crate::dataflow::collection::Collection;
use crate::dataflow::columns::batch_of;
use crate::dataflow::columns::take_rows;
use crate::types::{Delta, Stamps};

pub fn repeat(input: Collection<'_>, count: usize, schema: SchemaRef) -> Collection<'_> {
    let output = schema.clone();
    let rows = each(input.rows, "repeat", move |delta| repeat_rows(delta, count, &output));
    Collection { rows, errors: input.errors, schema }
}

/// Repetition is multiplication: only the diffs change. Rows with nothing left are not passed on.
fn repeat_rows(delta: Delta, count: usize, schema: &SchemaRef) -> Delta {
    let counts = delta.rows.column(count).as_primitive::<Int64Type>().clone();
    let mut columns = delta.rows.columns().to_vec();
    columns.remove(count);
    let rows = batch_of(schema, columns, delta.len());
    let kept: Vec<u32> = (0..delta.len() as u32).filter(|&row| counts.value(row as usize) > 0).collect();
    let diffs = kept.iter().map(|&row| delta.diffs.get(row as usize) * counts.value(row as usize)).collect();
    let rows = if kept.len() == delta.len() { rows } else { take_rows(&rows, &kept) };
    Delta { rows, times: delta.times.take(&kept), diffs: Stamps::of(diffs) }
}
