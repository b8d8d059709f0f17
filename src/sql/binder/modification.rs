//! What INSERT, UPDATE and DELETE ask of the binder.

use std::rc::Rc;

use datafusion::common::{Column as PlanColumn, DFSchema, ScalarValue};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{self, AssignmentTarget, ObjectNamePart, SelectItem, TableWithJoins};

use super::expression::{Place, position_of};
use super::row::{query_of, row_of};
use super::scope::{Scope, ScopeTable, Visible};
use super::subquery::subquery_of;
use super::{Binder, Bound, Output, assign};
use crate::catalog::Table;
use crate::sql::parse::parse_expression;
use crate::sql::statement::{Name, fold};
use crate::types::{Column, Error, Result, SqlState};

/// The rows of a table that is to be changed, beside those of FROM.
pub struct Target {
    pub plan: LogicalPlan,
    pub scope: Scope,
    /// Tells equal rows of a table without a key apart, if there is a FROM that may repeat them.
    pub number: Option<Expr>,
}

impl Binder<'_> {
    /// The table to be changed, beside the items of FROM.
    pub fn target_beside(&mut self, name: &Name, alias: Option<&str>, from: &[TableWithJoins]) -> Result<Target> {
        if name.schema.is_none() && self.common_tables.contains_key(&name.name) {
            let message = format!("relation \"{}\" cannot be the target of a modifying statement", name.name);
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(name.position));
        }
        let (mut plan, mut scope) = self.relation(name, alias)?;
        if from.is_empty() {
            return Ok(Target { plan, scope, number: None });
        }
        let mut number = None;
        if scope.tables[0].key.is_none() {
            let all: Vec<Expr> = plan.schema().iter().map(Expr::from).collect();
            let unique = self.qualifier("number");
            let numbered = row_number().partition_by(all).build()?.alias(&unique);
            plan = LogicalPlanBuilder::from(plan).window(vec![numbered])?.build()?;
            scope.schema = plan.schema().clone();
            number = Some(Expr::Column(PlanColumn::new_unqualified(unique)));
        }
        let (from_plan, from_scope) = self.from(from)?;
        let (plan, scope) = self.product(plan, scope, from_plan, from_scope)?;
        Ok(Target { plan, scope, number })
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
            let value = &assignment.value;
            let pairs = match &assignment.target {
                AssignmentTarget::ColumnName(name) => vec![self.assigned_value(name, value, table, scope)?],
                AssignmentTarget::Tuple(names) => match (row_of(value), query_of(value)) {
                    (Some(values), _) if values.len() == names.len() => {
                        let pairs = names.iter().zip(values);
                        let pairs = pairs.map(|(name, value)| self.assigned_value(name, value, table, scope));
                        pairs.collect::<Result<_>>()?
                    }
                    (None, Some(query)) => self.assigned_query(names, query, table, scope)?,
                    (Some(_), _) => {
                        let message = "number of columns does not match number of values";
                        return Err(Error::new(SqlState::SYNTAX_ERROR, message));
                    }
                    (None, None) => {
                        let message =
                            "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression";
                        return Err(Error::unsupported(message));
                    }
                },
            };
            for (Assigned { index, position }, value) in pairs {
                if assigned.iter().any(|(other, _)| *other == index) {
                    let column = &table.relation.columns[index].name;
                    let message = format!("multiple assignments to same column \"{column}\"");
                    return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(position));
                }
                assigned.push((index, value));
            }
        }
        Ok(assigned)
    }

    fn assigned_value(
        &mut self,
        name: &ast::ObjectName,
        value: &ast::Expr,
        table: &Table,
        scope: &Scope,
    ) -> Result<(Assigned, Expr)> {
        let target = assigned_column(name, table)?;
        let bound = match is_default(value) {
            true => self.default_value(table, target.index)?,
            false => {
                let bound = self.expression(value, scope, Place::Update)?;
                self.assigned(bound, value, scope, &table.relation.columns[target.index])?
            }
        };
        Ok((target, bound))
    }

    /// `(a, b) = (SELECT x, y ..)`: the query's columns, each as a subquery of its own.
    fn assigned_query(
        &mut self,
        names: &[ast::ObjectName],
        query: &ast::Query,
        table: &Table,
        scope: &Scope,
    ) -> Result<Vec<(Assigned, Expr)>> {
        let bound = self.inner_query(query, scope)?;
        if bound.columns.len() != names.len() {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "number of columns does not match number of values"));
        }
        let mut pairs = Vec::new();
        for (name, output) in names.iter().zip(&bound.columns) {
            let target = assigned_column(name, table)?;
            let column = &table.relation.columns[target.index];
            let value = read_output(output, bound.plan.schema(), column)?;
            let one = self.project(bound.plan.clone(), vec![(column.name.clone(), value)])?;
            pairs.push((target, Expr::ScalarSubquery(subquery_of(one))));
        }
        Ok(pairs)
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

/// The column that SET names, and where.
struct Assigned {
    index: usize,
    position: usize,
}

fn assigned_column(name: &ast::ObjectName, table: &Table) -> Result<Assigned> {
    let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
        return Err(Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" can't be assigned to"))
            .with_hint("Write the column's name without the table's."));
    };
    let name = fold(ident);
    let position = crate::sql::statement::position_of(ident);
    match table.relation.position(&name) {
        Some(index) => Ok(Assigned { index, position }),
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
