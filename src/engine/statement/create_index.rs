//! CREATE INDEX, and UNIQUE in CREATE TABLE: another arrangement of a relation, by other columns.

use super::dml;
use crate::catalog::{Entry, Index, IndexKind, Item, UniqueKey};
use crate::engine::effect::Effect;
use crate::engine::outcome::Outcome;
use crate::engine::session::Session;
use crate::engine::{read, upsert};
use crate::sql::key_positions;
use crate::sql::statement::{CreateIndex, UniqueConstraint};
use crate::types::{Error, ObjectId, Result, SqlState};

pub async fn index(session: &mut Session, create: &CreateIndex, text: &str) -> Result<Outcome> {
    let search_path = session.search_path();
    let catalog = session.transaction().catalog.clone();
    let found = catalog.relation(create.on.schema.as_deref(), &create.on.name, &search_path);
    let on = found.ok_or_else(|| {
        let message = format!("relation \"{}\" does not exist", create.on);
        Error::new(SqlState::UNDEFINED_TABLE, message).at(create.on.position)
    })?;
    require_indexable(on, create.unique)?;
    let relation = on.relation().expect("what can be indexed has columns");
    let mut columns = Vec::with_capacity(create.columns.len());
    for name in &create.columns {
        let place = relation.position(name);
        columns.push(
            place.ok_or_else(|| Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")))?,
        );
    }
    let name = match &create.name {
        Some(name) => name.clone(),
        None => catalog.free_name(&on.schema, &format!("{}_{}_idx", on.name, create.columns.join("_"))),
    };
    if create.if_not_exists && catalog.relation(Some(&on.schema), &name, &[]).is_some() {
        super::skipping(session, SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"));
        return Ok(Outcome::done("CREATE INDEX"));
    }
    let _lock = match create.unique {
        true => dml::lock(session, on.id).await,
        false => None,
    };
    let kind = if create.unique { IndexKind::Unique } else { IndexKind::Plain };
    let index = Index { on: on.id, columns: columns.clone(), kind, definition: text.to_string() };
    let id = add(session, &on.schema, &name, index)?;
    if create.unique {
        let key = UniqueKey { name, columns, index: Some(id), is_constraint: false };
        let rows = read::table(session, on.id).await?;
        upsert::check_distinct(relation, &key, &rows)?;
    }
    Ok(Outcome::done("CREATE INDEX"))
}

/// UNIQUE of a table that this transaction has just made, so that it is empty.
pub fn constraint(session: &mut Session, table: ObjectId, unique: &UniqueConstraint, text: &str) -> Result<()> {
    let catalog = session.transaction().catalog.clone();
    let on = catalog.get(table).ok_or_else(|| Error::internal("the new table is not in the catalog"))?;
    let relation = on.relation().ok_or_else(|| Error::internal("the new table has no columns"))?;
    let columns = key_positions(relation, &unique.columns, "unique")?;
    if unique.name.is_none() && catalog.unique_keys(table).iter().any(|key| key.columns == columns) {
        // Said twice.
        return Ok(());
    }
    let name = match &unique.name {
        Some(name) => name.clone(),
        None => catalog.free_name(&on.schema, &format!("{}_{}_key", on.name, unique.columns.join("_"))),
    };
    let index = Index { on: table, columns, kind: IndexKind::Constraint, definition: text.to_string() };
    add(session, &on.schema, &name, index).map(drop)
}

fn add(session: &mut Session, schema: &str, name: &str, index: Index) -> Result<ObjectId> {
    let (on, key) = (index.on, index.columns.clone());
    let transaction = session.transaction();
    let id = transaction.catalog_mut()?.create(schema, name, Item::Index(index), vec![on])?;
    transaction.push_effect(Effect::CreateIndex { id, on, key });
    Ok(id)
}

fn require_indexable(on: &Entry, unique: bool) -> Result<()> {
    let indexable = match &on.item {
        Item::Table(_) => true,
        Item::MaterializedView(_) => !unique,
        Item::Source(source) => source.relation.is_some() && !source.append && !unique,
        Item::SourceRelation(part) => !part.append && !unique,
        _ => false,
    };
    if indexable {
        return Ok(());
    }
    let (what, hint) = match unique {
        true => ("a unique index", "What must be unique is checked when a table is written; only tables are."),
        false => ("an index", "Indexes are kept on tables, materialized views and upsert sources."),
    };
    let message = format!("cannot create {what} on {} \"{}\"", on.kind(), on.name);
    Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint))
}
