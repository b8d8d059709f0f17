//! information_schema, as far as clients use it: schemata, tables, columns, views.

use datafusion::common::ScalarValue;

use super::Kind::One;
use super::pg_class::{OWNER_NAME, relkind};
use super::{SystemRelation, int4, null_text, text};
use crate::catalog::{DATABASE, Entry, Item};
use crate::engine::session::Session;
use crate::types::{Result, SqlType};

pub const TABLE: &[SystemRelation] = &[
    SystemRelation {
        schema: "information_schema",
        name: "schemata",
        columns: &[
            ("catalog_name", One(SqlType::Text)),
            ("schema_name", One(SqlType::Text)),
            ("schema_owner", One(SqlType::Text)),
        ],
        rows: schemata,
    },
    SystemRelation {
        schema: "information_schema",
        name: "tables",
        columns: &[
            ("table_catalog", One(SqlType::Text)),
            ("table_schema", One(SqlType::Text)),
            ("table_name", One(SqlType::Text)),
            ("table_type", One(SqlType::Text)),
            ("is_insertable_into", One(SqlType::Text)),
        ],
        rows: tables,
    },
    SystemRelation {
        schema: "information_schema",
        name: "views",
        columns: &[
            ("table_catalog", One(SqlType::Text)),
            ("table_schema", One(SqlType::Text)),
            ("table_name", One(SqlType::Text)),
            ("view_definition", One(SqlType::Text)),
        ],
        rows: views,
    },
    SystemRelation {
        schema: "information_schema",
        name: "columns",
        columns: &[
            ("table_catalog", One(SqlType::Text)),
            ("table_schema", One(SqlType::Text)),
            ("table_name", One(SqlType::Text)),
            ("column_name", One(SqlType::Text)),
            ("ordinal_position", One(SqlType::Int4)),
            ("column_default", One(SqlType::Text)),
            ("is_nullable", One(SqlType::Text)),
            ("data_type", One(SqlType::Text)),
            ("character_maximum_length", One(SqlType::Int4)),
            ("numeric_precision", One(SqlType::Int4)),
            ("numeric_scale", One(SqlType::Int4)),
            ("udt_name", One(SqlType::Text)),
        ],
        rows: columns,
    },
];

type Rows = Result<Vec<Vec<ScalarValue>>>;

fn schemata(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let own = catalog.entries().filter(|entry| matches!(entry.item, Item::Schema(_)));
    let names = own.map(|entry| entry.schema.as_str()).chain(["pg_catalog", "information_schema", "millrace"]);
    Ok(names.map(|schema| vec![text(DATABASE), text(schema), text(OWNER_NAME)]).collect())
}

fn tables(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let row = |entry: &Entry| {
        // PostgreSQL leaves materialized views out, and so do we.
        let kind = match relkind(&entry.item)? {
            'r' => "BASE TABLE",
            'v' => "VIEW",
            _ => return None,
        };
        let insertable = if matches!(entry.item, Item::Table(_)) { "YES" } else { "NO" };
        Some(vec![text(DATABASE), text(&entry.schema), text(&entry.name), text(kind), text(insertable)])
    };
    Ok(catalog.entries().filter_map(row).collect())
}

fn views(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let rows = catalog.entries().filter_map(|entry| {
        let Item::View(view) = &entry.item else { return None };
        Some(vec![text(DATABASE), text(&entry.schema), text(&entry.name), text(&view.query)])
    });
    Ok(rows.collect())
}

fn columns(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let mut rows = Vec::new();
    for entry in catalog.entries() {
        let Some(relation) = entry.relation() else { continue };
        let defaults = match &entry.item {
            Item::Table(table) => table.defaults.clone(),
            _ => vec![],
        };
        for (place, column) in relation.columns.iter().enumerate() {
            let (length, precision, scale) = limits(&column.sql_type);
            let default = defaults.get(place).cloned().flatten();
            rows.push(vec![
                text(DATABASE),
                text(&entry.schema),
                text(&entry.name),
                text(&column.name),
                int4(place as i32 + 1),
                default.map_or_else(null_text, text),
                text(if column.nullable { "YES" } else { "NO" }),
                text(data_type(&column.sql_type)),
                ScalarValue::Int32(length),
                ScalarValue::Int32(precision),
                ScalarValue::Int32(scale),
                text(column.sql_type.to_string()),
            ]);
        }
    }
    Ok(rows)
}

/// The standard's name, without length and precision.
fn data_type(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Array(_) => "ARRAY".to_string(),
        SqlType::Numeric(_) => "numeric".to_string(),
        SqlType::Varchar(_) => "character varying".to_string(),
        SqlType::Char(_) => "character".to_string(),
        other => other.to_string(),
    }
}

/// Length of text, precision and scale of numbers.
fn limits(sql_type: &SqlType) -> (Option<i32>, Option<i32>, Option<i32>) {
    match sql_type {
        SqlType::Varchar(length) => (length.map(|length| length as i32), None, None),
        SqlType::Char(length) => (Some(*length as i32), None, None),
        SqlType::Int2 => (None, Some(16), Some(0)),
        SqlType::Int4 => (None, Some(32), Some(0)),
        SqlType::Int8 => (None, Some(64), Some(0)),
        SqlType::Numeric(Some((precision, scale))) => (None, Some(*precision as i32), Some(*scale as i32)),
        SqlType::Float4 => (None, Some(24), None),
        SqlType::Float8 => (None, Some(53), None),
        _ => (None, None, None),
    }
}
