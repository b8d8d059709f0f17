//! Primary keys: no two rows of a table have the same, and ON CONFLICT says what happens to a row that would.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::row::{RowConverter, Rows, SortField};

use super::read::{self, Found};
use super::session::Session;
use crate::catalog::Table;
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
pub async fn check_unique(
    session: &mut Session,
    id: ObjectId,
    table: &Table,
    key: &[usize],
    rows: &[RecordBatch],
) -> Result<()> {
    for batch in rows {
        let found = read::find(session, id, table, batch).await?;
        let mut counts = vec![0u32; batch.num_rows()];
        for (probe, diff) in found.probes.iter().zip(&found.counts) {
            counts[*probe as usize] += *diff as u32;
        }
        if let Some(row) = counts.iter().position(|&count| count > 1) {
            return Err(duplicate(session, id, &table.relation, key, batch, row));
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
    let nothing = RecordBatch::new_empty(schema.clone());
    let Some(key) = matching_key(table, conflict)? else {
        return Ok(Resolved { removed: nothing, added: new });
    };
    let found = read::find(session, id, table, &new).await?;
    let first = first_of_key(&new, &key)?;
    let mut existing = vec![false; new.num_rows()];
    found.probes.iter().for_each(|probe| existing[*probe as usize] = true);
    let fresh: BooleanArray = (0..new.num_rows()).map(|row| Some(!existing[row] && first[row])).collect();
    let added = filter_record_batch(&new, &fresh)?;
    match &conflict.action {
        ConflictAction::Nothing => Ok(Resolved { removed: nothing, added }),
        ConflictAction::Update { assignments, filter } => {
            if first.contains(&false) {
                let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
                let hint = "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.";
                return Err(Error::new(SqlState::CARDINALITY_VIOLATION, message).with_hint(hint));
            }
            let (removed, changed) = change(&table.relation, &new, found, assignments, filter.as_ref())?;
            Ok(Resolved { removed, added: concat_batches(&schema, &[added, changed])? })
        }
    }
}

/// The key that the conflict's target names; None if there is none and none was asked for.
fn matching_key(table: &Table, conflict: &Conflict) -> Result<Option<Vec<usize>>> {
    let same = |key: &Vec<usize>| {
        let (mut key, mut target) = (key.clone(), conflict.target.clone());
        key.sort_unstable();
        target.sort_unstable();
        key == target
    };
    match &table.relation.key {
        Some(key) if conflict.target.is_empty() || same(key) => Ok(Some(key.clone())),
        None if conflict.target.is_empty() => Ok(None),
        _ => {
            let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
            Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message))
        }
    }
}

/// DO UPDATE: the existing rows that pass the filter, and what they become.
fn change(
    relation: &Relation,
    new: &RecordBatch,
    found: Found,
    assignments: &[Assignment],
    filter: Option<&std::sync::Arc<dyn datafusion::physical_expr::PhysicalExpr>>,
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

fn side_by_side(left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch> {
    let (left_schema, right_schema) = (left.schema(), right.schema());
    let fields = left_schema.fields().iter().chain(right_schema.fields()).cloned();
    let schema = arrow::datatypes::Schema::new(fields.collect::<Vec<_>>());
    let columns: Vec<ArrayRef> = left.columns().iter().chain(right.columns()).cloned().collect();
    Ok(RecordBatch::try_new(std::sync::Arc::new(schema), columns)?)
}

/// For each row whether no row before it has the same key.
fn first_of_key(rows: &RecordBatch, key: &[usize]) -> Result<Vec<bool>> {
    let keys = key_bytes(rows, key)?;
    let mut seen = HashMap::with_capacity(rows.num_rows());
    Ok((0..rows.num_rows()).map(|row| seen.insert(keys.row(row).data().to_vec(), ()).is_none()).collect())
}

fn key_bytes(rows: &RecordBatch, key: &[usize]) -> Result<Rows> {
    let columns: Vec<ArrayRef> = key.iter().map(|&column| rows.column(column).clone()).collect();
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    Ok(converter.convert_columns(&columns)?)
}

fn duplicate(
    session: &mut Session,
    id: ObjectId,
    relation: &Relation,
    key: &[usize],
    rows: &RecordBatch,
    row: usize,
) -> Error {
    let table = session.transaction().catalog.get(id).map_or_else(String::new, |entry| entry.name.clone());
    let names: Vec<_> = key.iter().map(|&column| relation.columns[column].name.as_str()).collect();
    let values = key.iter().map(|&column| {
        let mut text = String::new();
        let sql_type = &relation.columns[column].sql_type;
        if let Ok(writer) = TextWriter::new(rows.column(column).as_ref(), sql_type, &TextStyle::default()) {
            writer.write(row, &mut text);
        }
        text
    });
    let values: Vec<String> = values.collect();
    let message = format!("duplicate key value violates unique constraint \"{table}_pkey\"");
    let detail = format!("Key ({})=({}) already exists.", names.join(", "), values.join(", "));
    Error::new(SqlState::UNIQUE_VIOLATION, message).with_detail(detail)
}
