//! GROUP BY: keys, arguments, filters and orders become columns of a Map below one Reduce.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{AggregateFunction as LogicalFunction, AggregateFunctionParams, NullTreatment};
use datafusion::logical_expr::{Aggregate as LogicalAggregate, AggregateUDF, Expr, ExprSchemable};

use super::bound_aggregate::BoundAggregate;
use super::scalar::Extended;
use super::{lower, refusal};
use crate::dataflow::plan::{Aggregate, AggregateFunction, Plan, SortKey};
use crate::types::{Error, Result};

pub fn lower_aggregate(aggregate: &LogicalAggregate) -> Result<Plan> {
    let names = aggregate.input.schema();
    let mut input = Extended::new(lower(&aggregate.input)?);
    let mut keys: Vec<usize> = vec![];
    let mut seen: Vec<&Expr> = vec![];
    for key in &aggregate.group_expr {
        if matches!(key, Expr::GroupingSet(_)) {
            return Err(Error::internal("a grouping set was not expanded"));
        }
        // DataFusion gives a key that is written twice one column.
        if !seen.contains(&key) {
            seen.push(key);
            keys.push(input.position_of(key, names)?);
        }
    }
    let fields = aggregate.schema.fields().iter().skip(keys.len());
    let aggregates = aggregate.aggr_expr.iter().zip(fields).map(|(expression, field)| {
        let LogicalFunction { func, params } = function_of(expression)?;
        lower_function(func, params, &mut input, names)
            .map(|lowered| Aggregate { data_type: field.data_type().clone(), ..lowered })
    });
    let mut aggregates = aggregates.collect::<Result<Vec<_>>>()?;

    let used: Vec<usize> = keys.iter().copied().chain(aggregates.iter().flat_map(columns_of)).collect();
    let (input, places) = input.finish_with(&used);
    keys.iter_mut().for_each(|key| *key = places[*key]);
    aggregates.iter_mut().for_each(|aggregate| replace_columns(aggregate, &places));
    Ok(Plan::Reduce { input: input.into(), keys, aggregates, schema: aggregate.schema.inner().clone() })
}

fn function_of(expression: &Expr) -> Result<&LogicalFunction> {
    match expression {
        Expr::Alias(alias) => function_of(&alias.expr),
        Expr::AggregateFunction(function) => Ok(function),
        other => Err(Error::internal(format!("{other} is not an aggregate"))),
    }
}

fn lower_function(
    function: &Arc<AggregateUDF>,
    parameters: &AggregateFunctionParams,
    input: &mut Extended,
    names: &DFSchema,
) -> Result<Aggregate> {
    let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } = parameters;
    let known = match function.name() {
        "count" if args.len() == 1 => Some(AggregateFunction::Count),
        "sum" => Some(AggregateFunction::Sum),
        "avg" => Some(AggregateFunction::Avg),
        "min" => Some(AggregateFunction::Min),
        "max" => Some(AggregateFunction::Max),
        _ => None,
    };
    let filter = filter.as_deref().map(|filter| input.position_of(filter, names)).transpose()?;
    let base = |function, arguments, order_by| Aggregate {
        function,
        arguments,
        distinct: *distinct,
        filter,
        order_by,
        // The caller knows the output's field.
        data_type: arrow::datatypes::DataType::Null,
    };
    if let Some(known) = known {
        let counts_rows = matches!(known, AggregateFunction::Count) && !distinct && !args[0].nullable(names)?;
        let arguments = match counts_rows {
            true => vec![],
            false => args.iter().map(|argument| input.position_of(argument, names)).collect::<Result<_>>()?,
        };
        // None of these depends on the order of its rows.
        return Ok(base(known, arguments, vec![]));
    }
    let order_by = order_by.iter().map(|key| {
        let column = input.position_of(&key.expr, names)?;
        Ok(SortKey { column, descending: !key.asc, nulls_first: key.nulls_first })
    });
    let order_by = order_by.collect::<Result<Vec<_>>>()?;
    if args.iter().any(|argument| matches!(argument, Expr::Unnest(_))) {
        return Err(refusal::of_aggregate_option("unnest() in an aggregate"));
    }
    // A literal must reach the accumulator as a literal: string_agg reads its separator when it is made.
    let is_literal = |argument: &&Expr| matches!(argument, Expr::Literal(..));
    let ignore_nulls = *null_treatment == Some(NullTreatment::IgnoreNulls);
    let columns = args.iter().filter(|argument| !is_literal(argument));
    let arguments = columns.map(|argument| input.position_of(argument, names)).collect::<Result<Vec<_>>>()?;
    let bound = match arguments.len() == args.len() && !ignore_nulls {
        true => function.clone(),
        false => Arc::new(AggregateUDF::from(BoundAggregate::new(function.clone(), args, ignore_nulls, names)?)),
    };
    Ok(base(AggregateFunction::Other(bound), arguments, order_by))
}

fn columns_of(aggregate: &Aggregate) -> Vec<usize> {
    let order = aggregate.order_by.iter().map(|key| key.column);
    aggregate.arguments.iter().copied().chain(aggregate.filter).chain(order).collect()
}

fn replace_columns(aggregate: &mut Aggregate, places: &[usize]) {
    aggregate.arguments.iter_mut().for_each(|column| *column = places[*column]);
    aggregate.filter.iter_mut().for_each(|column| *column = places[*column]);
    aggregate.order_by.iter_mut().for_each(|key| key.column = places[key.column]);
}
