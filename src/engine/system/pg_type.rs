//! pg_catalog, the relations that describe the server: pg_type, pg_database, pg_roles, pg_settings, ...

use datafusion::common::ScalarValue;

use super::pg_class::{OWNER, OWNER_NAME, PG_CATALOG};
use super::{SystemRelation, boolean, char, int2, int4, name, null_text, oid, text};
use crate::catalog::DATABASE;
use crate::engine::session::Session;
use crate::types::{Result, SqlType};

/// The database's OID, which PostgreSQL gives to the first that is made.
const DATABASE_OID: u32 = 5;
const UTF8: i32 = 6;
const C_COLLATION: u32 = 950;
const DEFAULT_COLLATION: u32 = 100;

pub const TABLE: &[SystemRelation] = &[
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_type",
        columns: &[
            ("oid", SqlType::Oid),
            ("typname", SqlType::Name),
            ("typnamespace", SqlType::Oid),
            ("typowner", SqlType::Oid),
            ("typlen", SqlType::Int2),
            ("typbyval", SqlType::Bool),
            ("typtype", SqlType::InternalChar),
            ("typcategory", SqlType::InternalChar),
            ("typispreferred", SqlType::Bool),
            ("typisdefined", SqlType::Bool),
            ("typdelim", SqlType::InternalChar),
            ("typrelid", SqlType::Oid),
            ("typelem", SqlType::Oid),
            ("typarray", SqlType::Oid),
            ("typinput", SqlType::Regproc),
            ("typoutput", SqlType::Regproc),
            ("typreceive", SqlType::Regproc),
            ("typsend", SqlType::Regproc),
            ("typnotnull", SqlType::Bool),
            ("typbasetype", SqlType::Oid),
            ("typtypmod", SqlType::Int4),
            ("typndims", SqlType::Int4),
            ("typcollation", SqlType::Oid),
            ("typdefault", SqlType::Text),
        ],
        rows: types,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_database",
        columns: &[
            ("oid", SqlType::Oid),
            ("datname", SqlType::Name),
            ("datdba", SqlType::Oid),
            ("encoding", SqlType::Int4),
            ("datlocprovider", SqlType::InternalChar),
            ("datistemplate", SqlType::Bool),
            ("datallowconn", SqlType::Bool),
            ("datconnlimit", SqlType::Int4),
            ("dattablespace", SqlType::Oid),
            ("datcollate", SqlType::Text),
            ("datctype", SqlType::Text),
            ("daticulocale", SqlType::Text),
            ("datcollversion", SqlType::Text),
            ("datacl", SqlType::Text),
        ],
        rows: databases,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_roles",
        columns: &[
            ("oid", SqlType::Oid),
            ("rolname", SqlType::Name),
            ("rolsuper", SqlType::Bool),
            ("rolinherit", SqlType::Bool),
            ("rolcreaterole", SqlType::Bool),
            ("rolcreatedb", SqlType::Bool),
            ("rolcanlogin", SqlType::Bool),
            ("rolreplication", SqlType::Bool),
            ("rolbypassrls", SqlType::Bool),
            ("rolconnlimit", SqlType::Int4),
            ("rolpassword", SqlType::Text),
            ("rolvaliduntil", SqlType::Timestamptz),
            ("rolconfig", SqlType::Text),
        ],
        rows: roles,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_am",
        columns: &[
            ("oid", SqlType::Oid),
            ("amname", SqlType::Name),
            ("amhandler", SqlType::Regproc),
            ("amtype", SqlType::InternalChar),
        ],
        rows: access_methods,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_collation",
        columns: &[
            ("oid", SqlType::Oid),
            ("collname", SqlType::Name),
            ("collnamespace", SqlType::Oid),
            ("collowner", SqlType::Oid),
            ("collprovider", SqlType::InternalChar),
            ("collisdeterministic", SqlType::Bool),
            ("collencoding", SqlType::Int4),
            ("collcollate", SqlType::Text),
            ("collctype", SqlType::Text),
        ],
        rows: collations,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_settings",
        columns: &[
            ("name", SqlType::Text),
            ("setting", SqlType::Text),
            ("unit", SqlType::Text),
            ("category", SqlType::Text),
            ("short_desc", SqlType::Text),
            ("context", SqlType::Text),
            ("vartype", SqlType::Text),
            ("source", SqlType::Text),
            ("boot_val", SqlType::Text),
            ("reset_val", SqlType::Text),
            ("pending_restart", SqlType::Bool),
        ],
        rows: settings,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_tablespace",
        columns: &[("oid", SqlType::Oid), ("spcname", SqlType::Name), ("spcowner", SqlType::Oid), ("spcacl", SqlType::Text)],
        rows: tablespaces,
    },
];

type Rows = Result<Vec<Vec<ScalarValue>>>;

/// A type's name as pg_type has it, and its category (numeric, string, ...).
fn internal_name(sql_type: &SqlType) -> (&'static str, char) {
    match sql_type {
        SqlType::Bool => ("bool", 'B'),
        SqlType::Int2 => ("int2", 'N'),
        SqlType::Int4 => ("int4", 'N'),
        SqlType::Int8 => ("int8", 'N'),
        SqlType::Float4 => ("float4", 'N'),
        SqlType::Float8 => ("float8", 'N'),
        SqlType::Numeric(_) => ("numeric", 'N'),
        SqlType::Text | SqlType::Unknown => ("text", 'S'),
        SqlType::Varchar(_) => ("varchar", 'S'),
        SqlType::Char(_) => ("bpchar", 'S'),
        SqlType::InternalChar => ("char", 'Z'),
        SqlType::Name => ("name", 'S'),
        SqlType::Bytea => ("bytea", 'U'),
        SqlType::Date => ("date", 'D'),
        SqlType::Time => ("time", 'D'),
        SqlType::Timestamp => ("timestamp", 'D'),
        SqlType::Timestamptz => ("timestamptz", 'D'),
        SqlType::Interval => ("interval", 'T'),
        SqlType::Uuid => ("uuid", 'U'),
        SqlType::Json => ("json", 'U'),
        SqlType::Jsonb => ("jsonb", 'U'),
        SqlType::Oid => ("oid", 'N'),
        SqlType::Regclass => ("regclass", 'N'),
        SqlType::Regtype => ("regtype", 'N'),
        SqlType::Regproc => ("regproc", 'N'),
        SqlType::Regnamespace => ("regnamespace", 'N'),
        SqlType::Record => ("record", 'P'),
        SqlType::Array(_) => ("array", 'A'),
    }
}

fn types(_: &mut Session) -> Rows {
    let mut rows = Vec::new();
    for sql_type in SqlType::SCALARS {
        let (type_name, category) = internal_name(sql_type);
        let kind = if category == 'P' { 'p' } else { 'b' };
        rows.push(type_row(sql_type.oid(), type_name, sql_type.wire_len(), kind, category, 0, sql_type.array_oid()));
        let array = format!("_{type_name}");
        rows.push(type_row(sql_type.array_oid(), &array, -1, 'b', 'A', sql_type.oid(), 0));
    }
    Ok(rows)
}

fn type_row(id: u32, type_name: &str, len: i16, kind: char, category: char, element: u32, array: u32) -> Vec<ScalarValue> {
    let preferred = matches!(type_name, "bool" | "float8" | "text" | "timestamptz" | "interval" | "oid");
    let collated = matches!(type_name, "text" | "varchar" | "bpchar" | "name");
    vec![
        oid(id),
        name(type_name),
        oid(PG_CATALOG),
        oid(OWNER),
        int2(len),
        boolean((1..=8).contains(&len)),
        self::char(kind),
        self::char(category),
        boolean(preferred),
        boolean(true),
        self::char(','),
        oid(0),
        oid(element),
        oid(array),
        oid(0),
        oid(0),
        oid(0),
        oid(0),
        boolean(false),
        oid(0),
        int4(-1),
        int4(0),
        oid(if collated { DEFAULT_COLLATION } else { 0 }),
        null_text(),
    ]
}

fn databases(_: &mut Session) -> Rows {
    Ok(vec![vec![
        oid(DATABASE_OID),
        name(DATABASE),
        oid(OWNER),
        int4(UTF8),
        char('c'),
        boolean(false),
        boolean(true),
        int4(-1),
        oid(1663),
        text("C"),
        text("C"),
        null_text(),
        null_text(),
        null_text(),
    ]])
}

fn roles(_: &mut Session) -> Rows {
    let head = [oid(OWNER), name(OWNER_NAME)];
    let flags = [true; 7].map(boolean);
    let tail = [int4(-1), null_text(), ScalarValue::TimestampMicrosecond(None, Some("UTC".into())), null_text()];
    Ok(vec![head.into_iter().chain(flags).chain(tail).collect()])
}

fn access_methods(_: &mut Session) -> Rows {
    let row = |(id, method, kind)| vec![oid(id), name(method), oid(0), char(kind)];
    Ok([(2, "heap", 't'), (403, "btree", 'i')].into_iter().map(row).collect())
}

fn collations(_: &mut Session) -> Rows {
    let row = |(id, collation)| {
        let locale = || text("C");
        vec![oid(id), name(collation), oid(PG_CATALOG), oid(OWNER), char('c'), boolean(true), int4(-1), locale(), locale()]
    };
    Ok([(DEFAULT_COLLATION, "default"), (C_COLLATION, "C")].into_iter().map(row).collect())
}

fn settings(session: &mut Session) -> Rows {
    let row = |(setting, value): (String, String)| {
        vec![
            text(setting),
            text(value.clone()),
            null_text(),
            text(""),
            text(""),
            text("user"),
            text("string"),
            text("session"),
            text(value.clone()),
            text(value),
            boolean(false),
        ]
    };
    Ok(session.settings.all().into_iter().map(row).collect())
}

fn tablespaces(_: &mut Session) -> Rows {
    Ok(vec![vec![oid(1663), name("pg_default"), oid(OWNER), null_text()]])
}
