//! Casts: those that a query asks for, those of an assignment, and the type that several values have in common.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::logical_expr::{Cast, Expr};
use sqlparser::ast;

use super::Binder;
use super::expression::Place;
use super::literal::system_literal;
use super::output::{is_unknown, settled};
use super::parameters::is_open;
use super::scope::Scope;
use crate::sql::coerce::conversion::{Category, category, is_implicit};
use crate::sql::function::cast::{Cast as CastFunction, CastContext};
use crate::sql::type_name::sql_type;
use crate::types::{Column, Error, Result, SqlState, SqlType};

pub(super) use crate::sql::coerce::bare_name;
pub(super) use crate::sql::coerce::conversion::common_type;

/// A cast that the query asks for, or that can't be refused. A bare literal is read as the type.
pub fn explicit(expression: Expr, to: &SqlType) -> Expr {
    Expr::Cast(Cast::new_from_field(Box::new(expression), Arc::new(to.field("", true))))
}

/// A value for a column: what PostgreSQL casts when it assigns, 42804 for the rest. Text that is too long for its column
/// is an error where a cast would cut it off.
pub fn assign(expression: Expr, schema: &DFSchema, column: &Column) -> Result<Expr> {
    if is_open(&expression) {
        return Ok(expression);
    }
    let (expression, from) = match is_unknown(&expression) {
        true => (expression, SqlType::Unknown),
        false => settled(expression, schema)?,
    };
    assign_typed(expression, &from, column)
}

/// A value of a known type for a column.
fn assign_typed(expression: Expr, from: &SqlType, column: &Column) -> Result<Expr> {
    if *from == column.sql_type {
        return Ok(expression);
    }
    if !is_assignable(from, &column.sql_type) {
        let (wanted, found) = (bare_name(&column.sql_type), bare_name(from));
        let message = format!("column \"{}\" is of type {wanted} but expression is of type {found}", column.name);
        return Err(Error::new(SqlState::DATATYPE_MISMATCH, message)
            .with_hint("You will need to rewrite or cast the expression."));
    }
    if *from == SqlType::Unknown && !matches!(column.sql_type, SqlType::Varchar(_) | SqlType::Char(_)) {
        return Ok(explicit(expression, &column.sql_type));
    }
    let (from, to) = (from.clone(), column.sql_type.clone());
    Ok(CastFunction::call(expression, from, to, CastContext::Assignment))
}

/// A query's column that had no type of its own (it is text by now), for a column of a table.
pub(super) fn assign_text(expression: Expr, column: &Column) -> Result<Expr> {
    assign_typed(expression, &SqlType::Unknown, column)
}

/// Whether an assignment casts by itself.
fn is_assignable(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::*;
    let number = |found: &SqlType| matches!(found, Int2 | Int4 | Int8 | Numeric(_) | Float4 | Float8);
    let moment = |found: &SqlType| matches!(found, Date | Timestamp | Timestamptz);
    if *from == Unknown || is_implicit(from, to) || category(to) == Category::Text {
        return true;
    }
    match (from, to) {
        (Array(from), Array(to)) => is_assignable(from, to),
        (Timestamp | Timestamptz, Time) | (Interval, Time) | (Json, Jsonb) | (Jsonb, Json) => true,
        (Oid | Regclass | Regtype | Regproc | Regnamespace, Int4 | Int8) => true,
        _ => number(from) && number(to) || moment(from) && moment(to),
    }
}

impl Binder<'_> {
    pub(super) fn cast(
        &mut self,
        inner: &ast::Expr,
        written: &ast::DataType,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let to = sql_type(written)?;
        let expression = self.expression(inner, scope, place)?;
        self.cast_bound(expression, &to)
    }

    pub(super) fn cast_bound(&mut self, expression: Expr, to: &SqlType) -> Result<Expr> {
        if is_open(&expression) {
            let decided = self.parameters.decide(expression, to);
            // It may have been decided otherwise before.
            return Ok(explicit(decided, to));
        }
        if let Some(literal) = system_literal(self, &expression, to)? {
            return Ok(literal);
        }
        Ok(explicit(expression, to))
    }
}
