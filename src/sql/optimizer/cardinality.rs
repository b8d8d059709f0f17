//! How many rows a plan can have, where that matters: whether it is one at most, whether it is always one.
//!
//! `LogicalPlan::max_rows` says that a SELECT without FROM has none, so that a UNION of two would have none either.

use datafusion::logical_expr::{Distinct, FetchType, JoinType, LogicalPlan};

pub fn at_most_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => at_most_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => at_most_one_row(&alias.input),
        LogicalPlan::Filter(filter) => at_most_one_row(&filter.input),
        LogicalPlan::Window(window) => at_most_one_row(&window.input),
        LogicalPlan::Sort(sort) => sort.fetch.is_some_and(|rows| rows <= 1) || at_most_one_row(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => at_most_one_row(input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty() || at_most_one_row(&aggregate.input),
        LogicalPlan::Limit(limit) => {
            let fetch = limit.get_fetch_type();
            matches!(fetch, Ok(FetchType::Literal(Some(0 | 1)))) || at_most_one_row(&limit.input)
        }
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Values(values) => values.values.len() <= 1,
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right => {
                at_most_one_row(&join.left) && at_most_one_row(&join.right)
            }
            JoinType::LeftSemi | JoinType::LeftAnti => at_most_one_row(&join.left),
            JoinType::RightSemi | JoinType::RightAnti => at_most_one_row(&join.right),
            JoinType::Full | JoinType::LeftMark | JoinType::RightMark => false,
        },
        _ => false,
    }
}

pub fn exactly_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => exactly_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => exactly_one_row(&alias.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Values(values) => values.values.len() == 1,
        _ => false,
    }
}
