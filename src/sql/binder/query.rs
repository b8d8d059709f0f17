//! A query: WITH, a body, ORDER BY and LIMIT.

use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use sqlparser::ast::{
    self, Cte, LimitClause, OrderBy, OrderByExpr, OrderByKind, Query, SetExpr, SetOperator, SetQuantifier, With,
};

use super::expression::Place;
use super::from::refuse;
use super::output::ordinal;
use super::scope::{Scope, ScopeTable};
use super::{Binder, Bound, CommonTable};
use crate::sql::statement::{fold, position_of};
use crate::types::{Error, Result, SqlState};

impl Binder<'_> {
    pub fn query(&mut self, query: &Query) -> Result<Bound> {
        refuse_clauses(query)?;
        let outside = self.common_tables.clone();
        let bound = self.query_with(query);
        self.common_tables = outside;
        bound
    }

    fn query_with(&mut self, query: &Query) -> Result<Bound> {
        self.with(query.with.as_ref())?;
        let order_by = order_by_expressions(query.order_by.as_ref())?;
        let bound = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, order_by)?,
            body => {
                let bound = self.set_expression(body)?;
                self.order_outputs(bound, order_by)?
            }
        };
        self.limit(bound, query)
    }

    pub(super) fn set_expression(&mut self, body: &SetExpr) -> Result<Bound> {
        match body {
            SetExpr::Select(select) => self.select(select, &[]),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let left = self.set_expression(left)?;
                let position = first_expression(right);
                let right = self.set_expression(right)?;
                self.set_operation(*op, *set_quantifier, left, right).map_err(|error| {
                    match (position, error.position()) {
                        (Some(position), None) => error.at(position),
                        _ => error,
                    }
                })
            }
            SetExpr::Table(table) => {
                let mut parts = Vec::new();
                parts.extend(table.schema_name.clone());
                parts.extend(table.table_name.clone());
                let name = crate::sql::statement::Name::of_parts(parts, 1)?;
                let (plan, scope) = self.relation(&name, None)?;
                self.every_column(plan, &scope)
            }
            other => Err(Error::unsupported(format!("{other} inside a query is not supported"))),
        }
    }

    /// A query of every column in scope.
    pub fn every_column(&mut self, plan: LogicalPlan, scope: &Scope) -> Result<Bound> {
        let items = scope.visible.iter().map(|visible| (visible.name.clone(), visible.expression.clone())).collect();
        self.project(plan, items)
    }

    /// Brings the queries of a WITH clause into scope.
    pub fn with(&mut self, with: Option<&With>) -> Result<()> {
        let Some(with) = with else { return Ok(()) };
        let mut seen = Vec::new();
        for cte in &with.cte_tables {
            let name = fold(&cte.alias.name);
            if seen.contains(&name) {
                let message = format!("WITH query name \"{name}\" specified more than once");
                return Err(Error::new(SqlState::DUPLICATE_ALIAS, message).at(position_of(&cte.alias.name)));
            }
            seen.push(name.clone());
            let bound = match recursive_parts(cte).filter(|_| with.recursive) {
                Some((left, right, quantifier)) => self.recursive(cte, left, right, quantifier)?,
                None => {
                    let mut bound = self.query(&cte.query)?;
                    rename_outputs(&mut bound, cte)?;
                    bound
                }
            };
            self.common_tables.insert(name, Rc::new(CommonTable { bound }));
        }
        Ok(())
    }

    /// `left UNION [ALL] right`, where right may read what the step before gave.
    fn recursive(&mut self, cte: &Cte, left: &SetExpr, right: &SetExpr, quantifier: SetQuantifier) -> Result<Bound> {
        let name = fold(&cte.alias.name);
        let mut first = self.set_expression(left)?;
        rename_outputs(&mut first, cte)?;
        let fields = first.plan.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let work_table = self.qualifier(&name);
        let source = provider_as_source(Arc::new(CteWorkTable::new(&work_table, schema)));
        let scan =
            LogicalPlanBuilder::scan(datafusion::common::TableReference::bare(work_table.clone()), source, None)?;
        let columns = first.columns.clone();
        let table = Bound { plan: scan.build()?, columns };
        self.common_tables.insert(name, Rc::new(CommonTable { bound: table }));
        let step = self.set_expression(right)?;
        if first.columns.len() != step.columns.len() {
            return Err(super::set_operation::column_count(SetOperator::Union));
        }
        let distinct = !matches!(quantifier, SetQuantifier::All);
        let columns = first.columns;
        let plan = LogicalPlanBuilder::from(first.plan).to_recursive_query(work_table, step.plan, distinct)?.build()?;
        Ok(Bound { plan, columns })
    }

    /// ORDER BY after a set operation or VALUES: by the output's columns only.
    fn order_outputs(&mut self, bound: Bound, order_by: &[OrderByExpr]) -> Result<Bound> {
        if order_by.is_empty() {
            return Ok(bound);
        }
        let columns = bound.columns.iter().map(|output| (output.name.clone(), Expr::Column(output.column.clone())));
        let table =
            ScopeTable { name: String::new(), schema: None, hidden_name: None, columns: columns.collect(), key: None };
        let scope = Scope::of_table(table, bound.plan.schema().clone());
        let mut sorts = Vec::new();
        for item in order_by {
            let expression = match ordinal(&item.expr, bound.columns.len(), "ORDER BY")? {
                Some(index) => Expr::Column(bound.columns[index].column.clone()),
                None => {
                    match &item.expr {
                        ast::Expr::Identifier(_) => self.expression(&item.expr, &scope, Place::OrderBy)?,
                        _ => {
                            return Err(Error::unsupported("invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                            .with_detail("Only result column names can be used, not expressions or functions.")
                            .with_hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause."));
                        }
                    }
                }
            };
            sorts.push(sort(expression, item));
        }
        let plan = LogicalPlanBuilder::from(bound.plan).sort(sorts)?.build()?;
        Ok(Bound { plan, columns: bound.columns })
    }

    fn limit(&mut self, bound: Bound, query: &Query) -> Result<Bound> {
        let (mut limit, mut offset) = (None, None);
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset { limit: rows, offset: skip, limit_by }) => {
                refuse(!limit_by.is_empty(), "LIMIT BY")?;
                limit = rows.as_ref();
                offset = skip.as_ref().map(|skip| &skip.value);
            }
            Some(LimitClause::OffsetCommaLimit { .. }) => {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "LIMIT #,# syntax is not supported")
                    .with_hint("Use separate LIMIT and OFFSET clauses."));
            }
        }
        let one = ast::Expr::Value(ast::Value::Number("1".into(), false).with_empty_span());
        if let Some(fetch) = &query.fetch {
            refuse(fetch.percent, "FETCH FIRST ... PERCENT")?;
            if limit.is_some() {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "multiple LIMIT clauses not allowed"));
            }
            limit = Some(fetch.quantity.as_ref().unwrap_or(&one));
        }
        let skip = offset.map(|rows| self.row_count(rows)).transpose()?.flatten();
        let fetch = limit.map(|rows| self.row_count(rows)).transpose()?.flatten();
        if query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties) {
            return self.with_ties(bound, skip, fetch);
        }
        if skip.is_none() && fetch.is_none() {
            return Ok(bound);
        }
        let plan = LogicalPlanBuilder::from(bound.plan).limit_by_expr(skip, fetch)?.build()?;
        Ok(Bound { plan, columns: bound.columns })
    }

    /// A number of rows, as a bigint; None for NULL and ALL. A literal is read here, the rest when it is known.
    fn row_count(&mut self, rows: &ast::Expr) -> Result<Option<Expr>> {
        use datafusion::common::ScalarValue;
        let expression = self.expression(rows, &Scope::empty(), Place::Limit)?;
        let expression = self.parameters.decide(expression, &crate::types::SqlType::Int8);
        match &expression {
            Expr::Literal(value, _) if value.is_null() => Ok(None),
            Expr::Literal(ScalarValue::Int32(Some(count)), _) => Ok(Some(lit(i64::from(*count)))),
            Expr::Literal(ScalarValue::Int64(_), _) | Expr::Placeholder(_) => Ok(Some(expression)),
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => match text.trim().parse::<i64>() {
                Ok(count) => Ok(Some(lit(count))),
                Err(_) => {
                    let message = format!("invalid input syntax for type bigint: \"{text}\"");
                    Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message))
                }
            },
            _ => Ok(Some(cast(expression, DataType::Int64))),
        }
    }
}

/// `AS name (a, b)` gives names to the first columns of a WITH query.
fn rename_outputs(bound: &mut Bound, cte: &Cte) -> Result<()> {
    let given = &cte.alias.columns;
    if given.len() > bound.columns.len() {
        let message = format!(
            "WITH query \"{}\" has {} columns available but {} columns specified",
            fold(&cte.alias.name),
            bound.columns.len(),
            given.len()
        );
        return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message).at(position_of(&cte.alias.name)));
    }
    for (output, name) in bound.columns.iter_mut().zip(given) {
        output.name = fold(&name.name);
    }
    Ok(())
}

/// The two sides of a WITH query that can refer to itself.
fn recursive_parts(cte: &Cte) -> Option<(&SetExpr, &SetExpr, SetQuantifier)> {
    let name = fold(&cte.alias.name);
    match cte.query.body.as_ref() {
        SetExpr::SetOperation { op: SetOperator::Union, left, right, set_quantifier }
            if super::subquery::mentions(right, &name) =>
        {
            Some((left, right, *set_quantifier))
        }
        _ => None,
    }
}

/// Where the first expression of a SELECT list stands: PostgreSQL points there when two queries do not fit together.
fn first_expression(body: &SetExpr) -> Option<usize> {
    let position = match body {
        SetExpr::Select(select) => match select.projection.first()? {
            ast::SelectItem::UnnamedExpr(expression) | ast::SelectItem::ExprWithAlias { expr: expression, .. } => {
                super::expression::position_of(expression)
            }
            _ => 0,
        },
        SetExpr::Query(query) => return first_expression(&query.body),
        SetExpr::SetOperation { left, .. } => return first_expression(left),
        _ => 0,
    };
    (position > 0).then_some(position)
}

/// One sort key; NULLs are the greatest values unless it says otherwise.
pub(super) fn sort(expression: Expr, item: &OrderByExpr) -> Sort {
    let ascending = item.options.asc.unwrap_or(true);
    Sort::new(expression, ascending, item.options.nulls_first.unwrap_or(!ascending))
}

pub(super) fn order_by_expressions(order_by: Option<&OrderBy>) -> Result<&[OrderByExpr]> {
    let Some(order_by) = order_by else { return Ok(&[]) };
    refuse(order_by.interpolate.is_some(), "INTERPOLATE")?;
    match &order_by.kind {
        OrderByKind::Expressions(expressions) => Ok(expressions),
        OrderByKind::All(_) => Err(Error::unsupported("ORDER BY ALL is not supported")),
    }
}

fn refuse_clauses(query: &Query) -> Result<()> {
    if let Some(lock) = query.locks.first() {
        return Err(Error::unsupported(format!("{lock} is not supported"))
            .with_hint("Conflicting writes are found when the transaction commits."));
    }
    refuse(query.for_clause.is_some(), "FOR XML, JSON or BROWSE")?;
    refuse(query.settings.is_some(), "SETTINGS")?;
    refuse(query.format_clause.is_some(), "FORMAT")?;
    refuse(!query.pipe_operators.is_empty(), "the pipe operator")
}
