//! The order of array_agg() and string_agg(): where ORDER BY leaves it open, the values decide.
//!
//! PostgreSQL takes rows as they come from its heap. Here the arguments are appended to the sort keys, ascending with
//! NULLs last, so that a view and a SELECT put the same values in the same order.

use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::analyzer::AnalyzerRule;

use super::ties::with_ties;

/// The aggregates whose result shows the order of their rows.
const ORDERED: &[&str] = &["array_agg", "string_agg"];

#[derive(Debug)]
pub struct OrderAggregates;

impl AnalyzerRule for OrderAggregates {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(is_ordered) => {
                order_all(aggregate).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "order_aggregates"
    }
}

fn is_ordered(expression: &Expr) -> bool {
    match expression {
        Expr::Alias(alias) => is_ordered(&alias.expr),
        Expr::AggregateFunction(function) => ORDERED.contains(&function.func.name()),
        _ => false,
    }
}

fn order_all(aggregate: Aggregate) -> DataFusionResult<LogicalPlan> {
    let names = NamePreserver::new_for_projection();
    let ordered = aggregate.aggr_expr.into_iter().map(|expression| {
        let name = names.save(&expression);
        name.restore(match expression.unalias() {
            Expr::AggregateFunction(function) if ORDERED.contains(&function.func.name()) => order_one(function),
            other => other,
        })
    });
    let ordered = ordered.collect();
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(aggregate.input, aggregate.group_expr, ordered)?))
}

fn order_one(mut function: AggregateFunction) -> Expr {
    let is_column = |argument: &&Expr| !matches!(argument, Expr::Literal(..));
    let arguments = function.params.args.iter().filter(is_column).cloned().collect();
    function.params.order_by = with_ties(std::mem::take(&mut function.params.order_by), arguments);
    Expr::AggregateFunction(function)
}
