//! CREATE INDEX: another arrangement of a relation, by other columns.

use crate::catalog::{Index, Item};
use crate::engine::effect::Effect;
use crate::engine::outcome::Outcome;
use crate::engine::session::Session;
use crate::sql::statement::CreateIndex;
use crate::types::{Error, Result, SqlState};

pub fn index(session: &mut Session, create: &CreateIndex, text: &str) -> Result<Outcome> {
    let search_path = session.search_path();
    let transaction = session.transaction();
    let catalog = transaction.catalog.clone();
    let found = catalog.relation(create.on.schema.as_deref(), &create.on.name, &search_path);
    let on = found.ok_or_else(|| {
        let message = format!("relation \"{}\" does not exist", create.on);
        Error::new(SqlState::UNDEFINED_TABLE, message).at(create.on.position)
    })?;
    let indexable = match &on.item {
        Item::Table(_) | Item::MaterializedView(_) => true,
        Item::Source(source) => source.relation.is_some() && !source.append,
        Item::SourceRelation(part) => !part.append,
        _ => false,
    };
    if !indexable {
        let message = format!("cannot create an index on {} \"{}\"", on.kind(), on.name);
        let hint = "Indexes are kept on tables, materialized views and upsert sources.";
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint));
    }
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
        None => free_name(&catalog, &on.schema, &format!("{}_{}_idx", on.name, create.columns.join("_"))),
    };
    if create.if_not_exists && catalog.relation(Some(&on.schema), &name, &[]).is_some() {
        super::skipping(session, SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"));
        return Ok(Outcome::done("CREATE INDEX"));
    }
    let index = Index { on: on.id, columns: columns.clone(), definition: text.to_string() };
    let id = transaction.catalog_mut()?.create(&on.schema, &name, Item::Index(index), vec![on.id])?;
    transaction.push_effect(Effect::CreateIndex { id, on: on.id, key: columns });
    Ok(Outcome::done("CREATE INDEX"))
}

/// `name`, or the first of `name1`, `name2`, ... that is not taken.
fn free_name(catalog: &crate::catalog::Catalog, schema: &str, name: &str) -> String {
    let taken = |name: &String| catalog.relation(Some(schema), name, &[]).is_some();
    let numbered = (1..).map(|number| format!("{name}{number}"));
    let mut candidates = std::iter::once(name.to_string()).chain(numbered);
    candidates.find(|candidate| !taken(candidate)).expect("there are more numbers than relations")
}
