//! The naive truth about a plan: every operator by its definition, over whole relations, row by row. The oracle of
//! property tests; slow, and as simple as it can be.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, filter_record_batch, lexsort_to_indices, take_record_batch,
};
use arrow::datatypes::{DataType, SchemaRef, i256};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::Column;
use datafusion::scalar::ScalarValue;

use super::plan::{Aggregate, AggregateFunction, JoinKind, Plan, Scalar, SortKey};
use crate::types::{Error, ObjectId, Result};

type Row = Vec<ScalarValue>;

/// The rows of `plan` when the objects it reads have these rows.
pub fn evaluate(plan: &Plan, objects: &dyn Fn(ObjectId) -> RecordBatch) -> Result<RecordBatch> {
    let input = |plan: &Plan| evaluate(plan, objects);
    match plan {
        Plan::Get { object, .. } => Ok(objects(*object)),
        Plan::Constant { rows } => Ok(rows.clone()),
        Plan::Map { input: below, expressions, schema } => {
            let below = input(below)?;
            let columns = expressions.iter().map(|expression| value(expression, &below)).collect::<Result<_>>()?;
            batch(schema, columns, below.num_rows())
        }
        Plan::Filter { input: below, predicate } => keep(&input(below)?, predicate),
        Plan::Union { inputs, schema } => {
            let inputs = inputs.iter().map(|each| {
                let rows = input(each)?;
                batch(schema, rows.columns().to_vec(), rows.num_rows())
            });
            Ok(concat_batches(schema, &inputs.collect::<Result<Vec<_>>>()?)?)
        }
        Plan::Repeat { input: below, count, schema } => repeat(&input(below)?, *count, schema),
        Plan::Join { left, right, kind, keys, nulls_equal, filter, schema } => {
            let join = Join { kind: *kind, keys, nulls_equal: *nulls_equal, filter: filter.as_ref(), schema };
            join.rows(&input(left)?, &input(right)?)
        }
        Plan::Reduce { input: below, keys, aggregates, schema } => reduce(&input(below)?, keys, aggregates, schema),
        Plan::TopK { input: below, keys, order, offset, limit, row_number, schema } => {
            let below = input(below)?;
            let mut picked = vec![];
            for group in groups(&below, keys) {
                let sorted = sort(&below, order, &group)?.into_iter().skip(*offset as usize);
                let wanted = limit.map_or(usize::MAX, |limit| limit as usize);
                picked.extend(sorted.take(wanted).zip(*offset as i64 + 1..));
            }
            let rows = take(&below, picked.iter().map(|(row, _)| *row))?;
            let mut columns = rows.columns().to_vec();
            if *row_number {
                let positions = picked.iter().map(|(_, position)| *position);
                columns.push(Arc::new(arrow::array::Int64Array::from_iter_values(positions)));
            }
            batch(schema, columns, picked.len())
        }
    }
}

/// The rows as text, sorted: what two equal multisets have in common.
pub fn as_multiset(rows: &[RecordBatch]) -> Vec<String> {
    let all = rows.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| format!("{:?}", row_of(batch, row))));
    let mut all: Vec<String> = all.collect();
    all.sort();
    all
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn row_of(batch: &RecordBatch, row: usize) -> Row {
    let value = |column: &ArrayRef| ScalarValue::try_from_array(column, row).expect("every type has values");
    batch.columns().iter().map(value).collect()
}

fn value(expression: &Scalar, rows: &RecordBatch) -> Result<ArrayRef> {
    Ok(expression.physical.evaluate(rows)?.into_array(rows.num_rows())?)
}

fn mask(predicate: &Scalar, rows: &RecordBatch) -> Result<BooleanArray> {
    let values = value(predicate, rows)?;
    Ok(values.as_boolean().iter().map(|value| Some(value == Some(true))).collect())
}

fn keep(rows: &RecordBatch, predicate: &Scalar) -> Result<RecordBatch> {
    Ok(filter_record_batch(rows, &mask(predicate, rows)?)?)
}

fn take(rows: &RecordBatch, picked: impl Iterator<Item = usize>) -> Result<RecordBatch> {
    let picked: UInt32Array = picked.map(|row| row as u32).collect();
    if rows.num_columns() == 0 {
        return batch(&rows.schema(), vec![], picked.len());
    }
    Ok(take_record_batch(rows, &picked)?)
}

fn repeat(rows: &RecordBatch, count: usize, schema: &SchemaRef) -> Result<RecordBatch> {
    let copies = |row: usize| match row_of(rows, row).swap_remove(count) {
        ScalarValue::Int64(Some(copies)) => copies.max(0) as usize,
        other => panic!("a row is repeated {other:?} times"),
    };
    let picked: Vec<usize> = (0..rows.num_rows()).flat_map(|row| std::iter::repeat_n(row, copies(row))).collect();
    let mut columns = take(rows, picked.iter().copied())?.columns().to_vec();
    columns.remove(count);
    batch(schema, columns, picked.len())
}

/// Rows by their key columns, in order of first appearance. Without keys there is one group, of all rows.
fn groups(rows: &RecordBatch, keys: &[usize]) -> Vec<Vec<usize>> {
    if keys.is_empty() {
        return vec![(0..rows.num_rows()).collect()];
    }
    let mut places: HashMap<Row, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = vec![];
    for row in 0..rows.num_rows() {
        let all = row_of(rows, row);
        let key = keys.iter().map(|&column| all[column].clone()).collect();
        let place = *places.entry(key).or_insert(groups.len());
        if place == groups.len() {
            groups.push(vec![]);
        }
        groups[place].push(row);
    }
    groups
}

/// The rows of a group in their order; ties by all columns, ascending, NULLs last.
fn sort(rows: &RecordBatch, order: &[SortKey], group: &[usize]) -> Result<Vec<usize>> {
    let ties = (0..rows.num_columns()).map(|column| SortKey { column, descending: false, nulls_first: false });
    let members = take(rows, group.iter().copied())?;
    let columns: Vec<SortColumn> = order
        .iter()
        .copied()
        .chain(ties)
        .map(|key| SortColumn {
            values: members.column(key.column).clone(),
            options: Some(SortOptions { descending: key.descending, nulls_first: key.nulls_first }),
        })
        .collect();
    if columns.is_empty() {
        return Ok(group.to_vec());
    }
    let sorted = lexsort_to_indices(&columns, None)?;
    Ok(sorted.values().iter().map(|&place| group[place as usize]).collect())
}

struct Join<'a> {
    kind: JoinKind,
    keys: &'a [(usize, usize)],
    nulls_equal: bool,
    filter: Option<&'a Scalar>,
    schema: &'a SchemaRef,
}

impl Join<'_> {
    fn rows(&self, left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch> {
        let pairs = self.pairs(left, right)?;
        let unmatched = |count: usize, matched: Vec<usize>| (0..count).filter(move |row| !matched.contains(row));
        let left_matched: Vec<usize> = pairs.iter().map(|pair| pair.0).collect();
        let left_alone = unmatched(left.num_rows(), left_matched.clone()).map(|row| (Some(row), None));
        let right_matched: Vec<usize> = pairs.iter().map(|pair| pair.1).collect();
        let right_alone = unmatched(right.num_rows(), right_matched).map(|row| (None, Some(row)));
        let matched = pairs.iter().map(|&(l, r)| (Some(l), Some(r)));
        match self.kind {
            JoinKind::Inner => self.joined(left, right, matched.collect()),
            JoinKind::Left => self.joined(left, right, matched.chain(left_alone).collect()),
            JoinKind::Right => self.joined(left, right, matched.chain(right_alone).collect()),
            JoinKind::Full => self.joined(left, right, matched.chain(left_alone).chain(right_alone).collect()),
            JoinKind::LeftSemi => take(left, (0..left.num_rows()).filter(|row| left_matched.contains(row))),
            JoinKind::LeftAnti => take(left, (0..left.num_rows()).filter(|row| !left_matched.contains(row))),
        }
    }

    fn pairs(&self, left: &RecordBatch, right: &RecordBatch) -> Result<Vec<(usize, usize)>> {
        let rows = |batch: &RecordBatch| (0..batch.num_rows()).map(|row| row_of(batch, row)).collect::<Vec<_>>();
        let (left_rows, right_rows) = (rows(left), rows(right));
        let equal = |l: &Row, r: &Row| {
            self.keys.iter().all(|&(lk, rk)| l[lk] == r[rk] && (self.nulls_equal || !l[lk].is_null()))
        };
        let mut pairs = vec![];
        for (l, left_row) in left_rows.iter().enumerate() {
            pairs.extend(right_rows.iter().enumerate().filter(|(_, r)| equal(left_row, r)).map(|(r, _)| (l, r)));
        }
        let Some(filter) = self.filter else { return Ok(pairs) };
        let fields = left.schema().fields().iter().chain(right.schema().fields()).cloned().collect::<Vec<_>>();
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields));
        let sides = [
            take(left, pairs.iter().map(|pair| pair.0))?.columns().to_vec(),
            take(right, pairs.iter().map(|pair| pair.1))?.columns().to_vec(),
        ];
        let mask = mask(filter, &batch(&schema, sides.concat(), pairs.len())?)?;
        Ok(pairs.into_iter().zip(mask.values()).filter_map(|(pair, keep)| keep.then_some(pair)).collect())
    }

    /// The rows left ++ right, with NULLs for a side that is missing.
    fn joined(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
        pairs: Vec<(Option<usize>, Option<usize>)>,
    ) -> Result<RecordBatch> {
        let picked = |side: &RecordBatch, rows: UInt32Array| {
            let columns = side.columns().iter().map(|column| arrow::compute::take(column, &rows, None));
            columns.collect::<Result<Vec<_>, _>>()
        };
        let index = |row: Option<usize>| row.map(|row| row as u32);
        let mut columns = picked(left, pairs.iter().map(|pair| index(pair.0)).collect())?;
        columns.extend(picked(right, pairs.iter().map(|pair| index(pair.1)).collect())?);
        batch(self.schema, columns, pairs.len())
    }
}

fn reduce(rows: &RecordBatch, keys: &[usize], aggregates: &[Aggregate], schema: &SchemaRef) -> Result<RecordBatch> {
    let groups = groups(rows, keys);
    let mut columns: Vec<Vec<ScalarValue>> = vec![vec![]; schema.fields().len()];
    for group in &groups {
        for (column, &key) in columns.iter_mut().zip(keys) {
            column.push(row_of(rows, group[0])[key].clone());
        }
        for (column, aggregate) in columns[keys.len()..].iter_mut().zip(aggregates) {
            column.push(aggregated(rows, group, aggregate)?);
        }
    }
    let arrays = columns.into_iter().zip(schema.fields()).map(|(values, field)| match values.is_empty() {
        true => Ok(arrow::array::new_empty_array(field.data_type())),
        false => Ok(ScalarValue::iter_to_array(values)?),
    });
    batch(schema, arrays.collect::<Result<_>>()?, groups.len())
}

fn aggregated(rows: &RecordBatch, group: &[usize], aggregate: &Aggregate) -> Result<ScalarValue> {
    let counts = |row: &usize| match aggregate.filter {
        Some(filter) => row_of(rows, *row)[filter] == ScalarValue::Boolean(Some(true)),
        None => true,
    };
    let mut members: Vec<usize> = group.iter().copied().filter(counts).collect();
    if aggregate.distinct {
        let mut seen: Vec<Row> = vec![];
        members.retain(|&row| {
            let all = row_of(rows, row);
            let arguments: Row = aggregate.arguments.iter().map(|&column| all[column].clone()).collect();
            let new = !seen.contains(&arguments);
            if new {
                seen.push(arguments);
            }
            new
        });
    }
    if let AggregateFunction::Other(_) = aggregate.function {
        return accumulated(rows, &members, aggregate);
    }
    let Some(&argument) = aggregate.arguments.first() else {
        return Ok(ScalarValue::Int64(Some(members.len() as i64)));
    };
    let values = members.iter().map(|&row| row_of(rows, row).swap_remove(argument));
    let values: Vec<ScalarValue> = values.filter(|value| !value.is_null()).collect();
    let none = ScalarValue::try_from(&aggregate.data_type)?;
    match aggregate.function {
        AggregateFunction::Count => Ok(ScalarValue::Int64(Some(values.len() as i64))),
        AggregateFunction::Sum => sum(&values, &aggregate.data_type).map(|sum| sum.unwrap_or(none)),
        AggregateFunction::Avg => mean(&values, &aggregate.data_type).map(|mean| mean.unwrap_or(none)),
        AggregateFunction::Min => Ok(values.into_iter().min_by(|a, b| order_of(a, b)).unwrap_or(none)),
        AggregateFunction::Max => Ok(values.into_iter().max_by(|a, b| order_of(a, b)).unwrap_or(none)),
        AggregateFunction::Other(_) => Err(Error::internal("handled above")),
    }
}

fn order_of(left: &ScalarValue, right: &ScalarValue) -> std::cmp::Ordering {
    left.partial_cmp(right).expect("values of one column compare")
}

fn sum(values: &[ScalarValue], data_type: &DataType) -> Result<Option<ScalarValue>> {
    let mut total: Option<ScalarValue> = None;
    for value in values {
        let value = value.cast_to(data_type)?;
        total = Some(match total {
            Some(total) => total.add_checked(&value)?.cast_to(data_type)?,
            None => value,
        });
    }
    Ok(total)
}

/// The mean, rounded half away from zero to the digits of a decimal.
fn mean(values: &[ScalarValue], data_type: &DataType) -> Result<Option<ScalarValue>> {
    if values.is_empty() {
        return Ok(None);
    }
    let (DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale)) = *data_type else {
        let total = sum(values, &DataType::Float64)?.expect("there are values");
        let ScalarValue::Float64(Some(total)) = total else {
            return Ok(None);
        };
        return Ok(Some(ScalarValue::Float64(Some(total / values.len() as f64)).cast_to(data_type)?));
    };
    // One digit more than wanted, so that it can be rounded.
    let wide = DataType::Decimal256(76, scale + 1);
    let Some(ScalarValue::Decimal256(Some(total), ..)) = sum(values, &wide)? else {
        return Ok(None);
    };
    let ten = i256::from(10);
    let digits = total / i256::from_i128(values.len() as i128);
    let half = if digits < i256::ZERO { i256::from(-5) } else { i256::from(5) };
    let rounded = ScalarValue::Decimal256(Some((digits + half) / ten), 76, scale);
    Ok(Some(rounded.cast_to(data_type)?))
}

/// Any other aggregate, by DataFusion's accumulator.
fn accumulated(rows: &RecordBatch, members: &[usize], aggregate: &Aggregate) -> Result<ScalarValue> {
    let AggregateFunction::Other(function) = &aggregate.function else {
        return Err(Error::internal("only other aggregates are accumulated"));
    };
    let schema = rows.schema();
    let column = |position: usize| Arc::new(Column::new(schema.field(position).name(), position)) as _;
    let order = aggregate.order_by.iter().map(|key| PhysicalSortExpr {
        expr: column(key.column),
        options: SortOptions { descending: key.descending, nulls_first: key.nulls_first },
    });
    let arguments = aggregate.arguments.iter().map(|&argument| column(argument)).collect();
    let expression = AggregateExprBuilder::new(function.clone(), arguments)
        .schema(schema.clone())
        .order_by(order.collect())
        .alias("naive")
        .build()?;
    let mut accumulator = expression.create_accumulator()?;
    let sorted = take(rows, sort(rows, &aggregate.order_by, members)?.into_iter())?;
    let inputs = aggregate.arguments.iter().chain(aggregate.order_by.iter().map(|key| &key.column));
    let inputs: Vec<ArrayRef> = inputs.map(|&position| sorted.column(position).clone()).collect();
    accumulator.update_batch(&inputs)?;
    Ok(accumulator.evaluate()?)
}
