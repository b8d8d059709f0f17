//! pg_catalog, the relations that describe the server: pg_type, pg_database, pg_roles, pg_settings, ...

use datafusion::common::ScalarValue;

use super::Kind::{Many, One};
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
            ("oid", One(SqlType::Oid)),
            ("typname", One(SqlType::Name)),
            ("typnamespace", One(SqlType::Oid)),
            ("typowner", One(SqlType::Oid)),
            ("typlen", One(SqlType::Int2)),
            ("typbyval", One(SqlType::Bool)),
            ("typtype", One(SqlType::InternalChar)),
            ("typcategory", One(SqlType::InternalChar)),
            ("typispreferred", One(SqlType::Bool)),
            ("typisdefined", One(SqlType::Bool)),
            ("typdelim", One(SqlType::InternalChar)),
            ("typrelid", One(SqlType::Oid)),
            ("typelem", One(SqlType::Oid)),
            ("typarray", One(SqlType::Oid)),
            ("typinput", One(SqlType::Regproc)),
            ("typoutput", One(SqlType::Regproc)),
            ("typreceive", One(SqlType::Regproc)),
            ("typsend", One(SqlType::Regproc)),
            ("typnotnull", One(SqlType::Bool)),
            ("typbasetype", One(SqlType::Oid)),
            ("typtypmod", One(SqlType::Int4)),
            ("typndims", One(SqlType::Int4)),
            ("typcollation", One(SqlType::Oid)),
            ("typdefault", One(SqlType::Text)),
        ],
        rows: types,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_database",
        columns: &[
            ("oid", One(SqlType::Oid)),
            ("datname", One(SqlType::Name)),
            ("datdba", One(SqlType::Oid)),
            ("encoding", One(SqlType::Int4)),
            ("datlocprovider", One(SqlType::InternalChar)),
            ("datistemplate", One(SqlType::Bool)),
            ("datallowconn", One(SqlType::Bool)),
            ("datconnlimit", One(SqlType::Int4)),
            ("dattablespace", One(SqlType::Oid)),
            ("datcollate", One(SqlType::Text)),
            ("datctype", One(SqlType::Text)),
            ("daticulocale", One(SqlType::Text)),
            ("datcollversion", One(SqlType::Text)),
            ("datacl", Many(SqlType::Text)),
        ],
        rows: databases,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_roles",
        columns: &[
            ("oid", One(SqlType::Oid)),
            ("rolname", One(SqlType::Name)),
            ("rolsuper", One(SqlType::Bool)),
            ("rolinherit", One(SqlType::Bool)),
            ("rolcreaterole", One(SqlType::Bool)),
            ("rolcreatedb", One(SqlType::Bool)),
            ("rolcanlogin", One(SqlType::Bool)),
            ("rolreplication", One(SqlType::Bool)),
            ("rolbypassrls", One(SqlType::Bool)),
            ("rolconnlimit", One(SqlType::Int4)),
            ("rolpassword", One(SqlType::Text)),
            ("rolvaliduntil", One(SqlType::Timestamptz)),
            ("rolconfig", Many(SqlType::Text)),
        ],
        rows: roles,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_am",
        columns: &[
            ("oid", One(SqlType::Oid)),
            ("amname", One(SqlType::Name)),
            ("amhandler", One(SqlType::Regproc)),
            ("amtype", One(SqlType::InternalChar)),
        ],
        rows: access_methods,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_collation",
        columns: &[
            ("oid", One(SqlType::Oid)),
            ("collname", One(SqlType::Name)),
            ("collnamespace", One(SqlType::Oid)),
            ("collowner", One(SqlType::Oid)),
            ("collprovider", One(SqlType::InternalChar)),
            ("collisdeterministic", One(SqlType::Bool)),
            ("collencoding", One(SqlType::Int4)),
            ("collcollate", One(SqlType::Text)),
            ("collctype", One(SqlType::Text)),
        ],
        rows: collations,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_settings",
        columns: &[
            ("name", One(SqlType::Text)),
            ("setting", One(SqlType::Text)),
            ("unit", One(SqlType::Text)),
            ("category", One(SqlType::Text)),
            ("short_desc", One(SqlType::Text)),
            ("context", One(SqlType::Text)),
            ("vartype", One(SqlType::Text)),
            ("source", One(SqlType::Text)),
            ("boot_val", One(SqlType::Text)),
            ("reset_val", One(SqlType::Text)),
            ("pending_restart", One(SqlType::Bool)),
        ],
        rows: settings,
    },
    SystemRelation {
        schema: "pg_catalog",
        name: "pg_tablespace",
        columns: &[
            ("oid", One(SqlType::Oid)),
            ("spcname", One(SqlType::Name)),
            ("spcowner", One(SqlType::Oid)),
            ("spcacl", Many(SqlType::Text)),
        ],
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

fn type_row(
    id: u32,
    type_name: &str,
    len: i16,
    kind: char,
    category: char,
    element: u32,
    array: u32,
) -> Vec<ScalarValue> {
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
        vec![
            oid(id),
            name(collation),
            oid(PG_CATALOG),
            oid(OWNER),
            char('c'),
            boolean(true),
            int4(-1),
            locale(),
            locale(),
        ]
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
