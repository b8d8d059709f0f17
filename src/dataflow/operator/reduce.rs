//! GROUP BY and DISTINCT.

use arrow::datatypes::SchemaRef;

use super::super::collection::Collection;
use super::super::plan::Aggregate;

/// The rows of [`Plan::Reduce`](super::super::plan::Plan::Reduce).
pub fn reduce<'s>(
    _input: Collection<'s>,
    _keys: &[usize],
    _aggregates: &[Aggregate],
    _schema: &SchemaRef,
    _seed: u64,
) -> Collection<'s> {
    todo!()
}
