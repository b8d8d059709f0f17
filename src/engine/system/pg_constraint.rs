//! pg_catalog.pg_constraint: the UNIQUE constraints of tables, each with the index that enforces it.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::Kind::{Many, One};
use super::pg_class::namespace_of;
use super::{SystemRelation, boolean, char, int2, name, null_text, oid, text};
use crate::catalog::{Catalog, Entry, Index, IndexKind, Item};
use crate::engine::session::Session;
use crate::types::{Result, SqlType};

pub const TABLE: &[SystemRelation] = &[SystemRelation {
    schema: "pg_catalog",
    name: "pg_constraint",
    columns: &[
        ("oid", One(SqlType::Oid)),
        ("conname", One(SqlType::Name)),
        ("connamespace", One(SqlType::Oid)),
        ("contype", One(SqlType::InternalChar)),
        ("condeferrable", One(SqlType::Bool)),
        ("condeferred", One(SqlType::Bool)),
        ("convalidated", One(SqlType::Bool)),
        ("conrelid", One(SqlType::Oid)),
        ("contypid", One(SqlType::Oid)),
        ("conindid", One(SqlType::Oid)),
        ("conparentid", One(SqlType::Oid)),
        ("confrelid", One(SqlType::Oid)),
        ("confupdtype", One(SqlType::InternalChar)),
        ("confdeltype", One(SqlType::InternalChar)),
        ("confmatchtype", One(SqlType::InternalChar)),
        ("conislocal", One(SqlType::Bool)),
        ("conkey", Many(SqlType::Int2)),
        ("confkey", Many(SqlType::Int2)),
        ("conbin", One(SqlType::Text)),
    ],
    rows: constraints,
}];

fn constraints(session: &mut Session) -> Result<Vec<Vec<ScalarValue>>> {
    let catalog = session.transaction().catalog.clone();
    let rows = catalog.entries().filter_map(|entry| {
        let index = constraint_of(entry)?;
        let on = catalog.get(index.on)?;
        let places: Vec<_> = index.columns.iter().map(|&column| int2(column as i16 + 1)).collect();
        Some(vec![
            oid(entry.oid),
            name(&entry.name),
            oid(namespace_of(&catalog, &entry.schema)),
            char('u'),
            boolean(false),
            boolean(false),
            boolean(true),
            oid(on.oid),
            oid(0),
            oid(entry.oid),
            oid(0),
            oid(0),
            text(""),
            text(""),
            text(""),
            boolean(true),
            ScalarValue::List(ScalarValue::new_list_nullable(&places, &DataType::Int16)),
            null_text(),
            null_text(),
        ])
    });
    Ok(rows.collect())
}

/// `pg_get_constraintdef(oid)`; a constraint has the OID of its index.
pub fn definition(catalog: &Catalog, constraint: u32) -> Option<String> {
    let index = catalog.entries().find(|entry| entry.oid == constraint).and_then(constraint_of)?;
    let relation = catalog.get(index.on)?.relation()?;
    let columns: Vec<_> = index.columns.iter().map(|&column| relation.columns[column].name.as_str()).collect();
    Some(format!("UNIQUE ({})", columns.join(", ")))
}

fn constraint_of(entry: &Entry) -> Option<&Index> {
    match &entry.item {
        Item::Index(index) if index.kind == IndexKind::Constraint => Some(index),
        _ => None,
    }
}
