//! Aggregate functions with PostgreSQL's types, made of the same parts as the maintained ones.

mod total;

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;

pub fn functions() -> Vec<Arc<AggregateUDF>> {
    vec![Arc::new(total::Total::sum().into()), Arc::new(total::Total::average().into())]
}
