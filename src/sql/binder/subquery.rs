//! Queries inside expressions.

use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

use datafusion::common::Spans;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, Exists};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, Subquery, lit};
use sqlparser::ast::{self, SetExpr};

use super::order::ordered;
use super::scope::Scope;
use super::{Binder, Bound};
use crate::types::{Error, Result, SqlState, SqlType};

impl Binder<'_> {
    /// A query that may look at the columns in scope.
    pub(super) fn inner_query(&mut self, query: &ast::Query, scope: &Scope) -> Result<Bound> {
        self.outer.push(Rc::new(scope.clone()));
        let windows = std::mem::take(&mut self.windows);
        let bound = self.query(query);
        self.windows = windows;
        self.outer.pop();
        bound
    }

    pub(super) fn scalar_subquery(&mut self, query: &ast::Query, scope: &Scope) -> Result<Expr> {
        let bound = self.inner_query(query, scope)?;
        if bound.columns.len() != 1 {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "subquery must return only one column"));
        }
        Ok(Expr::ScalarSubquery(subquery_of(bound)))
    }

    pub(super) fn exists(&mut self, query: &ast::Query, negated: bool, scope: &Scope) -> Result<Expr> {
        let mut bound = self.inner_query(query, scope)?;
        if bound.columns.is_empty() {
            bound = self.project(bound.plan, vec![("exists".into(), lit(true))])?;
        }
        Ok(Expr::Exists(Exists::new(subquery_of(bound), negated)))
    }

    /// `ARRAY(SELECT ..)`: an empty array if there is no row.
    pub(super) fn array_of_subquery(&mut self, query: &ast::Query, scope: &Scope) -> Result<Expr> {
        let bound = self.inner_query(query, scope)?;
        check_width(&bound, 1)?;
        let column = bound.columns[0].column.clone();
        // array_agg() knows the elements by their Arrow type: text for every kind of text.
        let element = SqlType::of_arrow(bound.plan.schema().field(0).data_type());
        // Elements come in the order of the query's rows.
        let (plan, order_by) = ordered(&bound.plan).unwrap_or((bound.plan, vec![]));
        let params = AggregateFunctionParams {
            args: vec![Expr::Column(column)],
            distinct: false,
            filter: None,
            order_by,
            null_treatment: None,
        };
        let collected = AggregateFunction { func: self.aggregate_function("array_agg")?, params };
        let plan = LogicalPlanBuilder::from(plan)
            .aggregate(Vec::<Expr>::new(), vec![Expr::AggregateFunction(collected).alias("array")])?
            .build()?;
        let outer_ref_columns = plan.all_out_ref_exprs();
        let subquery =
            Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() });
        let empty = super::cast::explicit(super::literal::string("{}"), &SqlType::Array(Box::new(element)));
        Ok(self.scalar("coalesce")?.call(vec![subquery, empty]))
    }
}

pub(super) fn check_width(bound: &Bound, width: usize) -> Result<()> {
    let few = match bound.columns.len().cmp(&width) {
        Ordering::Equal => return Ok(()),
        Ordering::Less => "few",
        Ordering::Greater => "many",
    };
    Err(Error::new(SqlState::SYNTAX_ERROR, format!("subquery has too {few} columns")))
}

pub(super) fn subquery_of(bound: Bound) -> Subquery {
    let outer_ref_columns = bound.plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(bound.plan), outer_ref_columns, spans: Spans::new() }
}

/// The expression as a query inside sees it.
pub(super) fn as_outer(expression: Expr, scope: &Scope) -> Result<Expr> {
    let marked = expression.transform(|expression| match expression {
        Expr::Column(column) => {
            let (_, field) = scope.schema.qualified_field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field.clone(), column)))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(marked.data()?)
}

/// Whether a query's FROM names a relation, at any depth: what makes a WITH query recursive.
pub(super) fn mentions(body: &SetExpr, name: &str) -> bool {
    use std::ops::ControlFlow;
    let found = ast::visit_relations(body, |relation| match relation.0.as_slice() {
        [ast::ObjectNamePart::Identifier(ident)] if crate::sql::statement::fold(ident) == name => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
