//! Types as PostgreSQL gives them: rules that run before DataFusion's own type coercion, and leave it nothing to decide.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::AnalyzerRule;

use crate::types::Result;

/// The analyzer rules, in order; to be placed before DataFusion's type coercion.
pub fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![]
}

/// The last step, to be taken once after optimizing: what may fail on a row is evaluated only on the rows that
/// PostgreSQL would evaluate it on.
pub fn guard(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan)
}
