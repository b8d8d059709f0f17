//! Opening a database that was closed, or killed: what was defined runs again, and what was acknowledged is there.
//!
//! Tables get back what the log holds of them, at the times it was written; sources go on behind their newest binding,
//! and views are planned again from their text.

use std::sync::Arc;
use std::time::Instant;

use super::database::Database;
use super::durable;
use super::effect::{create_inputs, create_table};
use super::ingest::Known;
use super::statement::create_source;
use super::timeline::Turn;
use super::views;
use crate::catalog::{Catalog, Entry, Item};
use crate::connect;
use crate::dataflow::runtime::Command;
use crate::sql;
use crate::store::Store;
use crate::types::{Error, ObjectId, Result};

/// Puts everything back that the store knows, in one turn: no worker begins before all is defined.
pub fn recover(database: &Database, store: &Store) -> Result<()> {
    let started = Instant::now();
    let catalog = Arc::new(durable::catalog(store)?);
    database.replace_catalog(catalog.clone());
    let mut turn = database.timeline.turn();
    let mut rows = 0;
    for entry in catalog.entries() {
        match &entry.item {
            Item::Table(table) => {
                create_table(&turn, entry.id, &table.relation, 0);
                for delta in durable::commits(store, entry.id, &table.relation.schema(), 0) {
                    let delta = delta?;
                    rows += delta.len();
                    turn.feed(entry.id, delta);
                }
            }
            Item::Source(_) => source(database, store, &turn, &catalog, entry)?,
            _ => {}
        }
    }
    let views = maintain(database, &turn, &catalog);
    let time = turn.mint();
    turn.close(time);
    drop(turn);
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(table_rows = rows, views, seconds, "the database is back");
    Ok(())
}

/// Goes on with a source behind what was bound last.
fn source(database: &Database, store: &Store, turn: &Turn<'_>, catalog: &Catalog, entry: &Entry) -> Result<()> {
    let source = create_source::reopened(catalog, entry)?;
    let relations = relations_of(catalog, entry, source.as_ref());
    create_inputs(turn, source.as_ref(), &relations);
    let bindings = durable::bindings(store, entry.id)?;
    let (_, start) = bindings.first().cloned().ok_or_else(|| Error::internal("a source has no first binding"))?;
    let known = Known { start, bindings, errors: durable::source_errors(store, entry.id)? };
    database.ingest.start(entry.id, source, relations, known);
    Ok(())
}

/// The ids of a source's relations, in the connector's order.
fn relations_of(catalog: &Catalog, entry: &Entry, source: &dyn connect::Source) -> Vec<ObjectId> {
    let part = |index: usize| {
        catalog.entries().find_map(|other| match &other.item {
            Item::SourceRelation(part) if part.source == entry.id && part.index == index => Some(other.id),
            _ => None,
        })
    };
    (0..source.relations().len()).map(|index| part(index).unwrap_or(entry.id)).collect()
}

/// Starts views and indexes, in the order in which they were made where they allow it: an ordinary view that was
/// replaced may read what is younger than those who read it.
fn maintain(database: &Database, turn: &Turn<'_>, catalog: &Arc<Catalog>) -> usize {
    let kept = |entry: &&Entry| matches!(entry.item, Item::MaterializedView(_) | Item::Index(_));
    let mut waiting: Vec<&Entry> = catalog.entries().filter(kept).collect();
    let count = waiting.len();
    while !waiting.is_empty() {
        let before = waiting.len();
        let ids: Vec<ObjectId> = waiting.iter().map(|entry| entry.id).collect();
        waiting.retain(|entry| match &entry.item {
            Item::Index(index) if ids.contains(&index.on) => true,
            Item::Index(index) => {
                let (id, on, key) = (entry.id, index.on, index.columns.clone());
                turn.execute(Command::CreateIndex { id, on, key, saved: None });
                false
            }
            _ => view(database, turn, catalog, entry, &ids),
        });
        if waiting.len() == before {
            let error = Error::internal("views read each other");
            waiting.drain(..).for_each(|entry| database.views.fail(&database.runtime, entry.id, error.clone()));
        }
    }
    count
}

/// Starts a view unless it reads what has not been started yet; true if it must wait.
fn view(database: &Database, turn: &Turn<'_>, catalog: &Arc<Catalog>, entry: &Entry, waiting: &[ObjectId]) -> bool {
    let Item::MaterializedView(view) = &entry.item else { return false };
    let planned = views::plan(catalog, view).and_then(|planned| sql::lower(&planned.logical));
    let plan = match planned {
        Ok(plan) => Arc::new(plan),
        Err(error) => {
            database.views.fail(&database.runtime, entry.id, error);
            return false;
        }
    };
    if plan.objects().iter().any(|read| waiting.contains(read)) {
        return true;
    }
    match plan.objects().into_iter().find_map(|read| database.views.failure(read)) {
        Some(error) => database.views.fail(&database.runtime, entry.id, error),
        None => {
            let key = view.relation.key.clone().unwrap_or_default();
            database.create_view(turn, entry.id, plan, key);
        }
    }
    false
}
