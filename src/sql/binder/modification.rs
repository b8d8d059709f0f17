//! What INSERT, UPDATE and DELETE ask of the binder.

use std::rc::Rc;

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{self, AssignmentTarget, ObjectNamePart, SelectItem, TableWithJoins};

use super::expression::{Place, position_of, tuple_of};
use super::scope::{Scope, ScopeTable, Visible};
use super::subquery::subquery_of;
use super::{Binder, Bound, Output, assign};
use crate::catalog::Table;
use crate::sql::parse::parse_expression;
use crate::sql::statement::{Name, fold};
use crate::types::{Column, Error, Result, SqlState};

impl Binder<'_> {
    /// The table to be changed, beside the items of FROM.
    pub fn target_beside(
        &mut self,
        name: &Name,
        alias: Option<&str>,
        from: &[TableWithJoins],
    ) -> Result<(LogicalPlan, Scope)> {
        let (plan, scope) = self.relation(name, alias)?;
        if from.is_empty() {
            return Ok((plan, scope));
        }
        let (from_plan, from_scope) = self.from(from)?;
        self.product(plan, scope, from_plan, from_scope)
    }

    /// `EXISTS (SELECT FROM using WHERE condition)` for a row in scope.
    pub fn exists_in(
        &mut self,
        using: &[TableWithJoins],
        condition: Option<&ast::Expr>,
        scope: &Scope,
    ) -> Result<Expr> {
        self.outer.push(Rc::new(scope.clone()));
        let bound = self.using_rows(using, condition);
        self.outer.pop();
        Ok(Expr::Exists(Exists::new(subquery_of(bound?), false)))
    }

    fn using_rows(&mut self, using: &[TableWithJoins], condition: Option<&ast::Expr>) -> Result<Bound> {
        let (mut plan, scope) = self.from(using)?;
        if let Some(condition) = condition {
            let filter = self.condition(condition, &scope, Place::Where)?;
            plan = LogicalPlanBuilder::from(plan).filter(filter)?.build()?;
        }
        self.project(plan, vec![("exists".into(), datafusion::logical_expr::lit(true))])
    }

    /// The value of a column that a row leaves out.
    pub fn default_value(&mut self, table: &Table, index: usize) -> Result<Expr> {
        let value = match table.defaults.get(index).and_then(Option::as_ref) {
            Some(text) => self.expression(&parse_expression(text)?, &Scope::empty(), Place::Default)?,
            None => Expr::Literal(ScalarValue::Null, None),
        };
        assign(value, &DFSchema::empty(), &table.relation.columns[index])
    }

    /// SET: columns of the table and their new values, of the columns' types.
    pub fn assignments(
        &mut self,
        assignments: &[ast::Assignment],
        table: &Table,
        scope: &Scope,
    ) -> Result<Vec<(usize, Expr)>> {
        let mut assigned: Vec<(usize, Expr)> = Vec::new();
        for assignment in assignments {
            let pairs = match &assignment.target {
                AssignmentTarget::ColumnName(name) => vec![(name, &assignment.value)],
                AssignmentTarget::Tuple(names) => match tuple_of(&assignment.value) {
                    Some(values) if values.len() == names.len() => names.iter().zip(values).collect(),
                    Some(_) => {
                        let message = "number of columns does not match number of values";
                        return Err(Error::new(SqlState::SYNTAX_ERROR, message));
                    }
                    None => {
                        return Err(Error::unsupported("SET (columns) = a subquery is not supported")
                            .with_hint("Assign to each column by itself, or use UPDATE ... FROM."));
                    }
                },
            };
            for (name, value) in pairs {
                let (index, position) = assigned_column(name, table)?;
                if assigned.iter().any(|(other, _)| *other == index) {
                    let column = &table.relation.columns[index].name;
                    let message = format!("multiple assignments to same column \"{column}\"");
                    return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(position));
                }
                let bound = match is_default(value) {
                    true => self.default_value(table, index)?,
                    false => {
                        let bound = self.expression(value, scope, Place::Update)?;
                        self.assigned(bound, value, scope, &table.relation.columns[index])?
                    }
                };
                assigned.push((index, bound));
            }
        }
        Ok(assigned)
    }

    /// A value for a column; an open parameter is of its type.
    pub fn assigned(&mut self, bound: Expr, written: &ast::Expr, scope: &Scope, column: &Column) -> Result<Expr> {
        let bound = self.parameters.decide(bound, &column.sql_type);
        assign(bound, &scope.schema, column).map_err(|error| match (position_of(written), error.position()) {
            (0, _) | (_, Some(_)) => error,
            (position, None) => error.at(position),
        })
    }

    pub fn returning_items(&mut self, items: &[SelectItem], scope: &Scope) -> Result<Vec<(String, Expr)>> {
        let items = self.select_items_at(items, scope, Place::Returning)?;
        Ok(items.into_iter().map(|item| (item.name, item.expression)).collect())
    }
}

/// Whether a value is the word DEFAULT.
pub fn is_default(value: &ast::Expr) -> bool {
    matches!(value, ast::Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

/// A query's output as a value for a column; what had no type is read as the column's.
pub fn read_output(output: &Output, schema: &DFSchema, column: &Column) -> Result<Expr> {
    let value = Expr::Column(output.column.clone());
    match output.is_unknown {
        true => super::cast::assign_text(value, column),
        false => assign(value, schema, column),
    }
}

fn assigned_column(name: &ast::ObjectName, table: &Table) -> Result<(usize, usize)> {
    let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
        return Err(Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" can't be assigned to"))
            .with_hint("Write the column's name without the table's."));
    };
    let name = fold(ident);
    let position = crate::sql::statement::position_of(ident);
    match table.relation.position(&name) {
        Some(index) => Ok((index, position)),
        None => {
            let message = format!("column \"{name}\" of the table does not exist");
            Err(Error::new(SqlState::UNDEFINED_COLUMN, message).at(position))
        }
    }
}

impl Scope {
    /// Several items, one after the other.
    pub fn of_tables(tables: Vec<ScopeTable>, schema: datafusion::common::DFSchemaRef) -> Self {
        let mut visible = Vec::new();
        for table in &tables {
            visible.extend(
                table
                    .columns
                    .iter()
                    .map(|(name, expression)| Visible { name: name.clone(), expression: expression.clone() }),
            );
        }
        Scope { tables, visible, schema }
    }
}
