//! CREATE VIEW and CREATE MATERIALIZED VIEW.

use std::sync::Arc;

use super::create_relation::{exists, place};
use crate::catalog::{Item, MaterializedView, PlannedWith, View};
use crate::engine::effect::Effect;
use crate::engine::outcome::Outcome;
use crate::engine::session::Session;
use crate::sql::statement::{CreateMaterializedView, CreateView};
use crate::sql::{self, Planned};
use crate::types::{Error, Relation, Result, SqlState};

pub fn view(session: &mut Session, create: &CreateView) -> Result<Outcome> {
    let schema = place(session, &create.name)?;
    let planned = session.plan(|planner| planner.view(&create.query.query, &create.columns))?;
    let relation = planned.columns.clone();
    let search_path = session.search_path();
    let view = View { relation, query: create.query.text.clone(), search_path };
    let transaction = session.transaction();
    let existing = transaction.catalog.relation(Some(&schema), &create.name.name, &[]).cloned();
    match existing {
        Some(entry) if create.or_replace => {
            let Item::View(old) = &entry.item else {
                let message = format!("\"{}\" is not a view", entry.name);
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
            };
            check_replacement(&old.relation, &view.relation)?;
            let catalog = transaction.catalog_mut()?;
            if planned.depends_on.iter().any(|on| *on == entry.id || catalog.all_dependents(entry.id).contains(on)) {
                let message = format!("infinite recursion detected in view \"{}\"", entry.name);
                return Err(Error::new(SqlState::INVALID_RECURSION, message));
            }
            catalog.replace(entry.id, Item::View(view), planned.depends_on);
        }
        _ => {
            let name = &create.name.name;
            transaction.catalog_mut()?.create(&schema, name, Item::View(view), planned.depends_on)?;
        }
    }
    Ok(Outcome::done("CREATE VIEW"))
}

pub fn materialized_view(session: &mut Session, create: &CreateMaterializedView) -> Result<Outcome> {
    let schema = place(session, &create.name)?;
    if create.if_not_exists && exists(session, &schema, &create.name) {
        return Ok(Outcome::done("CREATE MATERIALIZED VIEW"));
    }
    if let Some(option) = create.options.keys().next() {
        let message = format!("unrecognized parameter \"{option}\" of a materialized view");
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    let planned = session.plan_maintained(|planner| planner.view(&create.query.query, &create.columns))?;
    refuse_volatile(&planned)?;
    let plan = sql::lower(&planned.logical)?;
    let relation = planned.columns.clone();
    let key = relation.key.clone().filter(|key| !key.is_empty());
    let context = session.plan_context();
    let planned_with = PlannedWith {
        user: context.user,
        search_path: context.search_path,
        time_zone: context.time_zone,
        settings: context.settings,
    };
    let item = MaterializedView { relation, query: create.query.text.clone(), planned_with };
    let transaction = session.transaction();
    let name = &create.name.name;
    let id = transaction.catalog_mut()?.create(&schema, name, Item::MaterializedView(item), planned.depends_on)?;
    transaction.push_effect(Effect::CreateView { id, plan: Arc::new(plan), key: key.unwrap_or_default() });
    Ok(Outcome::done("CREATE MATERIALIZED VIEW"))
}

/// What a view can't be kept up to date with: it would differ between two computations of the same view.
fn refuse_volatile(planned: &Planned) -> Result<()> {
    let Some(function) = planned.volatile.first() else { return Ok(()) };
    let message = format!("{function}() is not allowed in a materialized view");
    Err(Error::unsupported(message)
        .with_detail("Its result would differ between two computations of the same view.")
        .with_hint("Compute it when the row is written, or use it in a plain SELECT or an ordinary view."))
}

/// What others rely on stays: a replacement may only add columns at the end.
fn check_replacement(old: &Relation, new: &Relation) -> Result<()> {
    if new.columns.len() < old.columns.len() {
        return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, "cannot drop columns from view"));
    }
    for (old, new) in old.columns.iter().zip(&new.columns) {
        if old.name != new.name {
            let message = format!("cannot change name of view column \"{}\" to \"{}\"", old.name, new.name);
            return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        if old.sql_type != new.sql_type {
            let (name, from, to) = (&old.name, &old.sql_type, &new.sql_type);
            let message = format!("cannot change data type of view column \"{name}\" from {from} to {to}");
            return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
    }
    Ok(())
}
