//! The tie rule: where an order decides which rows are kept, it is made total.
//!
//! LIMIT, DISTINCT ON and row_number() keep rows by their position, and among equal sort keys PostgreSQL keeps whichever
//! comes first in its heap. Here all remaining columns are appended to the sort keys, ascending with NULLs last, so
//! that a view and a SELECT keep the same rows. rank() and its kin give equal rows equal numbers and need nothing.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result as DataFusionResult};
use datafusion::config::ConfigOptions;
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Distinct, DistinctOn, Expr, ExprFunctionExt, Limit, LogicalPlan, LogicalPlanBuilder, Sort, SortExpr, Window, lit,
};
use datafusion::optimizer::analyzer::AnalyzerRule;

use super::cardinality::at_most_one_row;
use super::names::{ascending, columns, named_as};
use super::series::as_series;

#[derive(Debug)]
pub struct BreakTies;

impl AnalyzerRule for BreakTies {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Limit(limit) => order_limited(limit).map(Transformed::yes),
            LogicalPlan::Window(window) => number_rows(window),
            other => Ok(Transformed::no(other)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "break_ties"
    }
}

/// DISTINCT ON as a row_number(), whose ties [`BreakTies`] breaks.
#[derive(Debug)]
pub struct NumberDistinctOn;

impl AnalyzerRule for NumberDistinctOn {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Distinct(Distinct::On(distinct)) => first_per_group(distinct).map(Transformed::yes),
            other => Ok(Transformed::no(other)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "number_distinct_on"
    }
}

/// A LIMIT over a total order of its input.
fn order_limited(limit: Limit) -> DataFusionResult<LogicalPlan> {
    let nothing = limit.fetch.as_deref().is_some_and(|fetch| *fetch == lit(0i64));
    if nothing || at_most_one_row(&limit.input) {
        return Ok(LogicalPlan::Limit(limit));
    }
    let input = order_totally(Arc::unwrap_or_clone(limit.input))?;
    Ok(LogicalPlan::Limit(Limit { input: Arc::new(input), ..limit }))
}

/// The plan with its order made total, where it has one; with an order by all columns where it has none.
fn order_totally(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    if let Some(position) = series_order(&plan) {
        return Ok(LogicalPlan::Sort(Sort { expr: vec![ascending(position)], input: Arc::new(plan), fetch: None }));
    }
    match plan {
        LogicalPlan::Sort(Sort { expr, input, fetch }) => {
            let expr = with_ties(expr, columns(input.schema()));
            Ok(LogicalPlan::Sort(Sort { expr, input, fetch }))
        }
        // The order of an inner LIMIT is total already, since rules run from the leaves.
        plan if !is_ordered(&plan) => {
            let expr = columns(plan.schema()).into_iter().map(ascending).collect();
            Ok(LogicalPlan::Sort(Sort { expr, input: Arc::new(plan), fetch: None }))
        }
        plan => plan.map_children(|child| order_totally(child).map(Transformed::yes)).data(),
    }
}

/// Whether the rows come in the order of a Sort below that nothing in between disturbs.
fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => is_ordered(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_ordered(&alias.input),
        LogicalPlan::Limit(limit) => is_ordered(&limit.input),
        plan => series_order(plan).is_some(),
    }
}

fn series_order(plan: &LogicalPlan) -> Option<Expr> {
    as_series(plan)?.order()
}

/// The sort keys, then every column that is not one of them.
pub(super) fn with_ties(mut keys: Vec<SortExpr>, columns: Vec<Expr>) -> Vec<SortExpr> {
    let missing: Vec<_> = columns.into_iter().filter(|column| keys.iter().all(|key| key.expr != *column)).collect();
    keys.extend(missing.into_iter().map(ascending));
    keys
}

/// DISTINCT ON as the first row of each group: what is selected, the groups and the sort keys are computed below a
/// row_number(); what is selected comes first, and so breaks the ties.
fn first_per_group(distinct: DistinctOn) -> DataFusionResult<LogicalPlan> {
    let DistinctOn { on_expr, select_expr, sort_expr, input, schema } = distinct;
    let selected = columns(&schema);
    let sort = sort_expr.unwrap_or_default();
    let named = select_expr.iter().zip(schema.iter());
    let mut below: Vec<Expr> =
        named.map(|(expression, field)| named_as(expression.clone(), &Column::from(field))).collect();
    // What is selected anyway is not computed twice, and a group that is selected shows as the result's key.
    let mut computed = |expression: &Expr, name: String| {
        let same = |known: &Expr| known.clone().unalias() == *expression;
        match select_expr.iter().position(same) {
            Some(position) => selected[position].clone(),
            None => {
                below.push(expression.clone().alias(&name));
                unqualified(name)
            }
        }
    };
    let groups: Vec<Expr> =
        on_expr.iter().enumerate().map(|(position, on)| computed(on, format!("__on_{position}"))).collect();
    let keys: Vec<SortExpr> = sort
        .iter()
        .enumerate()
        .map(|(position, key)| key.with_expr(computed(&key.expr, format!("__order_{position}"))))
        .collect();
    let number = row_number().partition_by(groups).order_by(keys.clone()).build()?.alias("__position");

    let numbered = LogicalPlanBuilder::from(Arc::unwrap_or_clone(input)).project(below)?.window(vec![number])?;
    let first = numbered.filter(unqualified("__position".into()).lt_eq(lit(1u64)))?;
    let ordered = if keys.is_empty() { first } else { first.sort(keys)? };
    ordered.project(selected)?.build()
}

fn unqualified(name: String) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// Makes the order of every row_number() total.
fn number_rows(window: Window) -> DataFusionResult<Transformed<LogicalPlan>> {
    let all = columns(window.input.schema());
    let names = NamePreserver::new_for_projection();
    let mut changed = false;
    let expressions = window.window_expr.into_iter().map(|expression| {
        let name = names.save(&expression);
        let rewritten = expression.transform_up(|part| match part {
            Expr::WindowFunction(function) if is_row_number(&function) => {
                let mut function = function;
                let grouped = &function.params.partition_by;
                let rest = all.iter().filter(|column| !grouped.contains(column)).cloned().collect();
                function.params.order_by = with_ties(std::mem::take(&mut function.params.order_by), rest);
                Ok(Transformed::yes(Expr::WindowFunction(function)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        changed |= rewritten.transformed;
        Ok(name.restore(rewritten.data))
    });
    let window_expr = expressions.collect::<DataFusionResult<Vec<_>>>()?;
    let plan = LogicalPlan::Window(Window { window_expr, ..window });
    Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
}

pub fn is_row_number(function: &WindowFunction) -> bool {
    function.fun.name() == "row_number"
}
