//! Casts: those that a query asks for, those of an assignment, and the type that several values have in common.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::logical_expr::{Cast, Expr};
use sqlparser::ast;

use super::expression::Place;
use super::literal::system_literal;
use super::output::{is_unknown, type_of};
use super::parameters::is_open;
use super::scope::Scope;
use super::Binder;
use crate::sql::function::cast::{Cast as StoredCast, CastContext};
use crate::sql::type_name::sql_type;
use crate::types::{Column, Error, Result, SqlState, SqlType};

pub(super) use super::conversion::{bare_name, common_type, is_assignable};

/// A cast that the query asks for, or that can't be refused. A bare literal is read as the type.
pub fn explicit(expression: Expr, to: &SqlType) -> Expr {
    Expr::Cast(Cast::new_from_field(Box::new(expression), Arc::new(to.field("", true))))
}

/// A cast for a column: text that is too long for it is an error (22001), not cut off.
fn assignment(expression: Expr, from: SqlType, to: &SqlType) -> Expr {
    match to {
        SqlType::Varchar(Some(_)) | SqlType::Char(_) => {
            StoredCast::call(expression, from, to.clone(), CastContext::Assignment)
        }
        _ => explicit(expression, to),
    }
}

/// A value for a column: what PostgreSQL casts when it assigns, 42804 for the rest.
pub fn assign(expression: Expr, schema: &DFSchema, column: &Column) -> Result<Expr> {
    let from = type_of(&expression, schema)?;
    if from == column.sql_type {
        return Ok(expression);
    }
    if is_unknown(&expression) {
        return Ok(if is_open(&expression) { expression } else { assignment(expression, SqlType::Text, &column.sql_type) });
    }
    assign_typed(expression, &from, column)
}

/// A value of a known type for a column.
fn assign_typed(expression: Expr, from: &SqlType, column: &Column) -> Result<Expr> {
    if !is_assignable(from, &column.sql_type) {
        let (wanted, found) = (bare_name(&column.sql_type), bare_name(from));
        let message = format!("column \"{}\" is of type {wanted} but expression is of type {found}", column.name);
        return Err(Error::new(SqlState::DATATYPE_MISMATCH, message)
            .with_hint("You will need to rewrite or cast the expression."));
    }
    Ok(assignment(expression, from.clone(), &column.sql_type))
}

/// Text that had no type of its own, read as a type.
pub(super) fn read_text(expression: Expr, to: &SqlType) -> Expr {
    match to {
        SqlType::Text => expression,
        _ => explicit(expression, to),
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
