//! pg_catalog, the relations that describe what users have made: pg_class, pg_attribute, pg_namespace, pg_index, ...

use datafusion::common::ScalarValue;

use super::Kind::{Many, One};
use super::{SystemRelation, boolean, char, int2, int4, name, null_text, oid, text};
use crate::catalog::{Catalog, Entry, IndexKind, Item};
use crate::engine::session::Session;
use crate::types::{Relation, Result, SqlType};

/// OIDs of what PostgreSQL has built in.
pub const PG_CATALOG: u32 = 11;
pub const INFORMATION_SCHEMA: u32 = 13000;
pub const MILLRACE_SCHEMA: u32 = 13001;
/// The role that owns everything.
pub const OWNER: u32 = 10;
const HEAP: u32 = 2;
const BTREE: u32 = 403;

pub const TABLE: &[SystemRelation] = &[
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_namespace",
        columns: &[
            ("oid", One(SqlType::Oid)),
            ("nspname", One(SqlType::Name)),
            ("nspowner", One(SqlType::Oid)),
            ("nspacl", Many(SqlType::Text)),
        ],
        rows: namespaces,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_class",
        columns: &[
            ("oid", One(SqlType::Oid)),
            ("relname", One(SqlType::Name)),
            ("relnamespace", One(SqlType::Oid)),
            ("reltype", One(SqlType::Oid)),
            ("reloftype", One(SqlType::Oid)),
            ("relowner", One(SqlType::Oid)),
            ("relam", One(SqlType::Oid)),
            ("relfilenode", One(SqlType::Oid)),
            ("reltablespace", One(SqlType::Oid)),
            ("relpages", One(SqlType::Int4)),
            ("reltuples", One(SqlType::Float4)),
            ("relallvisible", One(SqlType::Int4)),
            ("reltoastrelid", One(SqlType::Oid)),
            ("relhasindex", One(SqlType::Bool)),
            ("relisshared", One(SqlType::Bool)),
            ("relpersistence", One(SqlType::InternalChar)),
            ("relkind", One(SqlType::InternalChar)),
            ("relnatts", One(SqlType::Int2)),
            ("relchecks", One(SqlType::Int2)),
            ("relhasrules", One(SqlType::Bool)),
            ("relhastriggers", One(SqlType::Bool)),
            ("relhassubclass", One(SqlType::Bool)),
            ("relrowsecurity", One(SqlType::Bool)),
            ("relforcerowsecurity", One(SqlType::Bool)),
            ("relispopulated", One(SqlType::Bool)),
            ("relreplident", One(SqlType::InternalChar)),
            ("relispartition", One(SqlType::Bool)),
            ("relacl", Many(SqlType::Text)),
            ("reloptions", Many(SqlType::Text)),
            ("relpartbound", One(SqlType::Text)),
        ],
        rows: classes,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_attribute",
        columns: &[
            ("attrelid", One(SqlType::Oid)),
            ("attname", One(SqlType::Name)),
            ("atttypid", One(SqlType::Oid)),
            ("attlen", One(SqlType::Int2)),
            ("attnum", One(SqlType::Int2)),
            ("attndims", One(SqlType::Int4)),
            ("atttypmod", One(SqlType::Int4)),
            ("attnotnull", One(SqlType::Bool)),
            ("atthasdef", One(SqlType::Bool)),
            ("atthasmissing", One(SqlType::Bool)),
            ("attidentity", One(SqlType::InternalChar)),
            ("attgenerated", One(SqlType::InternalChar)),
            ("attisdropped", One(SqlType::Bool)),
            ("attislocal", One(SqlType::Bool)),
            ("attinhcount", One(SqlType::Int4)),
            ("attcollation", One(SqlType::Oid)),
            ("attstorage", One(SqlType::InternalChar)),
            ("attcompression", One(SqlType::InternalChar)),
            ("attstattarget", One(SqlType::Int4)),
            ("attacl", Many(SqlType::Text)),
            ("attoptions", Many(SqlType::Text)),
            ("attfdwoptions", Many(SqlType::Text)),
        ],
        rows: attributes,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_attrdef",
        columns: &[
            ("oid", One(SqlType::Oid)),
            ("adrelid", One(SqlType::Oid)),
            ("adnum", One(SqlType::Int2)),
            ("adbin", One(SqlType::Text)),
        ],
        rows: defaults,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_index",
        columns: &[
            ("indexrelid", One(SqlType::Oid)),
            ("indrelid", One(SqlType::Oid)),
            ("indnatts", One(SqlType::Int2)),
            ("indnkeyatts", One(SqlType::Int2)),
            ("indisunique", One(SqlType::Bool)),
            ("indisprimary", One(SqlType::Bool)),
            ("indisexclusion", One(SqlType::Bool)),
            ("indimmediate", One(SqlType::Bool)),
            ("indisclustered", One(SqlType::Bool)),
            ("indisvalid", One(SqlType::Bool)),
            ("indisready", One(SqlType::Bool)),
            ("indislive", One(SqlType::Bool)),
            ("indisreplident", One(SqlType::Bool)),
            ("indkey", One(SqlType::Text)),
            ("indexprs", One(SqlType::Text)),
            ("indpred", One(SqlType::Text)),
        ],
        rows: indexes,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_tables",
        columns: &[
            ("schemaname", One(SqlType::Name)),
            ("tablename", One(SqlType::Name)),
            ("tableowner", One(SqlType::Name)),
            ("tablespace", One(SqlType::Name)),
            ("hasindexes", One(SqlType::Bool)),
            ("hasrules", One(SqlType::Bool)),
            ("hastriggers", One(SqlType::Bool)),
            ("rowsecurity", One(SqlType::Bool)),
        ],
        rows: tables,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_views",
        columns: &[
            ("schemaname", One(SqlType::Name)),
            ("viewname", One(SqlType::Name)),
            ("viewowner", One(SqlType::Name)),
            ("definition", One(SqlType::Text)),
        ],
        rows: views,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_matviews",
        columns: &[
            ("schemaname", One(SqlType::Name)),
            ("matviewname", One(SqlType::Name)),
            ("matviewowner", One(SqlType::Name)),
            ("tablespace", One(SqlType::Name)),
            ("hasindexes", One(SqlType::Bool)),
            ("ispopulated", One(SqlType::Bool)),
            ("definition", One(SqlType::Text)),
        ],
        rows: materialized_views,
    },
];

type Rows = Result<Vec<Vec<ScalarValue>>>;

/// The name that owns everything.
pub const OWNER_NAME: &str = "millrace";

fn namespaces(session: &mut Session) -> Rows {
    let built_in =
        [(PG_CATALOG, "pg_catalog"), (INFORMATION_SCHEMA, "information_schema"), (MILLRACE_SCHEMA, "millrace")];
    let catalog = session.transaction().catalog.clone();
    let own = catalog.entries().filter(|entry| matches!(entry.item, Item::Schema(_)));
    let own = own.map(|entry| (entry.oid, entry.schema.as_str()));
    let row = |(id, schema): (u32, &str)| vec![oid(id), name(schema), oid(OWNER), null_text()];
    Ok(built_in.into_iter().chain(own).map(row).collect())
}

/// The OID of the schema that an entry lives in.
pub fn namespace_of(catalog: &Catalog, schema: &str) -> u32 {
    match schema {
        "pg_catalog" => PG_CATALOG,
        "information_schema" => INFORMATION_SCHEMA,
        "millrace" => MILLRACE_SCHEMA,
        own => catalog.schema(own).map_or(0, |entry| entry.oid),
    }
}

/// What pg_class calls an object's kind; None if it is not in pg_class. A source looks like a table that nobody writes.
pub fn relkind(item: &Item) -> Option<char> {
    match item {
        Item::Table(_) | Item::SourceRelation(_) => Some('r'),
        Item::Source(source) => source.relation.as_ref().map(|_| 'r'),
        Item::View(_) => Some('v'),
        Item::MaterializedView(_) => Some('m'),
        Item::Index(_) => Some('i'),
        Item::Schema(_) | Item::Connection(_) => None,
    }
}

fn classes(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let rows = catalog.entries().filter_map(|entry| {
        let kind = relkind(&entry.item)?;
        let columns = columns_of(&catalog, entry).columns.len();
        let indexed = catalog.indexes(entry.id).next().is_some();
        let method = match kind {
            'i' => BTREE,
            'v' => 0,
            _ => HEAP,
        };
        Some(vec![
            oid(entry.oid),
            name(&entry.name),
            oid(namespace_of(&catalog, &entry.schema)),
            oid(0),
            oid(0),
            oid(OWNER),
            oid(method),
            oid(entry.oid),
            oid(0),
            int4(0),
            ScalarValue::Float32(Some(-1.0)),
            int4(0),
            oid(0),
            boolean(indexed),
            boolean(false),
            char('p'),
            char(kind),
            int2(columns as i16),
            int2(0),
            // psql shows a view's definition only if it has a rule, which in PostgreSQL every view has.
            boolean(matches!(kind, 'v' | 'm')),
            boolean(false),
            boolean(false),
            boolean(false),
            boolean(false),
            boolean(true),
            char('d'),
            boolean(false),
            null_text(),
            null_text(),
            null_text(),
        ])
    });
    Ok(rows.collect())
}

/// The columns that pg_attribute lists for an entry; an index has those that it is on.
fn columns_of(catalog: &Catalog, entry: &Entry) -> Relation {
    match &entry.item {
        Item::Index(index) => {
            let on = catalog.get(index.on).and_then(Entry::relation);
            let columns = on.map(|on| index.columns.iter().map(|&column| on.columns[column].clone()).collect());
            Relation::new(columns.unwrap_or_default())
        }
        _ => entry.relation().cloned().unwrap_or_default(),
    }
}

fn attributes(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let mut rows = Vec::new();
    for entry in catalog.entries().filter(|entry| relkind(&entry.item).is_some()) {
        let defaults = match &entry.item {
            Item::Table(table) => table.defaults.clone(),
            _ => vec![],
        };
        for (place, column) in columns_of(&catalog, entry).columns.iter().enumerate() {
            let has_default = defaults.get(place).is_some_and(Option::is_some);
            let collation =
                if matches!(column.sql_type, SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_)) { 100 } else { 0 };
            rows.push(vec![
                oid(entry.oid),
                name(&column.name),
                oid(column.sql_type.oid()),
                int2(column.sql_type.wire_len()),
                int2(place as i16 + 1),
                int4(matches!(column.sql_type, SqlType::Array(_)) as i32),
                int4(column.sql_type.typmod()),
                boolean(!column.nullable),
                boolean(has_default),
                boolean(false),
                text(""),
                text(""),
                boolean(false),
                boolean(true),
                int4(0),
                oid(collation),
                char('p'),
                text(""),
                int4(-1),
                null_text(),
                null_text(),
                null_text(),
            ]);
        }
    }
    Ok(rows)
}

fn defaults(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let mut rows = Vec::new();
    for entry in catalog.entries() {
        let Item::Table(table) = &entry.item else { continue };
        for (place, default) in table.defaults.iter().enumerate() {
            if let Some(default) = default {
                // Nothing refers to the OID of a default; (table, column) is what names it.
                rows.push(vec![oid(entry.oid), oid(entry.oid), int2(place as i16 + 1), text(default)]);
            }
        }
    }
    Ok(rows)
}

fn indexes(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let rows = catalog.entries().filter_map(|entry| {
        let Item::Index(index) = &entry.item else { return None };
        let on = catalog.get(index.on)?;
        let places: Vec<_> = index.columns.iter().map(|column| (column + 1).to_string()).collect();
        let columns = int2(index.columns.len() as i16);
        let unique = index.kind != IndexKind::Plain;
        let flags = [unique, false, false, true, false, true, true, true, false].map(boolean);
        let head = [oid(entry.oid), oid(on.oid), columns.clone(), columns];
        let tail = [text(places.join(" ")), null_text(), null_text()];
        Some(head.into_iter().chain(flags).chain(tail).collect())
    });
    Ok(rows.collect())
}

fn tables(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let tables = catalog.entries().filter(|entry| relkind(&entry.item) == Some('r'));
    let row = |entry: &Entry| {
        let flags = [false; 4].map(boolean);
        let head = [name(&entry.schema), name(&entry.name), name(OWNER_NAME), null_text()];
        head.into_iter().chain(flags).collect()
    };
    Ok(tables.map(row).collect())
}

fn views(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let rows = catalog.entries().filter_map(|entry| {
        let Item::View(view) = &entry.item else { return None };
        Some(vec![name(&entry.schema), name(&entry.name), name(OWNER_NAME), text(&view.query)])
    });
    Ok(rows.collect())
}

fn materialized_views(session: &mut Session) -> Rows {
    let catalog = session.transaction().catalog.clone();
    let rows = catalog.entries().filter_map(|entry| {
        let Item::MaterializedView(view) = &entry.item else { return None };
        let populated = [boolean(false), boolean(true), text(&view.query)];
        let head = [name(&entry.schema), name(&entry.name), name(OWNER_NAME), null_text()];
        Some(head.into_iter().chain(populated).collect())
    });
    Ok(rows.collect())
}
