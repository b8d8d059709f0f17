//! Output columns: their names within the plan, and what an ordinal means.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, Projection};
use sqlparser::ast;

use super::parameters::is_open;
use super::{Binder, Bound, Output, unique_names};
use crate::sql::coerce::Typer;
use crate::types::{Error, Result, SqlState, SqlType, TYPE_KEY};

/// An expression with the name that the client sees.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub name: String,
    pub expression: Expr,
}

impl Binder<'_> {
    /// A projection, whose columns may be called the same.
    pub fn project(&mut self, input: LogicalPlan, items: Vec<(String, Expr)>) -> Result<Bound> {
        let names = unique_names(items.iter().map(|(name, _)| name.as_str()));
        let mut expressions = Vec::with_capacity(items.len());
        let mut columns = Vec::with_capacity(items.len());
        for ((name, expression), unique) in items.into_iter().zip(names) {
            let is_unknown = is_unknown(&expression);
            let expression = match expression {
                Expr::Literal(ScalarValue::Null, metadata) => Expr::Literal(ScalarValue::Utf8(None), metadata),
                other => other,
            };
            expressions.push(named(expression, &unique, input.schema()));
            columns.push(Output { name, column: Column::new_unqualified(unique), is_unknown });
        }
        let plan = LogicalPlan::Projection(Projection::try_new(expressions, input.into())?);
        Ok(Bound { plan, columns })
    }
}

/// The expression under a name. A cast's field would carry what its input's metadata says of the type: the name says it
/// anew.
pub(super) fn named(expression: Expr, name: &str, schema: &DFSchema) -> Expr {
    let declared = match &expression {
        Expr::Cast(Cast { field, .. }) => SqlType::of_field(field),
        _ => return expression.alias(name),
    };
    let found = expression.to_field(schema).map(|(_, field)| SqlType::of_field(&field));
    if found.is_ok_and(|found| found == declared) {
        return expression.alias(name);
    }
    let metadata = HashMap::from([(TYPE_KEY.to_string(), declared.to_string())]);
    expression.alias_with_metadata(name, Some(FieldMetadata::from(metadata)))
}

/// A bare NULL, string literal or parameter, whose type its neighbours decide.
pub(super) fn is_unknown(expression: &Expr) -> bool {
    is_open(expression) || is_unknown_literal(expression)
}

pub(super) fn is_unknown_literal(expression: &Expr) -> bool {
    matches!(expression, Expr::Literal(ScalarValue::Null | ScalarValue::Utf8(_), None))
}

/// The SQL type of an expression over rows of a schema.
pub(super) fn type_of(expression: &Expr, schema: &DFSchema) -> Result<SqlType> {
    if is_unknown(expression) {
        return Ok(SqlType::Unknown);
    }
    match expression {
        Expr::Cast(Cast { field, .. }) => Ok(SqlType::of_field(field)),
        Expr::BinaryExpr(binary) if binary.op.negate().is_some() || binary.op.is_logic_operator() => Ok(SqlType::Bool),
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::InList(_) => Ok(SqlType::Bool),
        Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Between(_) | Expr::Like(_) => Ok(SqlType::Bool),
        Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::Literal(..) | Expr::Placeholder(_) => {
            sql_type(expression, schema)
        }
        _ => settled(expression.clone(), schema).map(|(_, found)| found),
    }
}

/// The expression with the types of all its parts settled, and its own.
pub(super) fn settled(expression: Expr, schema: &DFSchema) -> Result<(Expr, SqlType)> {
    let (outer, options) = (DFSchema::empty(), ConfigOptions::default());
    let typer = Typer { schema, outer: &outer, options: &options };
    let expression = typer.settle(expression)?;
    let found = sql_type(&expression, schema)?;
    Ok((expression, found))
}

fn sql_type(expression: &Expr, schema: &DFSchema) -> Result<SqlType> {
    let (_, field) = expression.to_field(schema)?;
    Ok(match field.data_type() {
        DataType::Null => SqlType::Unknown,
        _ => SqlType::of_field(&field),
    })
}

/// The output column that an integer in GROUP BY, ORDER BY or DISTINCT ON means, from 0.
pub(super) fn ordinal(key: &ast::Expr, columns: usize, clause: &str) -> Result<Option<usize>> {
    let ast::Expr::Value(value) = key else { return Ok(None) };
    let position = value.span.start.column as usize;
    match &value.value {
        ast::Value::Number(digits, _) => match digits.parse::<usize>() {
            Ok(number) if (1..=columns).contains(&number) => Ok(Some(number - 1)),
            Ok(number) => {
                let message = format!("{clause} position {number} is not in select list");
                Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(position))
            }
            Err(_) => Err(Error::new(SqlState::SYNTAX_ERROR, format!("non-integer constant in {clause}")).at(position)),
        },
        ast::Value::Placeholder(_) => Ok(None),
        _ => Err(Error::new(SqlState::SYNTAX_ERROR, format!("non-integer constant in {clause}")).at(position)),
    }
}
