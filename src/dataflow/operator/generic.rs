//! Aggregates without an incremental algorithm of their own: a changed group is read again, by DataFusion's accumulators.
//!
//! Correct for every aggregate function, at a cost in the size of the group. Rows are read in the order of the aggregate's
//! ORDER BY, then of its arguments (ascending, NULLs last): so a result follows from the multiset of rows alone, and what
//! a group gave before can be computed from the rows before.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, cast, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::{average, count, min_max, sum};
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{Column, Literal};

use super::super::collection::{Collection, Stream};
use super::super::columns::{batch_of, take_rows};
use super::super::context::Context;
use super::super::errors::error_rows;
use super::super::layout::Layout;
use super::super::plan::{Aggregate, AggregateFunction};
use super::changed::{Slice, changed};
use super::gather::Gather;
use super::heads::{End, Heads};
use super::matcher::KeyMatcher;
use super::results::Changes;
use super::stateless;
use crate::types::{Delta, Diff, Error, Result, Stamps, Time};

/// Aggregates that are evaluated together, over rows of the keys and of the columns that they need.
pub struct Generic {
    aggregates: Vec<Aggregate>,
    /// The input's columns that are kept: keys first.
    columns: Vec<usize>,
    keys: usize,
    schema: SchemaRef,
}

impl Generic {
    pub fn new(schema: &SchemaRef, keys: &[usize], aggregates: &[Aggregate]) -> Self {
        let mut columns = keys.to_vec();
        let mut place = |column: usize| {
            columns.iter().position(|&known| known == column).unwrap_or_else(|| {
                columns.push(column);
                columns.len() - 1
            })
        };
        let mut placed = aggregates.to_vec();
        for aggregate in &mut placed {
            aggregate.arguments.iter_mut().for_each(|column| *column = place(*column));
            aggregate.filter = aggregate.filter.map(&mut place);
            aggregate.order_by.iter_mut().for_each(|key| key.column = place(key.column));
        }
        let schema = Arc::new(schema.project(&columns).expect("the columns are there"));
        Generic { aggregates: placed, columns, keys: keys.len(), schema }
    }

    /// What a group without rows has.
    pub fn without_rows(&self) -> RecordBatch {
        let no_rows = RecordBatch::new_empty(self.schema.clone());
        let result = |aggregate: &Aggregate| {
            let value = evaluate(aggregate, &no_rows).and_then(|value| Ok(value.to_array()?));
            value.unwrap_or_else(|_| arrow::array::new_null_array(&aggregate.data_type, 1))
        };
        let columns = self.aggregates.iter().map(result).collect();
        batch_of(&Arc::new(Schema::new(self.fields())), columns, 1)
    }

    fn fields(&self) -> Vec<Field> {
        self.aggregates.iter().map(|aggregate| Field::new("value", aggregate.data_type.clone(), true)).collect()
    }
}

/// Rows of keys and values, one per group that exists, and the errors of the groups that have some.
pub fn generic<'s>(input: &Collection<'s>, part: Generic, context: &mut Context<'s>) -> (Stream<'s>, Stream<'s>) {
    let (columns, schema) = (part.columns.clone(), part.schema.clone());
    let rows = stateless::each(input.rows.clone(), "aggregate columns", move |delta| {
        let kept = columns.iter().map(|&column| delta.rows.column(column).clone()).collect();
        Delta { rows: batch_of(&schema, kept, delta.len()), ..delta }
    });
    let layout = Layout::hashed(part.schema.clone(), (0..part.keys).collect(), context.hash_seed);
    let arranged = context.arrange(rows, &layout, "aggregates");
    changed("aggregates", arranged, Box::new(move |slice| part.read_again(slice)), context)
}

/// A group's results at one time; a group that does not exist has none.
type Evaluated = Option<Result<Vec<ScalarValue>>>;

impl Generic {
    fn read_again(&self, slice: &Slice) -> Changes {
        let key: Vec<usize> = (0..self.keys).collect();
        let mut matcher = KeyMatcher::new(&slice.keys, &key, slice.batches.len());
        let mut out = Values::new(self.aggregates.len());
        for number in 0..slice.changes.len() {
            let heads = Heads::read(slice, &mut matcher, number, End::First, u64::MAX, |_| true);
            let evaluated: Vec<Evaluated> = heads.heads.iter().map(|head| self.evaluate(slice, &heads, head)).collect();
            for (pair, &time) in evaluated.windows(2).zip(&slice.changes[number].times) {
                if pair[0] != pair[1] {
                    out.give(number, &pair[0], time, -1);
                    out.give(number, &pair[1], time, 1);
                }
            }
        }
        out.into_changes(self, slice)
    }

    fn evaluate(&self, slice: &Slice, heads: &Heads, head: &[(usize, u64)]) -> Evaluated {
        if head.is_empty() {
            return None;
        }
        let mut group = Gather::new(&slice.batches);
        for &(row, copies) in head {
            (0..copies).for_each(|_| group.pick(Some(heads.rows[row])));
        }
        let every_column: Vec<usize> = (0..self.schema.fields().len()).collect();
        let rows = group.rows(&every_column);
        Some(self.aggregates.iter().map(|aggregate| evaluate(aggregate, &rows)).collect())
    }
}

/// The value of an aggregate over the rows of one group.
fn evaluate(aggregate: &Aggregate, rows: &RecordBatch) -> Result<ScalarValue> {
    let function = function(&aggregate.function);
    let counted = counted(aggregate, rows);
    let arguments: Vec<ArrayRef> = aggregate.arguments.iter().map(|&column| counted.column(column).clone()).collect();
    let schema: SchemaRef = Arc::new(rows.schema().project(&aggregate.arguments)?);
    let expressions: Vec<Arc<dyn PhysicalExpr>> = aggregate
        .arguments
        .iter()
        .enumerate()
        .map(|(position, &column)| expression(position, rows.column(column), schema.field(position)))
        .collect::<Result<_>>()?;
    let built = AggregateExprBuilder::new(function, expressions).schema(schema).alias("value").build()?;
    let mut accumulator = built.create_accumulator()?;
    if counted.num_rows() > 0 {
        accumulator.update_batch(&arguments)?;
    }
    let value = accumulator.evaluate()?;
    if value.data_type() == aggregate.data_type {
        return Ok(value);
    }
    let typed = cast(&value.to_array()?, &aggregate.data_type)?;
    Ok(ScalarValue::try_from_array(&typed, 0)?)
}

fn function(function: &AggregateFunction) -> Arc<AggregateUDF> {
    match function {
        AggregateFunction::Count => count::count_udaf(),
        AggregateFunction::Sum => sum::sum_udaf(),
        AggregateFunction::Avg => average::avg_udaf(),
        AggregateFunction::Min => min_max::min_udaf(),
        AggregateFunction::Max => min_max::max_udaf(),
        AggregateFunction::Other(function) => function.clone(),
    }
}

/// An argument. Those after the first are parameters to many functions (a delimiter, a percentile), which want them as
/// constants: one that is the same in all rows is given as that.
fn expression(position: usize, values: &ArrayRef, field: &Field) -> Result<Arc<dyn PhysicalExpr>> {
    let column = || Arc::new(Column::new(field.name(), position)) as Arc<dyn PhysicalExpr>;
    if position == 0 {
        return Ok(column());
    }
    if values.is_empty() {
        return Ok(Arc::new(Literal::new(ScalarValue::try_from(field.data_type())?)));
    }
    let first = values.slice(0, 1);
    let same = (1..values.len()).all(|row| values.slice(row, 1).as_ref() == first.as_ref());
    Ok(if same { Arc::new(Literal::new(ScalarValue::try_from_array(&first, 0)?)) } else { column() })
}

/// The rows that count, in order.
fn counted(aggregate: &Aggregate, rows: &RecordBatch) -> RecordBatch {
    let passes = |row: usize| {
        let filter = aggregate.filter.map(|filter| rows.column(filter).as_boolean());
        filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
    };
    let passed: Vec<u32> = (0..rows.num_rows()).filter(|&row| passes(row)).map(|row| row as u32).collect();
    let rows = if passed.len() == rows.num_rows() { rows.clone() } else { take_rows(rows, &passed) };
    if aggregate.arguments.is_empty() || rows.num_rows() == 0 {
        return rows;
    }
    let asked = aggregate.order_by.iter().map(|key| (key.column, key.descending, key.nulls_first));
    let ties = aggregate.arguments.iter().map(|&column| (column, false, false));
    let sort = |(column, descending, nulls_first): (usize, bool, bool)| SortColumn {
        values: rows.column(column).clone(),
        options: Some(SortOptions { descending, nulls_first }),
    };
    let sorted = lexsort_to_indices(&asked.chain(ties).map(sort).collect::<Vec<_>>(), None);
    let sorted = sorted.expect("the planner orders by types that have an order");
    let sorted = take_rows(&rows, sorted.values());
    if aggregate.distinct { first_of_each(&aggregate.arguments, sorted) } else { sorted }
}

/// The first row of each list of arguments.
fn first_of_each(arguments: &[usize], rows: RecordBatch) -> RecordBatch {
    let columns: Vec<ArrayRef> = arguments.iter().map(|&column| rows.column(column).clone()).collect();
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let converter = RowConverter::new(fields).expect("distinct values can be compared");
    let values = converter.convert_columns(&columns).expect("the columns have the converter's types");
    let mut seen = HashSet::new();
    let first: Vec<u32> =
        (0..rows.num_rows()).filter(|&row| seen.insert(values.row(row))).map(|row| row as u32).collect();
    if first.len() == rows.num_rows() { rows } else { take_rows(&rows, &first) }
}

/// Rows of the output that are being made.
struct Values {
    keys: Vec<u32>,
    values: Vec<Vec<ScalarValue>>,
    times: Vec<Time>,
    diffs: Vec<Diff>,
    errors: Vec<(Error, Time, Diff)>,
}

impl Values {
    fn new(width: usize) -> Self {
        Values { keys: vec![], values: vec![vec![]; width], times: vec![], diffs: vec![], errors: vec![] }
    }

    /// A group with an error exists, and has NULLs.
    fn give(&mut self, key: usize, evaluated: &Evaluated, time: Time, diff: Diff) {
        let Some(evaluated) = evaluated else { return };
        if let Err(error) = evaluated {
            self.errors.push((error.clone(), time, diff));
        }
        let values = evaluated.as_ref().ok();
        for (column, list) in self.values.iter_mut().enumerate() {
            list.push(values.map_or(ScalarValue::Null, |values| values[column].clone()));
        }
        self.keys.push(key as u32);
        self.times.push(time);
        self.diffs.push(diff);
    }

    fn into_changes(self, part: &Generic, slice: &Slice) -> Changes {
        let mut changes = Changes::default();
        if !self.keys.is_empty() {
            let keys = UInt32Array::from(self.keys);
            let key = |column: &ArrayRef| take(column, &keys, None).expect("the keys are there");
            let mut columns: Vec<ArrayRef> = slice.keys.columns().iter().map(key).collect();
            let typed = self.values.into_iter().zip(&part.aggregates);
            columns.extend(typed.map(|(values, aggregate)| array_of(values, &aggregate.data_type)));
            let fields =
                slice.keys.schema().fields().iter().map(|field| Field::clone(field)).chain(part.fields()).collect();
            let rows = batch_of(&Arc::new(Schema::new(Vec::from_iter::<Vec<Field>>(fields))), columns, keys.len());
            changes.rows.push(Delta { rows, times: Stamps::of(self.times), diffs: Stamps::of(self.diffs) });
        }
        if !self.errors.is_empty() {
            let errors: Vec<Error> = self.errors.iter().map(|(error, _, _)| error.clone()).collect();
            let times = Stamps::of(self.errors.iter().map(|(_, time, _)| *time).collect());
            let diffs = Stamps::of(self.errors.iter().map(|(_, _, diff)| *diff).collect());
            changes.errors.push(Delta { rows: error_rows(&errors), times, diffs });
        }
        changes
    }
}

fn array_of(values: Vec<ScalarValue>, data_type: &DataType) -> ArrayRef {
    let null = ScalarValue::try_from(data_type).expect("a result's type has a NULL");
    let typed = values.into_iter().map(|value| if value == ScalarValue::Null { null.clone() } else { value });
    ScalarValue::iter_to_array(typed).expect("results were cast to their type")
}
