//! INSERT, UPDATE, DELETE and TRUNCATE: they read at the transaction's time and buffer what they would change.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use sqlparser::ast;

use super::query::parameter_types;
use crate::catalog::{Entry, Item, Table};
use crate::engine::outcome::{Description, Outcome};
use crate::engine::session::Session;
use crate::engine::{read, upsert};
use crate::sql::statement::{Modification, Name};
use crate::sql::{Planned, Projection};
use crate::types::{Error, ObjectId, Relation, Result, SqlState, SqlType};

pub async fn insert(
    session: &mut Session,
    insert: &Modification<ast::Insert>,
    parameters: &[ScalarValue],
) -> Result<Outcome> {
    let plan = session.plan_with(parameters, |planner| planner.insert(insert, &parameter_types(parameters)))?;
    let table = target(session, plan.table)?;
    let _lock = lock_to_insert(session, plan.table, !plan.rows.reads.is_empty()).await;
    let rows = collect(session, &plan.rows, &table.relation).await?;
    let (inserted, count) = match &plan.on_conflict {
        None => {
            let count = rows.iter().map(RecordBatch::num_rows).sum();
            add(session, plan.table, &table, &rows).await?;
            (rows, count)
        }
        Some(conflict) => {
            let resolved = upsert::resolve(session, plan.table, &table, rows, conflict).await?;
            session.transaction().write(plan.table, resolved.removed, -1)?;
            let count = resolved.added.num_rows();
            let added = vec![resolved.added];
            add(session, plan.table, &table, &added).await?;
            (added, count)
        }
    };
    finish(plan.returning, &inserted, "INSERT 0", count)
}

pub async fn update(
    session: &mut Session,
    update: &Modification<ast::Update>,
    parameters: &[ScalarValue],
) -> Result<Outcome> {
    let plan = session.plan_with(parameters, |planner| planner.update(update, &parameter_types(parameters)))?;
    let table = target(session, plan.table)?;
    let _lock = lock(session, plan.table).await;
    let width = table.relation.columns.len();
    let schema = table.relation.schema();
    let batches = read::collect(session, &plan.rows).await?;
    let old = halves(&batches, 0..width, &schema)?;
    let new = halves(&batches, width..2 * width, &schema)?;
    let count = new.iter().map(RecordBatch::num_rows).sum();
    for batch in old {
        session.transaction().write(plan.table, batch, -1)?;
    }
    add(session, plan.table, &table, &new).await?;
    finish(plan.returning, &new, "UPDATE", count)
}

pub async fn delete(
    session: &mut Session,
    delete: &Modification<ast::Delete>,
    parameters: &[ScalarValue],
) -> Result<Outcome> {
    let plan = session.plan_with(parameters, |planner| planner.delete(delete, &parameter_types(parameters)))?;
    let table = target(session, plan.table)?;
    let _lock = lock(session, plan.table).await;
    let rows = collect(session, &plan.rows, &table.relation).await?;
    let count = rows.iter().map(RecordBatch::num_rows).sum();
    for batch in &rows {
        session.transaction().write(plan.table, batch.clone(), -1)?;
    }
    finish(plan.returning, &rows, "DELETE", count)
}

pub async fn truncate(session: &mut Session, names: &[Name]) -> Result<Outcome> {
    let search_path = session.search_path();
    for name in names {
        let catalog = session.transaction().catalog.clone();
        let found = catalog.relation(name.schema.as_deref(), &name.name, &search_path);
        let entry = found.ok_or_else(|| {
            Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")).at(name.position)
        })?;
        table_of(entry)?;
        let _lock = lock(session, entry.id).await;
        for batch in read::table(session, entry.id).await? {
            session.transaction().write(entry.id, batch, -1)?;
        }
    }
    Ok(Outcome::done("TRUNCATE TABLE"))
}

pub fn describe_insert(
    session: &mut Session,
    insert: &Modification<ast::Insert>,
    declared: &[Option<SqlType>],
) -> Result<Description> {
    let plan = session.plan(|planner| planner.insert(insert, declared))?;
    Ok(description(plan.rows, plan.returning))
}

pub fn describe_update(
    session: &mut Session,
    update: &Modification<ast::Update>,
    declared: &[Option<SqlType>],
) -> Result<Description> {
    let plan = session.plan(|planner| planner.update(update, declared))?;
    Ok(description(plan.rows, plan.returning))
}

pub fn describe_delete(
    session: &mut Session,
    delete: &Modification<ast::Delete>,
    declared: &[Option<SqlType>],
) -> Result<Description> {
    let plan = session.plan(|planner| planner.delete(delete, declared))?;
    Ok(description(plan.rows, plan.returning))
}

fn description(rows: Planned, returning: Option<Projection>) -> Description {
    Description { parameters: rows.parameters, columns: returning.map(|returning| returning.columns) }
}

/// The table that is written.
pub fn target(session: &mut Session, id: ObjectId) -> Result<Table> {
    let catalog = session.transaction().catalog.clone();
    let entry = catalog.get(id).ok_or_else(|| Error::internal("the planned table is not in the catalog"))?;
    table_of(entry).cloned()
}

pub fn table_of(entry: &Entry) -> Result<&Table> {
    match &entry.item {
        Item::Table(table) => Ok(table),
        _ => {
            let message = format!("cannot change {} \"{}\"", entry.kind(), entry.name);
            Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint("Only tables can be written to."))
        }
    }
}

/// A statement on its own that reads what it writes waits its turn, so that it need not be tried again. In a block
/// nothing is locked: its COMMIT checks.
pub async fn lock(session: &mut Session, table: ObjectId) -> Option<tokio::sync::OwnedMutexGuard<()>> {
    match session.is_alone() {
        true => Some(session.database.write_lock(table).await),
        false => None,
    }
}

/// New rows are compared with others only if the table has unique keys.
pub async fn lock_to_insert(
    session: &mut Session,
    table: ObjectId,
    reads: bool,
) -> Option<tokio::sync::OwnedMutexGuard<()>> {
    match reads || !session.transaction().catalog.unique_keys(table).is_empty() {
        true => lock(session, table).await,
        false => None,
    }
}

/// A plan's rows under the table's own schema.
async fn collect(session: &mut Session, planned: &Planned, relation: &Relation) -> Result<Vec<RecordBatch>> {
    let schema = relation.schema();
    let batches = read::collect(session, planned).await?;
    batches.into_iter().map(|batch| checked(batch, relation, &schema)).collect()
}

fn halves(batches: &[RecordBatch], columns: std::ops::Range<usize>, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let relation = Relation::of_schema(schema);
    let take = |batch: &RecordBatch| checked(batch.project(&columns.clone().collect::<Vec<_>>())?, &relation, schema);
    batches.iter().map(take).collect()
}

/// A batch as rows of the table: NOT NULL is checked, names and types are the table's.
pub fn checked(batch: RecordBatch, relation: &Relation, schema: &SchemaRef) -> Result<RecordBatch> {
    for (column, values) in relation.columns.iter().zip(batch.columns()) {
        if !column.nullable && values.null_count() > 0 {
            let message = format!("null value in column \"{}\" violates not-null constraint", column.name);
            return Err(Error::new(SqlState::NOT_NULL_VIOLATION, message));
        }
    }
    Ok(RecordBatch::try_new(schema.clone(), batch.columns().to_vec())?)
}

/// Buffers new rows; no two rows of the table may then have the same unique key.
pub async fn add(session: &mut Session, id: ObjectId, table: &Table, rows: &[RecordBatch]) -> Result<()> {
    for batch in rows {
        session.transaction().write(id, batch.clone(), 1)?;
    }
    upsert::check_unique(session, id, table, rows).await
}

/// The tag, or the rows of RETURNING.
fn finish(returning: Option<Projection>, rows: &[RecordBatch], verb: &'static str, count: usize) -> Result<Outcome> {
    let Some(returning) = returning else {
        return Ok(Outcome::done(format!("{verb} {count}")));
    };
    let batches = rows.iter().map(|batch| read::project(&returning, batch)).collect::<Result<_>>()?;
    Ok(Outcome::rows(returning.columns, batches, verb))
}
