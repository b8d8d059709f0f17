//! The one pinned list of rules that turns a bound plan into the plan that both modes execute.
//!
//! Analyzer rules put meaning in: what a comparison of floats, a tie in an ORDER BY, EXCEPT ALL, a grouping set or a
//! subquery means is written into the plan once, so that DataFusion and the dataflow can't disagree about it. Optimizer
//! rules then change the shape and never the meaning. DataFusion's own lists change between versions; ours changes
//! only here.

mod aggregate_order;
mod cardinality;
mod distinct_counts;
mod domain;
mod floats;
mod grouping;
mod limits;
mod names;
mod repeat;
mod series;
mod sets;
mod single_row;
mod subquery;
mod ties;
mod unnest;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use datafusion::common::Result as DataFusionResult;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_join::EliminateJoin;
use datafusion::optimizer::eliminate_limit::EliminateLimit;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::optimizer::{Optimizer, OptimizerContext};
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::push_down_limit::PushDownLimit;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::{PlanContext, coerce};
use crate::types::Result;

pub use cardinality::at_most_one_row;
pub use floats::canonical_float;
pub use repeat::{Repeat, RepeatExec};
pub use series::{Rows as SeriesRows, Series, SeriesExec};

type Analyzing = Arc<dyn AnalyzerRule + Send + Sync>;
type Optimizing = Arc<dyn OptimizerRule + Send + Sync>;

/// Analyzer rules, in order. Types are settled first; what follows may rely on them.
fn analyzer_rules() -> Vec<Analyzing> {
    let before: Vec<Analyzing> = vec![
        // grouping() must be gone before types are coerced: it is a parser's function without a kernel.
        Arc::new(grouping::ExpandGroupingSets),
        Arc::new(AsAnalyzer(Arc::new(RewriteSetComparison::new()))),
    ];
    let after: Vec<Analyzing> = vec![
        Arc::new(TypeCoercion::new()),
        Arc::new(limits::CheckLimits),
        Arc::new(sets::CountSetOperations),
        Arc::new(ties::NumberDistinctOn),
        Arc::new(subquery::JoinSubqueries),
        // After the rules that make comparisons, groups and sort keys.
        Arc::new(floats::CanonicalFloats),
        // After the floats, whose canonical values may tie where the values themselves do not.
        Arc::new(ties::BreakTies),
        Arc::new(aggregate_order::OrderAggregates),
    ];
    before.into_iter().chain(coerce::rules()).chain(after).collect()
}

/// Optimizer rules, in order; a pass runs them all, until nothing changes or three passes are over.
///
/// Of DataFusion's list these are left out:
///
/// | rule                         | why                                                                              |
/// |------------------------------|----------------------------------------------------------------------------------|
/// | RewriteSetComparison         | runs among the analyzer rules, since it makes subqueries                         |
/// | UnionsToFilter               | merges branches that the dataflow shares anyway; off by default in DataFusion    |
/// | DecorrelatePredicateSubquery | its mark joins know no NULL; [`subquery`] does it with three-valued logic        |
/// | ScalarSubqueryToJoin         | multiplies rows where PostgreSQL raises 21000; [`subquery`] does it              |
/// | DecorrelateLateralJoin       | knows aggregates and inner joins only; [`subquery`] does it for every shape      |
/// | FilterNullJoinKeys           | filters that cost the dataflow an operator and DataFusion's joins do themselves  |
/// | SingleDistinctToGroupBy      | computes sum(sum(x)), whose type is not that of sum(x); [`distinct_counts`] instead |
/// | EliminateGroupByConstant     | GROUP BY of constants only over no rows has no row, without GROUP BY it has one  |
/// | ExtractLeafExpressions       | splits projections for nested columns of files, which we don't have             |
/// | PushDownLeafProjections      | the same                                                                         |
fn optimizer_rules() -> Vec<Optimizing> {
    vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(EliminateJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateLimit::new()),
        Arc::new(PropagateEmptyRelation::new()),
        Arc::new(EliminateOuterJoin::new()),
        // Filters can't pass limits, so limits go down first.
        Arc::new(PushDownLimit::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(distinct_counts::DistinctCounts::default()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(OptimizeProjections::new()),
    ]
}

/// The lists have no state, so one copy serves all sessions.
static ANALYZER: LazyLock<Vec<Analyzing>> = LazyLock::new(analyzer_rules);
static OPTIMIZER: LazyLock<Optimizer> = LazyLock::new(|| Optimizer::with_rules(optimizer_rules()));

/// Analyzes and optimizes a bound plan. now() and its kin must have been dealt with, placeholders may remain.
pub fn optimize(plan: LogicalPlan, context: &PlanContext) -> Result<LogicalPlan> {
    let options = Arc::new(options(context));
    let mut plan = plan;
    for rule in ANALYZER.iter() {
        plan = rule.analyze(plan, &options)?;
    }
    let config = OptimizerContext::new_with_config_options(options).without_query_execution_start_time();
    coerce::guard(OPTIMIZER.optimize(plan, &config, |_, _| {})?)
}

/// DataFusion's settings for planning: fixed, but for what the session says about values.
fn options(context: &PlanContext) -> ConfigOptions {
    let mut options = ConfigOptions::default();
    options.execution.time_zone = Some(context.time_zone.clone());
    options.optimizer.skip_failed_rules = false;
    options.optimizer.max_passes = 3;
    options
}

/// One of DataFusion's optimizer rules, run once among the analyzer rules.
#[derive(Debug)]
struct AsAnalyzer(Optimizing);

impl AnalyzerRule for AsAnalyzer {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        let config = OptimizerContext::new_with_config_options(Arc::new(options.clone()));
        let config: &dyn OptimizerConfig = &config;
        Ok(self.0.rewrite(plan, config)?.data)
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}
