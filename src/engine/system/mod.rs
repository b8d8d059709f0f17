//! Relations that are made up from the running system when they are read: `millrace`, pg_catalog, information_schema.
//!
//! Each is one entry of [`TABLE`]: its columns, and a function that gives its rows.

mod empty;
mod information_schema;
mod millrace;
mod pg_class;
mod pg_type;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;

use super::session::Session;
use crate::sql::SystemRelations;
use crate::types::{Column, Relation, Result, SqlType};

/// A relation of the system.
pub struct SystemRelation {
    pub schema: &'static str,
    pub name: &'static str,
    pub columns: &'static [(&'static str, SqlType)],
    pub rows: fn(&mut Session) -> Result<Vec<Vec<ScalarValue>>>,
}

/// Every table of relations.
const TABLES: &[&[SystemRelation]] = &[millrace::TABLE, pg_class::TABLE, pg_type::TABLE, information_schema::TABLE, empty::TABLE];

/// What the planner asks for their columns.
pub struct Relations;

pub static RELATIONS: Relations = Relations;

impl SystemRelations for Relations {
    fn relation(&self, schema: &str, name: &str) -> Option<Relation> {
        find(schema, name).map(|found| columns(found))
    }
}

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
        let values = ScalarValue::iter_to_array(values)?;
        Ok(arrow::compute::cast(&values, schema.field(place).data_type())?)
    };
    let columns = (0..relation.columns.len()).map(column).collect::<Result<_>>()?;
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    Ok((schema, vec![batch]))
}

fn find(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    TABLES.iter().flat_map(|table| table.iter()).find(|relation| relation.schema == schema && relation.name == name)
}

fn columns(relation: &SystemRelation) -> Relation {
    let columns = relation.columns.iter().map(|(name, sql_type)| Column::new(*name, sql_type.clone(), true));
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
