//! Lowers an optimized logical plan to the plan that the dataflow keeps up to date.
//!
//! Every lowered node has exactly the columns of the logical node's schema, by position. Keys, arguments and sort keys
//! are columns in the dataflow's plan; where the logical plan has expressions, a Map below computes them and a Map
//! above drops them. What has no incremental operator yet is refused with 0A000, by name.

mod aggregate;
mod bound_aggregate;
mod join;
mod key;
mod leaf;
mod refusal;
mod scalar;
mod top_k;

#[cfg(test)]
mod tests;

use datafusion::logical_expr::{Distinct, LogicalPlan};

use super::optimizer::{Repeat, Series};
use crate::dataflow::plan::Plan;
use crate::types::Result;

pub use key::infer_key;

/// The dataflow's plan of an analyzed and optimized logical plan.
pub fn lower(plan: &LogicalPlan) -> Result<Plan> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let input = lower(&projection.input)?;
            scalar::project(input, &projection.expr, projection.input.schema(), &projection.schema)
        }
        LogicalPlan::Filter(filter) => top_k::filter(filter),
        LogicalPlan::Window(window) => top_k::number(window, None),
        LogicalPlan::Aggregate(aggregate) => aggregate::lower_aggregate(aggregate),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let width = input.schema().fields().len();
            let schema = input.schema().inner().clone();
            Ok(Plan::Reduce { input: lower(input)?.into(), keys: (0..width).collect(), aggregates: vec![], schema })
        }
        // Order means nothing in a view; with a fetch it says which rows are kept.
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => lower(&sort.input),
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => top_k::limited(plan, 0, None),
        LogicalPlan::Join(join) => join::lower_join(join),
        LogicalPlan::Union(union) => {
            let schema = union.schema.inner().clone();
            let inputs = union.inputs.iter().map(|input| scalar::cast_to(lower(input)?, &schema));
            Ok(Plan::Union { inputs: inputs.collect::<Result<_>>()?, schema })
        }
        LogicalPlan::TableScan(scan) => leaf::scan(scan),
        LogicalPlan::EmptyRelation(empty) => leaf::empty(empty),
        LogicalPlan::Values(values) => leaf::values(values),
        LogicalPlan::SubqueryAlias(alias) => lower(&alias.input),
        LogicalPlan::Repartition(repartition) => lower(&repartition.input),
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any();
            let schema = plan.schema().inner().clone();
            if let Some(repeat) = node.downcast_ref::<Repeat>() {
                return Ok(Plan::Repeat { input: lower(&repeat.input)?.into(), count: repeat.count(), schema });
            }
            match node.downcast_ref::<Series>().map(|series| leaf::series(series, schema)) {
                Some(series) => series,
                None => Err(refusal::of_plan(plan)),
            }
        }
        other => Err(refusal::of_plan(other)),
    }
}
