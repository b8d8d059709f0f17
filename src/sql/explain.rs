//! EXPLAIN: one line per operator, indented below what it feeds.
//!
//! A dataflow's lines end with the state that the operator keeps, and by which columns it is arranged; an operator
//! without such an ending keeps nothing.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::{ExecutionPlan, displayable};

use crate::dataflow::plan::{Aggregate, AggregateFunction, JoinKind, Plan, Scalar, SortKey};
use crate::types::ObjectId;

/// The operators of a batch plan, as DataFusion names them.
pub fn explain_batch(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    displayable(plan.as_ref()).indent(false).to_string().lines().map(str::to_string).collect()
}

/// The operators of a dataflow; `name_of` says what its objects are called.
pub fn explain_dataflow(plan: &Plan, name_of: &dyn Fn(ObjectId) -> String) -> Vec<String> {
    let mut lines = vec![];
    add_lines(plan, name_of, 0, &mut lines);
    lines
}

fn add_lines(plan: &Plan, name_of: &dyn Fn(ObjectId) -> String, depth: usize, lines: &mut Vec<String>) {
    lines.push(format!("{}{}", "  ".repeat(depth), line(plan, name_of)));
    plan.inputs().into_iter().for_each(|input| add_lines(input, name_of, depth + 1, lines));
}

fn line(plan: &Plan, name_of: &dyn Fn(ObjectId) -> String) -> String {
    match plan {
        Plan::Get { object, .. } => format!("Get {}", name_of(*object)),
        Plan::Constant { rows } => format!("Constant: {} rows", rows.num_rows()),
        Plan::Map { expressions, schema, .. } => {
            let named = expressions.iter().zip(schema.fields());
            format!("Map: {}", list(named.map(|(expression, field)| named_text(expression, field.name()))))
        }
        Plan::Filter { predicate, .. } => format!("Filter: {}", text(predicate)),
        Plan::Union { .. } => "Union".into(),
        Plan::Repeat { input, count, .. } => format!("Repeat: {} times", input.schema().field(*count).name()),
        Plan::Join { left, right, kind, keys, nulls_equal, filter, .. } => {
            let (left, right) = (left.schema(), right.schema());
            join_line(&left, &right, *kind, keys, *nulls_equal, filter.as_ref())
        }
        Plan::Reduce { input, keys, aggregates, .. } => reduce_line(&input.schema(), keys, aggregates),
        Plan::TopK { input, keys, order, offset, limit, row_number, .. } => {
            let schema = input.schema();
            let mut parts = vec![];
            if !order.is_empty() {
                parts.push(format!("order by {}", order_text(&schema, order)));
            }
            parts.extend(limit.map(|limit| format!("limit {limit}")));
            parts.extend((*offset > 0).then(|| format!("offset {offset}")));
            parts.extend(row_number.then(|| "row_number".to_string()));
            let state = format!("keeps its input by {}, ordered", key_text(&schema, keys));
            format!("TopK by {}: {} ({state})", key_text(&schema, keys), parts.join(", "))
        }
    }
}

fn join_line(
    left: &Schema,
    right: &Schema,
    kind: JoinKind,
    keys: &[(usize, usize)],
    nulls_equal: bool,
    filter: Option<&Scalar>,
) -> String {
    let kind = match kind {
        JoinKind::Inner if keys.is_empty() => "cross",
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
        JoinKind::LeftSemi => "semi",
        JoinKind::LeftAnti => "anti",
    };
    let operator = if nulls_equal { "is not distinct from" } else { "=" };
    let pair = |&(l, r): &(usize, usize)| format!("{} {operator} {}", left.field(l).name(), right.field(r).name());
    let conditions: Vec<String> = keys.iter().map(pair).chain(filter.map(text)).collect();
    let (left_keys, right_keys): (Vec<usize>, Vec<usize>) = keys.iter().copied().unzip();
    let state = format!("keeps left by {}, right by {}", key_text(left, &left_keys), key_text(right, &right_keys));
    match conditions.is_empty() {
        true => format!("Join {kind} ({state})"),
        false => format!("Join {kind}: {} ({state})", conditions.join(" and ")),
    }
}

fn reduce_line(input: &Schema, keys: &[usize], aggregates: &[Aggregate]) -> String {
    let by = key_text(input, keys);
    if aggregates.is_empty() {
        return format!("Distinct: {by} (keeps counts by {by})");
    }
    let functions = list(aggregates.iter().map(|aggregate| aggregate_text(input, aggregate)));
    let is = |test: fn(&Aggregate) -> bool| aggregates.iter().any(test);
    let mut kept = vec![];
    if is(|a| {
        !a.distinct && matches!(a.function, AggregateFunction::Count | AggregateFunction::Sum | AggregateFunction::Avg)
    }) {
        kept.push("its result");
    }
    if is(|a| matches!(a.function, AggregateFunction::Min | AggregateFunction::Max)) {
        kept.push("its input ordered");
    }
    if is(|a| a.distinct && !matches!(a.function, AggregateFunction::Min | AggregateFunction::Max)) {
        kept.push("distinct values");
    }
    if is(|a| !a.distinct && matches!(a.function, AggregateFunction::Other(_))) {
        kept.push("its input");
    }
    format!("Reduce by {by}: {functions} (keeps {} by {by})", kept.join(" and "))
}

fn aggregate_text(input: &Schema, aggregate: &Aggregate) -> String {
    let name = match &aggregate.function {
        AggregateFunction::Count => "count",
        AggregateFunction::Sum => "sum",
        AggregateFunction::Avg => "avg",
        AggregateFunction::Min => "min",
        AggregateFunction::Max => "max",
        AggregateFunction::Other(function) => function.name(),
    };
    let arguments = match aggregate.arguments.is_empty() {
        true => "*".to_string(),
        false => names(input, &aggregate.arguments),
    };
    let distinct = if aggregate.distinct { "distinct " } else { "" };
    let order = match aggregate.order_by.is_empty() {
        true => String::new(),
        false => format!(" order by {}", order_text(input, &aggregate.order_by)),
    };
    let filter = aggregate.filter.map(|filter| format!(" filter ({})", input.field(filter).name()));
    format!("{name}({distinct}{arguments}{order}){}", filter.unwrap_or_default())
}

fn order_text(schema: &Schema, order: &[SortKey]) -> String {
    list(order.iter().map(|key| {
        let direction = if key.descending { " desc" } else { "" };
        // PostgreSQL's default puts NULLs last when ascending and first when descending.
        let nulls = match (key.descending, key.nulls_first) {
            (false, true) => " nulls first",
            (true, false) => " nulls last",
            _ => "",
        };
        format!("{}{direction}{nulls}", schema.field(key.column).name())
    }))
}

/// The columns in parentheses; none is one group of everything.
fn key_text(schema: &Schema, keys: &[usize]) -> String {
    format!("({})", names(schema, keys))
}

fn names(schema: &Schema, columns: &[usize]) -> String {
    list(columns.iter().map(|&column| schema.field(column).name().clone()))
}

fn list(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn named_text(expression: &Scalar, name: &str) -> String {
    let text = text(expression);
    if text == name { text } else { format!("{text} as {name}") }
}

/// The expression with its columns' bare names.
fn text(expression: &Scalar) -> String {
    let bare = expression.logical.clone().transform(|part| match part {
        Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))),
        other => Ok(Transformed::no(other)),
    });
    bare.data().map_or_else(|_| expression.logical.human_display().to_string(), |bare| bare.human_display().to_string())
}
