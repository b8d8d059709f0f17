//! DROP of anything, with what depends on it.

use std::collections::BTreeSet;

use crate::catalog::{Catalog, Entry, Index, IndexKind, Item};
use crate::engine::effect::Effect;
use crate::engine::outcome::{Outcome, Severity};
use crate::engine::session::Session;
use crate::sql::statement::{Drop, Name, ObjectKind};
use crate::types::{Error, ObjectId, Result, SqlState};

pub fn drop(session: &mut Session, drop: &Drop) -> Result<Outcome> {
    let search_path = session.search_path();
    let mut named = Vec::new();
    for name in &drop.names {
        match find(&session.transaction().catalog, drop.kind, name, &search_path)? {
            Some(id) => named.push(id),
            None if drop.if_exists => {
                let (state, message) = missing(drop.kind, name);
                super::skipping(session, state, message);
            }
            None => {
                let (state, message) = missing(drop.kind, name);
                return Err(Error::new(state, message).at(name.position));
            }
        }
    }
    let catalog = session.transaction().catalog.clone();
    let parts: BTreeSet<ObjectId> = named.iter().flat_map(|id| own_parts(&catalog, *id)).collect();
    let everything = closure(&catalog, &parts);
    let others: Vec<_> = everything.iter().filter(|id| !parts.contains(id)).collect();
    if !drop.cascade {
        refuse_dependents(&catalog, &named, others.iter().map(|id| **id))?;
    } else if !others.is_empty() {
        let message = match others.as_slice() {
            [only] => format!("drop cascades to {}", describe(&catalog, **only)),
            several => format!("drop cascades to {} other objects", several.len()),
        };
        session.notice(Severity::Notice, SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
    }
    // Dependents are younger than what they depend on, so the youngest go first.
    for id in everything.into_iter().rev() {
        remove(session, id)?;
    }
    Ok(Outcome::done(format!("DROP {}", drop.kind.to_string().to_uppercase())))
}

/// The object of that name and kind; one of another kind is an error with a hint.
fn find(catalog: &Catalog, kind: ObjectKind, name: &Name, search_path: &[String]) -> Result<Option<ObjectId>> {
    let schema = name.schema.as_deref();
    let entry = match kind {
        ObjectKind::Schema => catalog.schema(&name.name),
        ObjectKind::Connection => catalog.connection(schema, &name.name, search_path),
        ObjectKind::Source => match catalog.relation(schema, &name.name, search_path) {
            Some(entry) => Some(entry),
            None => catalog.source(schema, &name.name, search_path),
        },
        _ => catalog.relation(schema, &name.name, search_path),
    };
    let Some(entry) = entry else { return Ok(None) };
    let (right, article) = match (kind, &entry.item) {
        (ObjectKind::Schema, _) | (ObjectKind::Connection, _) => (true, ""),
        (ObjectKind::Source, Item::Source(_)) => (true, ""),
        (ObjectKind::Source, Item::SourceRelation(part)) => {
            let source = catalog.get(part.source).map_or("", |source| source.name.as_str());
            let message = format!("\"{}\" is a relation of source \"{source}\"", entry.name);
            let hint = format!("Use DROP SOURCE {source} to drop the source with all its relations.");
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint));
        }
        (ObjectKind::Table, Item::Table(_)) => (true, ""),
        (ObjectKind::View, Item::View(_)) => (true, ""),
        (ObjectKind::MaterializedView, Item::MaterializedView(_)) => (true, ""),
        (ObjectKind::Index, Item::Index(_)) => (true, ""),
        (ObjectKind::Index, _) => (false, "an"),
        _ => (false, "a"),
    };
    if let (ObjectKind::Index, Item::Index(Index { on, kind: IndexKind::Constraint, .. })) = (kind, &entry.item) {
        let table = catalog.get(*on).map_or("", |table| table.name.as_str());
        let message = format!("cannot drop index {name} because constraint {name} on table {table} requires it");
        let hint = format!("Drop table {table}, or leave the constraint out when you create it.");
        return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message).with_hint(hint));
    }
    if !right {
        let message = format!("\"{}\" is not {article} {kind}", entry.name);
        let hint = format!("Use DROP {} to remove it.", entry.kind().to_uppercase());
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint));
    }
    Ok(Some(entry.id))
}

fn missing(kind: ObjectKind, name: &Name) -> (SqlState, String) {
    let state = match kind {
        ObjectKind::Schema => SqlState::INVALID_SCHEMA_NAME,
        ObjectKind::Connection | ObjectKind::Index => SqlState::UNDEFINED_OBJECT,
        _ => SqlState::UNDEFINED_TABLE,
    };
    (state, format!("{kind} \"{name}\" does not exist"))
}

/// An object with what is a part of it: a source's relations and its schema, a relation's indexes.
fn own_parts(catalog: &Catalog, id: ObjectId) -> Vec<ObjectId> {
    let is_part = |entry: &&Entry| match &entry.item {
        Item::SourceRelation(part) => part.source == id,
        Item::Index(index) => index.on == id,
        Item::Schema(_) => catalog.get(id).is_some_and(|owner| {
            matches!(&owner.item, Item::Source(source) if source.relation.is_none()) && entry.schema == owner.name
        }),
        _ => false,
    };
    catalog.entries().filter(is_part).map(|entry| entry.id).chain([id]).collect()
}

/// What goes with `parts`: their dependents, those that live in a dropped schema, and so on.
fn closure(catalog: &Catalog, parts: &BTreeSet<ObjectId>) -> BTreeSet<ObjectId> {
    let mut found = parts.clone();
    loop {
        let schemas: BTreeSet<&str> = found
            .iter()
            .filter_map(|id| catalog.get(*id))
            .filter(|entry| matches!(entry.item, Item::Schema(_)))
            .map(|entry| entry.schema.as_str())
            .collect();
        let goes = |entry: &&Entry| {
            !found.contains(&entry.id)
                && (entry.depends_on.iter().any(|on| found.contains(on)) || schemas.contains(entry.schema.as_str()))
        };
        let more: Vec<_> = catalog.entries().filter(goes).flat_map(|entry| own_parts(catalog, entry.id)).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

fn refuse_dependents(catalog: &Catalog, named: &[ObjectId], others: impl Iterator<Item = ObjectId>) -> Result<()> {
    let others: Vec<_> = others.collect();
    if others.is_empty() {
        return Ok(());
    }
    let what = named.iter().map(|id| describe(catalog, *id)).collect::<Vec<_>>().join(", ");
    let detail = others.iter().map(|id| format!("{} depends on {what}", describe(catalog, *id)));
    let message = format!("cannot drop {what} because other objects depend on it");
    Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_detail(detail.collect::<Vec<_>>().join("\n"))
        .with_hint("Use DROP ... CASCADE to drop the dependent objects too."))
}

fn describe(catalog: &Catalog, id: ObjectId) -> String {
    match catalog.get(id) {
        Some(entry) if matches!(entry.item, Item::Schema(_)) => format!("schema {}", entry.schema),
        Some(entry) => format!("{} {}", entry.kind(), entry.name),
        None => format!("object {id}"),
    }
}

fn remove(session: &mut Session, id: ObjectId) -> Result<()> {
    let transaction = session.transaction();
    let Some(entry) = transaction.catalog_mut()?.remove(id) else { return Ok(()) };
    match &entry.item {
        Item::Schema(_) | Item::Connection(_) | Item::View(_) => {}
        Item::Source(source) => {
            if source.relation.is_some() {
                transaction.push_effect(Effect::Drop { id });
            }
            transaction.push_effect(Effect::DropSource { id });
        }
        Item::Table(_) => {
            transaction.forget_writes(id);
            transaction.push_effect(Effect::Drop { id });
        }
        Item::SourceRelation(_) | Item::MaterializedView(_) | Item::Index(_) => {
            transaction.push_effect(Effect::Drop { id });
        }
    }
    Ok(())
}
