//! ORDER BY with LIMIT, and row_number(): rows kept or numbered by their position in an order.
//!
//! `WHERE n <= k` over a row_number() is where a top-k per group comes from, so Filter looks through projections for it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, FetchType, Filter, Limit, LogicalPlan, Operator, SkipType, SortExpr, Window,
};
use datafusion::scalar::ScalarValue;

use super::scalar::{self, Extended};
use super::{lower, refusal};
use crate::dataflow::plan::{Plan, SortKey};
use crate::types::{Error, Result};

/// The rows `skip..skip + fetch` of what `plan` gives in its order.
pub fn limited(plan: &LogicalPlan, skip: u64, fetch: Option<u64>) -> Result<Plan> {
    match plan {
        LogicalPlan::Limit(limit) => {
            let (own_skip, own_fetch) = limits(limit)?;
            limited(&limit.input, own_skip + skip, within(own_fetch, skip, fetch))
        }
        LogicalPlan::Sort(sort) => {
            let own_fetch = sort.fetch.map(|rows| rows as u64);
            let input = Extended::new(lower(&sort.input)?);
            let cut = Cut { offset: skip, limit: within(own_fetch, skip, fetch), row_number: false };
            top_k(input, sort.input.schema(), &[], &sort.expr, cut)
        }
        LogicalPlan::Projection(projection) => {
            let input = limited(&projection.input, skip, fetch)?;
            scalar::project(input, &projection.expr, projection.input.schema(), &projection.schema)
        }
        LogicalPlan::SubqueryAlias(alias) => limited(&alias.input, skip, fetch),
        // The tie rule puts an order below every limit, but where there is one row at most.
        other => {
            let cut = Cut { offset: skip, limit: fetch, row_number: false };
            top_k(Extended::new(lower(other)?), other.schema(), &[], &[], cut)
        }
    }
}

/// How many rows remain of `own` when `skip` of them are skipped and at most `fetch` are wanted.
fn within(own: Option<u64>, skip: u64, fetch: Option<u64>) -> Option<u64> {
    let left = own.map(|rows| rows.saturating_sub(skip));
    left.into_iter().chain(fetch).min()
}

fn limits(limit: &Limit) -> Result<(u64, Option<u64>)> {
    match (limit.get_skip_type()?, limit.get_fetch_type()?) {
        (SkipType::Literal(skip), FetchType::Literal(fetch)) => Ok((skip as u64, fetch.map(|rows| rows as u64))),
        _ => Err(Error::unsupported("a parameter in LIMIT or OFFSET is not supported in a materialized view")),
    }
}

/// Which rows of an order are kept, and whether their position becomes a column.
#[derive(Clone, Copy)]
struct Cut {
    offset: u64,
    limit: Option<u64>,
    row_number: bool,
}

/// A TopK over `input`, whose columns `names` names; the result has the input's columns, then the position.
fn top_k(mut input: Extended, names: &DFSchema, groups: &[Expr], order: &[SortExpr], cut: Cut) -> Result<Plan> {
    let width = input.plan.schema().fields().len();
    let keys = groups.iter().map(|group| input.position_of(group, names)).collect::<Result<Vec<_>>>()?;
    let sort = order.iter().map(|key| {
        let column = input.position_of(&key.expr, names)?;
        Ok(SortKey { column, descending: !key.asc, nulls_first: key.nulls_first })
    });
    let order = without_ties(sort.collect::<Result<Vec<_>>>()?, &keys, width);
    let added = input.added();
    let input = input.finish();
    let mut fields: Vec<Arc<Field>> = input.schema().fields().to_vec();
    if cut.row_number {
        fields.push(Arc::new(Field::new("row_number", DataType::Int64, false)));
    }
    let schema = Arc::new(Schema::new(fields));
    let Cut { offset, limit, row_number } = cut;
    let plan = Plan::TopK { input: input.into(), keys, order, offset, limit, row_number, schema: schema.clone() };
    if added == 0 {
        return Ok(plan);
    }
    let kept: Vec<usize> = (0..width).chain(row_number.then_some(width + added)).collect();
    let fields = kept.iter().map(|&position| schema.fields()[position].clone()).collect::<Vec<_>>();
    Ok(scalar::select(plan, &kept, Arc::new(Schema::new(fields))))
}

/// The order without the columns that can't decide (groups, repetitions) and without those at its end that say what
/// a TopK does anyway: all columns from the left, ascending, NULLs last.
fn without_ties(order: Vec<SortKey>, keys: &[usize], width: usize) -> Vec<SortKey> {
    let mut deciding: Vec<SortKey> = vec![];
    for key in order {
        let decided = keys.contains(&key.column) || deciding.iter().any(|earlier| earlier.column == key.column);
        if !decided {
            deciding.push(key);
        }
    }
    let says_ties = |length: &usize| {
        let (prefix, tail) = deciding.split_at(*length);
        let in_prefix = |column: usize| prefix.iter().any(|key| key.column == column);
        let rest = (0..width).filter(|&column| !keys.contains(&column) && !in_prefix(column));
        let ties: Vec<SortKey> = rest.map(|column| SortKey { column, descending: false, nulls_first: false }).collect();
        ties == tail
    };
    let length = (0..deciding.len()).find(says_ties).unwrap_or(deciding.len());
    deciding.truncate(length);
    deciding
}

/// A window of row_number()s, of which the first `limit` rows per group are wanted.
pub fn number(window: &Window, limit: Option<u64>) -> Result<Plan> {
    let names = window.input.schema();
    let mut plan = lower(&window.input)?;
    for expression in &window.window_expr {
        let params = row_number(expression)?;
        let cut = Cut { offset: 0, limit, row_number: true };
        plan = top_k(Extended::new(plan), names, &params.partition_by, &params.order_by, cut)?;
    }
    scalar::cast_to(plan, window.schema.inner())
}

fn row_number(expression: &Expr) -> Result<&WindowFunctionParams> {
    match expression {
        Expr::Alias(alias) => row_number(&alias.expr),
        Expr::WindowFunction(function) => {
            let WindowFunction { fun, params } = function.as_ref();
            match fun.name() {
                "row_number" => Ok(params),
                other => Err(refusal::of_window_function(other)),
            }
        }
        other => Err(Error::internal(format!("{other} is not a window function"))),
    }
}

pub fn filter(filter: &Filter) -> Result<Plan> {
    let conjuncts = split_conjunction(&filter.predicate);
    let bound = |conjunct: &&&Expr| bound_of(conjunct, &filter.input);
    let limit = conjuncts.iter().filter_map(|conjunct| bound(&conjunct)).min();
    let Some(limit) = limit else {
        return keep(lower(&filter.input)?, &filter.predicate, filter.input.schema());
    };
    let input = lower_bounded(&filter.input, limit)?;
    let rest = conjuncts.iter().filter(|conjunct| bound(conjunct).is_none());
    match conjunction(rest.map(|&conjunct| conjunct.clone())) {
        None => Ok(input),
        Some(rest) => keep(input, &rest, filter.input.schema()),
    }
}

fn keep(input: Plan, predicate: &Expr, names: &DFSchema) -> Result<Plan> {
    Ok(Plan::Filter { predicate: scalar::scalar(predicate, names)?, input: input.into() })
}

/// k, if the conjunct says that a row_number() below is at most k, and nothing else.
pub fn bound_of(conjunct: &Expr, input: &LogicalPlan) -> Option<u64> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else {
        return None;
    };
    let (column, operator, literal) = match (strip_cast(left), strip_cast(right)) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
        _ => return None,
    };
    let ScalarValue::Int64(Some(literal)) = literal.cast_to(&DataType::Int64).ok()? else {
        return None;
    };
    let bound = match operator {
        Operator::LtEq => literal,
        Operator::Lt => literal.saturating_sub(1),
        Operator::Eq if literal == 1 => 1,
        _ => return None,
    };
    let position = input.schema().maybe_index_of_column(column)?;
    is_row_number(input, position).then_some(bound.max(0) as u64)
}

/// Integers only change their width on the way up from a window.
fn strip_cast(expression: &Expr) -> &Expr {
    match expression {
        Expr::Cast(cast) if cast.field.data_type().is_integer() => strip_cast(&cast.expr),
        Expr::Alias(alias) => strip_cast(&alias.expr),
        other => other,
    }
}

/// Whether the column is that of a window which computes one row_number() and nothing else.
fn is_row_number(plan: &LogicalPlan, position: usize) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            let column = scalar::column_position(strip_cast(&projection.expr[position]), projection.input.schema());
            column.is_some_and(|column| is_row_number(&projection.input, column))
        }
        LogicalPlan::SubqueryAlias(alias) => is_row_number(&alias.input, position),
        LogicalPlan::Window(window) => {
            position == window.input.schema().fields().len()
                && window.window_expr.len() == 1
                && row_number(&window.window_expr[0]).is_ok()
        }
        _ => false,
    }
}

/// What [`is_row_number`] has seen: projections over a window.
fn lower_bounded(plan: &LogicalPlan, limit: u64) -> Result<Plan> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let input = lower_bounded(&projection.input, limit)?;
            scalar::project(input, &projection.expr, projection.input.schema(), &projection.schema)
        }
        LogicalPlan::SubqueryAlias(alias) => lower_bounded(&alias.input, limit),
        LogicalPlan::Window(window) => number(window, Some(limit)),
        other => lower(other),
    }
}
