//! GROUPING SETS, ROLLUP and CUBE as a union of plain aggregations, one per set.
//!
//! DataFusion computes them in one pass over a grouping id, which loses repeated sets (`GROUPING SETS ((), ())` is two
//! rows) and the row that an empty set has when there is no input. A union of aggregations is right by construction,
//! is something that the dataflow can run, and makes `grouping()` a constant in each branch.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result as DataFusionResult, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder, Union, lit};
use datafusion::optimizer::analyzer::AnalyzerRule;

use super::names::named_as;
use crate::types::{Error, SqlState};

/// PostgreSQL's own limit.
const SETS_MAX: usize = 4096;

#[derive(Debug)]
pub struct ExpandGroupingSets;

impl AnalyzerRule for ExpandGroupingSets {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Aggregate(aggregate) => expand(aggregate),
            other => Ok(Transformed::no(other)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "expand_grouping_sets"
    }
}

fn expand(aggregate: Aggregate) -> DataFusionResult<Transformed<LogicalPlan>> {
    let (keys, sets) = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(grouping)] => {
            let keys: Vec<Expr> = grouping.distinct_expr().into_iter().cloned().collect();
            (keys, grouping_sets(grouping)?)
        }
        keys if aggregate.aggr_expr.iter().any(|function| grouping_arguments(function).is_some()) => {
            (keys.to_vec(), vec![keys.to_vec()])
        }
        _ => return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))),
    };
    // The grouping id is DataFusion's own column; what refers to it is gone with grouping().
    let kept = |column: &Column| column.name != Aggregate::INTERNAL_GROUPING_ID;
    let output: Vec<Column> = aggregate.schema.columns().into_iter().filter(kept).collect();

    let branches = sets.iter().map(|set| branch(&aggregate, &keys, set, &output).map(Arc::new));
    let mut branches = branches.collect::<DataFusionResult<Vec<_>>>()?;
    let plan = match branches.len() {
        1 => Arc::unwrap_or_clone(branches.remove(0)),
        _ => {
            let union = LogicalPlan::Union(Union::try_new_with_loose_types(branches)?);
            let columns = union.schema().columns();
            let back = columns.into_iter().zip(&output).map(|(from, to)| named_as(Expr::Column(from), to));
            let back: Vec<Expr> = back.collect();
            LogicalPlanBuilder::from(union).project(back)?.build()?
        }
    };
    Ok(Transformed::yes(plan))
}

fn grouping_sets(grouping: &GroupingSet) -> DataFusionResult<Vec<Vec<Expr>>> {
    let sets = match grouping {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(keys) => (0..=keys.len()).rev().map(|length| keys[..length].to_vec()).collect(),
        GroupingSet::Cube(keys) if keys.len() < 13 => {
            let members = |bits: usize| keys.iter().enumerate().filter(move |(position, _)| bits >> position & 1 == 1);
            (0..1usize << keys.len()).rev().map(|bits| members(bits).map(|(_, key)| key.clone()).collect()).collect()
        }
        GroupingSet::Cube(_) => return Err(too_many_sets().into()),
    };
    if sets.len() > SETS_MAX {
        return Err(too_many_sets().into());
    }
    Ok(sets)
}

fn too_many_sets() -> Error {
    Error::new(SqlState::STATEMENT_TOO_COMPLEX, format!("too many grouping sets present (maximum {SETS_MAX})"))
}

/// The aggregation by one set, with NULL for the keys that are not in it.
fn branch(aggregate: &Aggregate, keys: &[Expr], set: &[Expr], output: &[Column]) -> DataFusionResult<LogicalPlan> {
    let mut set_keys: Vec<Expr> = vec![];
    set.iter().for_each(|key| {
        if !set_keys.contains(key) {
            set_keys.push(key.clone())
        }
    });
    let computed: Vec<&Expr> = aggregate.aggr_expr.iter().filter(|each| grouping_arguments(each).is_none()).collect();
    let mut functions: Vec<Expr> = computed.into_iter().cloned().collect();
    if set_keys.is_empty() && functions.is_empty() {
        functions.push(count_udaf().call(vec![lit(1i64)]).alias("__rows"));
    }
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(aggregate.input.clone(), set_keys.clone(), functions)?);
    let columns = plan.schema().columns();
    let mut results = columns[set_keys.len()..].iter();

    let key_values = keys.iter().map(|key| match set_keys.iter().position(|member| member == key) {
        Some(position) => Ok(Expr::Column(columns[position].clone())),
        // Types are settled later, across the union.
        None => Ok(lit(ScalarValue::Null)),
    });
    let values = key_values.chain(aggregate.aggr_expr.iter().map(|function| match grouping_arguments(function) {
        Some(arguments) => grouping(arguments, keys, &set_keys),
        None => {
            let column = results.next().expect("each function that is not grouping() is computed");
            Ok(Expr::Column(column.clone()))
        }
    }));
    let values = values.collect::<DataFusionResult<Vec<_>>>()?;
    let named = values.into_iter().zip(output).map(|(value, column)| named_as(value, column));
    LogicalPlanBuilder::from(plan).project(named.collect::<Vec<_>>())?.build()
}

/// The arguments of `grouping(...)`, possibly under an alias.
fn grouping_arguments(function: &Expr) -> Option<&[Expr]> {
    match function {
        Expr::Alias(alias) => grouping_arguments(&alias.expr),
        Expr::AggregateFunction(AggregateFunction { func, params }) if func.name() == "grouping" => Some(&params.args),
        _ => None,
    }
}

/// A bit per argument, the last one lowest: 1 if the set does not group by it.
fn grouping(arguments: &[Expr], keys: &[Expr], set: &[Expr]) -> DataFusionResult<Expr> {
    let mut bits = 0i32;
    for argument in arguments {
        if !keys.contains(argument) {
            let message = "arguments to GROUPING must be grouping expressions of the associated query level";
            return Err(Error::new(SqlState::GROUPING_ERROR, message).into());
        }
        bits = bits << 1 | i32::from(!set.contains(argument));
    }
    Ok(lit(bits))
}
