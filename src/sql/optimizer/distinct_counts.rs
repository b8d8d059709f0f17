//! count(DISTINCT x) alone in its SELECT becomes a count over a GROUP BY, which DataFusion computes in parallel.

use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::single_distinct_to_groupby::SingleDistinctToGroupBy;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// DataFusion's rule, kept to aggregations in which everything is a DISTINCT count: it would compute other aggregates
/// twice, as sum(sum(x)), which has another type than sum(x).
#[derive(Debug, Default)]
pub struct DistinctCounts(SingleDistinctToGroupBy);

impl OptimizerRule for DistinctCounts {
    fn name(&self) -> &str {
        "distinct_counts"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().all(is_distinct_count) => {
                self.0.rewrite(plan, config)
            }
            _ => Ok(Transformed::no(plan)),
        }
    }
}

fn is_distinct_count(expression: &Expr) -> bool {
    match expression {
        Expr::AggregateFunction(AggregateFunction { func, params }) => params.distinct && func.name() == "count",
        _ => false,
    }
}
