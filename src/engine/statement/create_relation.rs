//! CREATE SCHEMA, CREATE TABLE and CREATE TABLE AS.

use super::create_index;
use crate::catalog::{Item, Schema, Table};
use crate::engine::effect::Effect;
use crate::engine::outcome::Outcome;
use crate::engine::read;
use crate::engine::session::Session;
use crate::sql::relation_of;
use crate::sql::statement::{CreateTable, Name, TableQuery};
use crate::types::{Error, Relation, Result, SqlState};

pub fn schema(session: &mut Session, name: &str, if_not_exists: bool) -> Result<Outcome> {
    if if_not_exists && session.transaction().catalog.schema(name).is_some() {
        super::skipping(session, SqlState::DUPLICATE_SCHEMA, format!("schema \"{name}\" already exists"));
        return Ok(Outcome::done("CREATE SCHEMA"));
    }
    session.transaction().catalog_mut()?.create(name, "", Item::Schema(Schema {}), vec![])?;
    Ok(Outcome::done("CREATE SCHEMA"))
}

pub async fn table(session: &mut Session, create: &CreateTable, text: &str) -> Result<Outcome> {
    if create.temporary {
        return Err(Error::unsupported("temporary tables are not supported").with_hint("Create an ordinary table."));
    }
    let schema = place(session, &create.name)?;
    if create.if_not_exists && exists(session, &schema, &create.name) {
        return Ok(Outcome::done("CREATE TABLE"));
    }
    match &create.query {
        Some(query) => table_as(session, create, &schema, query, text).await,
        None => {
            let relation = relation_of(&create.columns, create.primary_key.as_deref())?;
            for column in &create.columns {
                session.plan(|planner| planner.check_default(column))?;
            }
            let defaults = create.columns.iter().map(|column| column.default.clone()).collect();
            let table = Table { relation, defaults, definition: text.to_string() };
            let id = add(session, &schema, &create.name.name, table)?;
            for unique in &create.unique {
                create_index::constraint(session, id, unique, text)?;
            }
            Ok(Outcome::done("CREATE TABLE"))
        }
    }
}

/// CREATE TABLE AS: the table has the columns of the query, all nullable, and its rows unless WITH NO DATA was said.
async fn table_as(
    session: &mut Session,
    create: &CreateTable,
    schema: &str,
    query: &TableQuery,
    text: &str,
) -> Result<Outcome> {
    let planned = session.plan(|planner| planner.view(&query.query, &query.columns))?;
    let mut relation = Relation::new(planned.columns.columns.clone());
    relation.columns.iter_mut().for_each(|column| column.nullable = true);
    let defaults = vec![None; relation.columns.len()];
    let batches = match query.with_data {
        true => read::collect(session, &planned).await?,
        false => vec![],
    };
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    let table = Table { relation: relation.clone(), defaults, definition: text.to_string() };
    let id = add(session, schema, &create.name.name, table)?;
    for batch in batches {
        let batch = read::with_schema(batch, &relation.schema())?;
        session.transaction().write(id, batch, 1)?;
    }
    Ok(Outcome::done(if query.with_data { format!("SELECT {rows}") } else { "CREATE TABLE AS".to_string() }))
}

fn add(session: &mut Session, schema: &str, name: &str, table: Table) -> Result<crate::types::ObjectId> {
    let relation = table.relation.clone();
    let transaction = session.transaction();
    let id = transaction.catalog_mut()?.create(schema, name, Item::Table(table), vec![])?;
    transaction.push_effect(Effect::CreateTable { id, relation });
    Ok(id)
}

/// The schema that a new object goes to.
pub fn place(session: &mut Session, name: &Name) -> Result<String> {
    match &name.schema {
        Some(schema) => Ok(schema.clone()),
        None => {
            let catalog = session.transaction().catalog.clone();
            session.creation_schema(&catalog)
        }
    }
}

/// For IF NOT EXISTS: whether the name is taken, of which the client is told.
pub fn exists(session: &mut Session, schema: &str, name: &Name) -> bool {
    let taken = session.transaction().catalog.relation(Some(schema), &name.name, &[]).is_some();
    if taken {
        let message = format!("relation \"{}\" already exists", name.name);
        super::skipping(session, SqlState::DUPLICATE_TABLE, message);
    }
    taken
}
