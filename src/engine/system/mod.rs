//! Relations that are made up from the running system when they are read: `millrace`, pg_catalog, information_schema.
//!
//! Each is one entry of [`TABLE`]: its columns, and a function that gives its rows.

mod empty;
mod functions;
mod information_schema;
mod millrace;
mod pg_class;
mod pg_constraint;
mod pg_type;
mod sleep;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use super::session::Session;
use crate::catalog::Catalog;
use crate::sql::SystemRelations;
use crate::types::{Column, Relation, Result, SqlType};

/// The type of a column; a constant can't hold a box, so an array is told by its element.
pub enum Kind {
    One(SqlType),
    Many(SqlType),
}

impl Kind {
    fn sql_type(&self) -> SqlType {
        match self {
            Kind::One(sql_type) => sql_type.clone(),
            Kind::Many(element) => SqlType::Array(Box::new(element.clone())),
        }
    }
}

/// A relation of the system.
pub struct SystemRelation {
    pub schema: &'static str,
    pub name: &'static str,
    pub columns: &'static [(&'static str, Kind)],
    pub rows: fn(&mut Session) -> Result<Vec<Vec<ScalarValue>>>,
}

/// Every table of relations.
const TABLES: &[&[SystemRelation]] =
    &[millrace::TABLE, pg_class::TABLE, pg_constraint::TABLE, pg_type::TABLE, information_schema::TABLE, empty::TABLE];

/// What the planner asks: the columns of relations, and functions over one state of the catalog.
#[derive(Clone)]
pub struct System {
    pub catalog: Arc<Catalog>,
    /// The session's, as cancel requests name it.
    pub process_id: i32,
}

impl SystemRelations for System {
    fn relation(&self, schema: &str, name: &str) -> Option<Relation> {
        find(schema, name).map(columns)
    }

    fn function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        functions::find(name, self)
    }

    fn oid(&self, kind: &SqlType, _: Option<&str>, name: &str) -> Option<u32> {
        match (kind, name) {
            (SqlType::Regnamespace, name) => Some(pg_class::namespace_of(&self.catalog, name)).filter(|&oid| oid != 0),
            (SqlType::Regclass, name) => BUILT_IN_CLASSES.iter().find(|(class, _)| *class == name).map(|(_, oid)| *oid),
            _ => None,
        }
    }
}

/// OIDs of catalogs that queries name as `'pg_class'::regclass`.
const BUILT_IN_CLASSES: &[(&str, u32)] = &[
    ("pg_type", 1247),
    ("pg_attribute", 1249),
    ("pg_proc", 1255),
    ("pg_class", 1259),
    ("pg_constraint", 2606),
    ("pg_namespace", 2615),
    ("pg_rewrite", 2618),
    ("pg_database", 1262),
];

/// The rows of a system relation, as they are now.
pub fn rows(session: &mut Session, schema: &str, name: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let relation = find(schema, name).expect("the planner found it");
    let schema = columns(relation).schema();
    let rows = (relation.rows)(session)?;
    if rows.is_empty() {
        return Ok((schema, vec![]));
    }
    let column = |place: usize| -> Result<ArrayRef> {
        let values = rows.iter().map(|row| row[place].clone());
        let data_type = schema.field(place).data_type();
        if rows.iter().all(|row| row[place].is_null()) {
            return Ok(arrow::array::new_null_array(data_type, rows.len()));
        }
        Ok(arrow::compute::cast(&ScalarValue::iter_to_array(values)?, data_type)?)
    };
    let columns = (0..relation.columns.len()).map(column).collect::<Result<_>>()?;
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    Ok((schema, vec![batch]))
}

fn find(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    TABLES.iter().flat_map(|table| table.iter()).find(|relation| relation.schema == schema && relation.name == name)
}

fn columns(relation: &SystemRelation) -> Relation {
    let columns = relation.columns.iter().map(|(name, kind)| Column::new(*name, kind.sql_type(), true));
    Relation::new(columns.collect())
}

/// Text, or NULL.
fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

fn bigint(value: impl TryInto<i64>) -> ScalarValue {
    ScalarValue::Int64(value.try_into().ok())
}

fn bytes(value: Option<Vec<u8>>) -> ScalarValue {
    ScalarValue::Binary(value)
}

/// Microseconds since the epoch as timestamptz.
fn timestamp(micros: u64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(i64::try_from(micros).ok(), Some(Arc::from("UTC")))
}

fn name(value: &str) -> ScalarValue {
    text(value)
}

fn null_text() -> ScalarValue {
    ScalarValue::Utf8(None)
}

fn oid(value: u32) -> ScalarValue {
    ScalarValue::UInt32(Some(value))
}

fn int2(value: i16) -> ScalarValue {
    ScalarValue::Int16(Some(value))
}

fn int4(value: i32) -> ScalarValue {
    ScalarValue::Int32(Some(value))
}

fn boolean(value: bool) -> ScalarValue {
    ScalarValue::Boolean(Some(value))
}

/// A `"char"`.
fn char(value: char) -> ScalarValue {
    text(value.to_string())
}
