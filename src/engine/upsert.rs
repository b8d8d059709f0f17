//! Unique keys: no two rows of a table have the same, and ON CONFLICT says what happens to a row that would.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat, concat_batches, filter_record_batch, take_record_batch};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::physical_expr::PhysicalExpr;

use super::read::{self, Found};
use super::session::Session;
use crate::catalog::{Table, UniqueKey};
use crate::sql::{Assignment, Conflict, ConflictAction};
use crate::types::text::{TextStyle, TextWriter};
use crate::types::{Error, ObjectId, Relation, Result, SqlState};

/// What INSERT ... ON CONFLICT comes down to.
pub struct Resolved {
    /// Existing rows that are replaced.
    pub removed: RecordBatch,
    /// New rows, and what replaces existing ones.
    pub added: RecordBatch,
}

/// After `rows` have been buffered: fails with 23505 if one of them has a key that another row has too.
pub async fn check_unique(session: &mut Session, id: ObjectId, table: &Table, rows: &[RecordBatch]) -> Result<()> {
    let count = rows.iter().map(RecordBatch::num_rows).sum();
    if count == 0 {
        return Ok(());
    }
    for key in session.transaction().catalog.unique_keys(id) {
        let column = |&column: &usize| {
            let parts: Vec<&dyn Array> = rows.iter().map(|batch| batch.column(column).as_ref()).collect();
            concat(&parts)
        };
        let values = key.columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let found = read::find(session, id, &key, &values).await?;
        let mut copies = vec![0; count];
        for (probe, diff) in found.probes.iter().zip(&found.counts) {
            copies[*probe as usize] += *diff;
        }
        if let Some(row) = copies.iter().position(|&copies| copies > 1) {
            return Err(key.violation(&table.relation, &texts(&table.relation, &key, &values, row)));
        }
    }
    Ok(())
}

/// Fails with 23505 if two of the rows have the same key, which then can't be made unique.
pub fn check_distinct(relation: &Relation, key: &UniqueKey, batches: &[RecordBatch]) -> Result<()> {
    let mut seen = HashSet::new();
    for batch in batches {
        let keys = KeyBytes::of(batch, key)?;
        let repeated = (0..batch.num_rows()).find(|&row| keys.get(row).is_some_and(|key| !seen.insert(key.to_vec())));
        if let Some(row) = repeated {
            return Err(key.not_created(relation, &texts(relation, key, &keys.columns, row)));
        }
    }
    Ok(())
}

/// Decides for each new row whether it is added, left out, or changes the row that has its key.
pub async fn resolve(
    session: &mut Session,
    id: ObjectId,
    table: &Table,
    rows: Vec<RecordBatch>,
    conflict: &Conflict,
) -> Result<Resolved> {
    let schema = table.relation.schema();
    let new = concat_batches(&schema, &rows)?;
    let mut existing = vec![false; new.num_rows()];
    let mut replaced = None;
    for key in &conflict.keys {
        let found = read::find(session, id, key, &key_columns(&new, key)).await?;
        found.probes.iter().for_each(|probe| existing[*probe as usize] = true);
        replaced = Some(found);
    }
    let distinct = fresh(&new, &vec![false; new.num_rows()], &conflict.keys)?;
    let added = filter_record_batch(&new, &fresh(&new, &existing, &conflict.keys)?)?;
    match (&conflict.action, replaced) {
        // To be updated, a row must be found by one key, which the planner has seen to.
        (ConflictAction::Update { assignments, filter }, Some(found)) => {
            if distinct.true_count() < new.num_rows() {
                return Err(second_time());
            }
            let (removed, changed) = change(&table.relation, &new, found, assignments, filter.as_ref())?;
            Ok(Resolved { removed, added: concat_batches(&schema, &[added, changed])? })
        }
        _ => Ok(Resolved { removed: RecordBatch::new_empty(schema), added }),
    }
}

/// The rows that can be added one after another: none whose key is there, or is that of an added row before it.
fn fresh(new: &RecordBatch, existing: &[bool], keys: &[UniqueKey]) -> Result<BooleanArray> {
    let keys: Vec<KeyBytes> = keys.iter().map(|key| KeyBytes::of(new, key)).collect::<Result<_>>()?;
    let mut seen: Vec<HashSet<&[u8]>> = vec![HashSet::new(); keys.len()];
    let mut fresh = Vec::with_capacity(new.num_rows());
    for (row, &existing) in existing.iter().enumerate() {
        let of_row = || keys.iter().map(|key| key.get(row));
        let is_fresh = !existing && of_row().zip(&seen).all(|(key, seen)| key.is_none_or(|key| !seen.contains(key)));
        if is_fresh {
            of_row().zip(&mut seen).for_each(|(key, seen)| seen.extend(key));
        }
        fresh.push(is_fresh);
    }
    Ok(fresh.into())
}

/// DO UPDATE: the existing rows that pass the filter, and what they become.
fn change(
    relation: &Relation,
    new: &RecordBatch,
    found: Found,
    assignments: &[Assignment],
    filter: Option<&Arc<dyn PhysicalExpr>>,
) -> Result<(RecordBatch, RecordBatch)> {
    let excluded = take_record_batch(new, &UInt32Array::from(found.probes))?;
    let mut pair = side_by_side(&found.rows, &excluded)?;
    let mut existing = found.rows;
    if let Some(filter) = filter {
        let passes = filter.evaluate(&pair)?.into_array(pair.num_rows())?;
        let passes = arrow::array::AsArray::as_boolean(&passes);
        pair = filter_record_batch(&pair, passes)?;
        existing = filter_record_batch(&existing, passes)?;
    }
    let mut columns = existing.columns().to_vec();
    for Assignment { column, value } in assignments {
        columns[*column] = value.evaluate(&pair)?.into_array(pair.num_rows())?;
    }
    let schema = relation.schema();
    let changed = RecordBatch::try_new(schema.clone(), columns);
    let changed = match changed {
        Ok(changed) => changed,
        // A NULL in a column that takes none is all that can be wrong: the planner made the types.
        Err(_) => return Err(Error::new(SqlState::NOT_NULL_VIOLATION, "null value violates not-null constraint")),
    };
    Ok((existing, changed))
}

fn second_time() -> Error {
    let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
    let hint = "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.";
    Error::new(SqlState::CARDINALITY_VIOLATION, message).with_hint(hint)
}

fn side_by_side(left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch> {
    let (left_schema, right_schema) = (left.schema(), right.schema());
    let fields = left_schema.fields().iter().chain(right_schema.fields()).cloned();
    let schema = arrow::datatypes::Schema::new(fields.collect::<Vec<_>>());
    let columns: Vec<ArrayRef> = left.columns().iter().chain(right.columns()).cloned().collect();
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// The keys of rows as bytes that are equal if the keys are.
struct KeyBytes {
    rows: Rows,
    columns: Vec<ArrayRef>,
}

impl KeyBytes {
    fn of(rows: &RecordBatch, key: &UniqueKey) -> Result<Self> {
        let columns = key_columns(rows, key);
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        Ok(KeyBytes { rows: converter.convert_columns(&columns)?, columns })
    }

    /// None if there is a NULL in it: such a key is like no other.
    fn get(&self, row: usize) -> Option<&[u8]> {
        let is_null = self.columns.iter().any(|column| column.is_null(row));
        (!is_null).then(|| self.rows.row(row).data())
    }
}

fn key_columns(rows: &RecordBatch, key: &UniqueKey) -> Vec<ArrayRef> {
    key.columns.iter().map(|&column| rows.column(column).clone()).collect()
}

/// One row's values of a key, as text.
fn texts(relation: &Relation, key: &UniqueKey, values: &[ArrayRef], row: usize) -> Vec<String> {
    let text = |(&column, values): (&usize, &ArrayRef)| {
        let mut text = String::new();
        let sql_type = &relation.columns[column].sql_type;
        if let Ok(writer) = TextWriter::new(values.as_ref(), sql_type, &TextStyle::default()) {
            writer.write(row, &mut text);
        }
        text
    };
    key.columns.iter().zip(values).map(text).collect()
}
