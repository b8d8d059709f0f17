//! Which columns of a plan's result are unique together: a view's key, by which it is arranged and looked up.

use datafusion::common::DFSchema;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Distinct, Expr, Join, JoinType, LogicalPlan, Projection, TableScan};

use super::scalar::column_position;
use super::top_k::bound_of;
use crate::sql::optimizer::at_most_one_row;
use crate::sql::{RelationRef, RelationSource};

/// Positions of columns that are unique together, if such follow from the plan; none at all means at most one row.
/// `primary_key` says what is known of a relation.
pub fn infer_key(plan: &LogicalPlan, primary_key: &dyn Fn(&RelationRef) -> Option<Vec<usize>>) -> Option<Vec<usize>> {
    if at_most_one_row(plan) {
        return Some(vec![]);
    }
    let below = |input: &LogicalPlan| infer_key(input, primary_key);
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            Some((0..aggregate.schema.fields().len() - aggregate.aggr_expr.len()).collect())
        }
        LogicalPlan::Distinct(Distinct::All(input)) => Some((0..input.schema().fields().len()).collect()),
        LogicalPlan::Projection(projection) => projected(below(&projection.input)?, projection),
        LogicalPlan::Filter(filter) => {
            let first = split_conjunction(&filter.predicate).into_iter().filter_map(|c| bound_of(c, &filter.input));
            match first.min() {
                Some(1) => first_of_group(&filter.input),
                Some(0) => Some(vec![]),
                _ => below(&filter.input),
            }
        }
        LogicalPlan::Sort(sort) => below(&sort.input),
        LogicalPlan::Limit(limit) => below(&limit.input),
        LogicalPlan::SubqueryAlias(alias) => below(&alias.input),
        LogicalPlan::Repartition(repartition) => below(&repartition.input),
        LogicalPlan::Window(window) => below(&window.input),
        LogicalPlan::Join(join) => joined(join, &below),
        LogicalPlan::TableScan(scan) => scanned(scan, primary_key),
        _ => None,
    }
}

/// The key's columns after a projection, if all of them survive.
fn projected(key: Vec<usize>, projection: &Projection) -> Option<Vec<usize>> {
    let columns: Vec<_> =
        projection.expr.iter().map(|expression| column_position(expression, projection.input.schema())).collect();
    key.into_iter().map(|wanted| columns.iter().position(|column| *column == Some(wanted))).collect()
}

/// The groups of the row_number() of which only the first rows are kept.
fn first_of_group(plan: &LogicalPlan) -> Option<Vec<usize>> {
    match plan {
        LogicalPlan::Projection(projection) => projected(first_of_group(&projection.input)?, projection),
        LogicalPlan::SubqueryAlias(alias) => first_of_group(&alias.input),
        LogicalPlan::Window(window) => match window.window_expr.first().map(strip_alias)? {
            Expr::WindowFunction(function) => {
                let groups = function.params.partition_by.iter();
                groups.map(|group| column_position(group, window.input.schema())).collect()
            }
            _ => None,
        },
        _ => None,
    }
}

fn strip_alias(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => strip_alias(&alias.expr),
        other => other,
    }
}

/// Pairs of rows are named by both sides' keys; where one side's key is what is joined by, the other's is enough.
fn joined(join: &Join, below: &dyn Fn(&LogicalPlan) -> Option<Vec<usize>>) -> Option<Vec<usize>> {
    let columns = |side: fn(&(Expr, Expr)) -> &Expr, schema: &DFSchema| -> Vec<usize> {
        join.on.iter().filter_map(|pair| column_position(side(pair), schema)).collect()
    };
    let left_width = join.left.schema().fields().len();
    match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => below(&join.left),
        JoinType::RightSemi | JoinType::RightAnti => below(&join.right),
        // A row that found no partner has NULLs for the other side's key, which may be NULL itself.
        JoinType::Full | JoinType::LeftMark | JoinType::RightMark => None,
        JoinType::Inner | JoinType::Left | JoinType::Right => {
            let (left, right) = (below(&join.left)?, below(&join.right)?);
            let by_left = columns(|pair| &pair.0, join.left.schema());
            let by_right = columns(|pair| &pair.1, join.right.schema());
            let right_is_one = right.iter().all(|column| by_right.contains(column));
            let left_is_one = left.iter().all(|column| by_left.contains(column));
            let shifted: Vec<usize> = right.into_iter().map(|column| column + left_width).collect();
            Some(match join.join_type {
                JoinType::Inner | JoinType::Left if right_is_one => left,
                JoinType::Inner | JoinType::Right if left_is_one => shifted,
                _ => left.into_iter().chain(shifted).collect(),
            })
        }
    }
}

fn scanned(scan: &TableScan, primary_key: &dyn Fn(&RelationRef) -> Option<Vec<usize>>) -> Option<Vec<usize>> {
    let source = scan.source.downcast_ref::<RelationSource>()?;
    let key = primary_key(&source.reference)?;
    match &scan.projection {
        None => Some(key),
        Some(kept) => key.into_iter().map(|column| kept.iter().position(|&position| position == column)).collect(),
    }
}
