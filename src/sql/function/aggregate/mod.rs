//! Aggregate functions with PostgreSQL's types, made of the same parts as the maintained ones.

mod retyped;
mod total;
mod variance;

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::functions_aggregate::bool_and_or::bool_and_udaf;
use datafusion::functions_aggregate::string_agg::string_agg_udaf;
use datafusion::logical_expr::AggregateUDF;

pub fn functions() -> Vec<Arc<AggregateUDF>> {
    let mut functions: Vec<AggregateUDF> = vec![
        total::Total::sum().into(),
        total::Total::average().into(),
        bool_and_udaf().as_ref().clone().with_aliases(["every"]),
        AggregateUDF::from(retyped::Retyped::new(string_agg_udaf(), DataType::Utf8)),
    ];
    functions.extend(variance::Spread::all().into_iter().map(AggregateUDF::from));
    functions.into_iter().map(Arc::new).collect()
}
