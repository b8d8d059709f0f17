//! Functions that look into the catalog: what psql and other clients call to describe it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::pg_class::{OWNER, OWNER_NAME, relkind};
use super::{System, pg_constraint, sleep};
use crate::catalog::{Catalog, Entry, IndexKind, Item};
use crate::types::{Relation, SqlType};

/// A row's arguments in, its value out.
type Body = fn(&System, &[ScalarValue]) -> ScalarValue;

/// (name, the type of its result, body).
const FUNCTIONS: &[(&str, SqlType, Body)] = &[
    ("pg_table_is_visible", SqlType::Bool, |system, arguments| boolean(is_visible(&system.catalog, arguments))),
    ("pg_type_is_visible", SqlType::Bool, |_, _| boolean(true)),
    ("pg_function_is_visible", SqlType::Bool, |_, _| boolean(true)),
    ("pg_get_userbyid", SqlType::Name, |_, arguments| text((oid(arguments, 0) == Some(OWNER)).then_some(OWNER_NAME))),
    ("format_type", SqlType::Text, |_, arguments| text(format_type(arguments))),
    ("pg_get_viewdef", SqlType::Text, |system, arguments| text(view_definition(&system.catalog, arguments))),
    ("pg_get_indexdef", SqlType::Text, |system, arguments| text(index_definition(&system.catalog, arguments))),
    ("pg_get_constraintdef", SqlType::Text, |system, arguments| {
        text(oid(arguments, 0).and_then(|oid| pg_constraint::definition(&system.catalog, oid)))
    }),
    // A default is kept as the text that it was written in.
    ("pg_get_expr", SqlType::Text, |_, arguments| arguments.first().cloned().unwrap_or(ScalarValue::Utf8(None))),
    ("pg_get_partkeydef", SqlType::Text, |_, _| text(None::<&str>)),
    ("pg_get_statisticsobjdef_columns", SqlType::Text, |_, _| text(None::<&str>)),
    ("obj_description", SqlType::Text, |_, _| text(None::<&str>)),
    ("col_description", SqlType::Text, |_, _| text(None::<&str>)),
    ("shobj_description", SqlType::Text, |_, _| text(None::<&str>)),
    ("pg_encoding_to_char", SqlType::Name, |_, _| text(Some("UTF8"))),
    ("pg_relation_is_publishable", SqlType::Bool, |_, _| boolean(false)),
    ("pg_is_in_recovery", SqlType::Bool, |_, _| boolean(false)),
    ("pg_backend_pid", SqlType::Int4, |system, _| ScalarValue::Int32(Some(system.process_id))),
    ("pg_relation_size", SqlType::Int8, |_, _| ScalarValue::Int64(Some(0))),
    ("pg_table_size", SqlType::Int8, |_, _| ScalarValue::Int64(Some(0))),
    ("pg_total_relation_size", SqlType::Int8, |_, _| ScalarValue::Int64(Some(0))),
    ("pg_database_size", SqlType::Int8, |_, _| ScalarValue::Int64(Some(0))),
    ("pg_size_pretty", SqlType::Text, |_, arguments| text(arguments.first().map(|size| format!("{size} bytes")))),
    ("pg_advisory_unlock_all", SqlType::Text, |_, _| text(Some(""))),
    ("has_schema_privilege", SqlType::Bool, |_, _| boolean(true)),
    ("has_table_privilege", SqlType::Bool, |_, _| boolean(true)),
    ("has_any_column_privilege", SqlType::Bool, |_, _| boolean(true)),
    ("has_database_privilege", SqlType::Bool, |_, _| boolean(true)),
];

/// The function of this name.
pub fn find(name: &str, system: &System) -> Option<Arc<ScalarUDF>> {
    if name == sleep::NAME {
        return Some(sleep::function());
    }
    let (name, returns, body) = FUNCTIONS.iter().find(|(known, ..)| *known == name)?;
    let signature = Signature::variadic_any(Volatility::Stable);
    let signature = match *name {
        "pg_is_in_recovery" | "pg_backend_pid" | "pg_advisory_unlock_all" => Signature::nullary(Volatility::Stable),
        _ => signature,
    };
    let function = CatalogFunction { name, returns, body: *body, system: system.clone(), signature };
    Some(Arc::new(ScalarUDF::new_from_impl(function)))
}

struct CatalogFunction {
    name: &'static str,
    returns: &'static SqlType,
    body: Body,
    system: System,
    signature: Signature,
}

impl fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.system.catalog.version == other.system.catalog.version
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.returns.arrow())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        Ok(self.returns.field(self.name, true).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let values = (0..args.number_rows).map(|row| {
            let arguments = args.args.iter().map(|argument| match argument {
                ColumnarValue::Array(array) => ScalarValue::try_from_array(array, row),
                ColumnarValue::Scalar(value) => Ok(value.clone()),
            });
            Ok((self.body)(&self.system, &arguments.collect::<DataFusionResult<Vec<_>>>()?))
        });
        let values = values.collect::<DataFusionResult<Vec<_>>>()?;
        if values.is_empty() {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(&self.returns.arrow())));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(values)?))
    }
}

fn boolean(value: bool) -> ScalarValue {
    ScalarValue::Boolean(Some(value))
}

fn text(value: Option<impl Into<String>>) -> ScalarValue {
    ScalarValue::Utf8(value.map(Into::into))
}

fn oid(arguments: &[ScalarValue], place: usize) -> Option<u32> {
    match arguments.get(place)? {
        ScalarValue::UInt32(value) => *value,
        ScalarValue::Int32(value) => value.map(|value| value as u32),
        ScalarValue::Int64(value) => value.map(|value| value as u32),
        ScalarValue::Utf8(value) => value.as_ref()?.parse().ok(),
        _ => None,
    }
}

fn entry<'a>(catalog: &'a Catalog, arguments: &[ScalarValue]) -> Option<&'a Entry> {
    let oid = oid(arguments, 0)?;
    catalog.entries().find(|entry| entry.oid == oid)
}

/// In the schemas that are searched by default.
fn is_visible(catalog: &Catalog, arguments: &[ScalarValue]) -> bool {
    entry(catalog, arguments)
        .is_some_and(|entry| entry.schema == crate::catalog::DEFAULT_SCHEMA && relkind(&entry.item).is_some())
}

/// `format_type(oid, typmod)`.
fn format_type(arguments: &[ScalarValue]) -> Option<String> {
    let sql_type = SqlType::of_oid(oid(arguments, 0)?)?;
    let typmod = match arguments.get(1) {
        Some(ScalarValue::Int32(Some(typmod))) if *typmod >= 4 => *typmod - 4,
        _ => return Some(plain_name(&sql_type)),
    };
    let with_typmod = match sql_type {
        SqlType::Numeric(_) => SqlType::Numeric(Some(((typmod >> 16) as u8, (typmod & 0x7ff) as i8))),
        SqlType::Varchar(_) => SqlType::Varchar(Some(typmod as u32)),
        SqlType::Char(_) => SqlType::Char(typmod as u32),
        other => other,
    };
    Some(with_typmod.to_string())
}

fn plain_name(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Char(_) => "character".to_string(),
        other => other.to_string(),
    }
}

fn view_definition(catalog: &Catalog, arguments: &[ScalarValue]) -> Option<String> {
    match &entry(catalog, arguments)?.item {
        Item::View(view) => Some(format!(" {};", view.query)),
        Item::MaterializedView(view) => Some(format!(" {};", view.query)),
        _ => None,
    }
}

fn index_definition(catalog: &Catalog, arguments: &[ScalarValue]) -> Option<String> {
    let found = entry(catalog, arguments)?;
    let Item::Index(index) = &found.item else { return None };
    let on = catalog.get(index.on)?;
    let relation: &Relation = on.relation()?;
    let columns: Vec<_> = index.columns.iter().map(|&column| relation.columns[column].name.as_str()).collect();
    let create = if index.kind == IndexKind::Plain { "CREATE INDEX" } else { "CREATE UNIQUE INDEX" };
    Some(format!("{create} {} ON {}.{} USING btree ({})", found.name, on.schema, on.name, columns.join(", ")))
}
