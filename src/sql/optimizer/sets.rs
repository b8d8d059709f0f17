//! EXCEPT ALL and INTERSECT ALL with PostgreSQL's multiplicities.
//!
//! DataFusion plans them as anti and semi joins, which drop or keep all copies of a row alike. Here the rows of both
//! sides are counted together and each is repeated as often as it should appear:
//! ```text
//!   Repeat  max(left - right, 0) times for EXCEPT ALL, min(left, right) for INTERSECT ALL
//!     Aggregate  by all columns, count(of the left), count(of the right)
//!       Union  of the left with a mark for the left, and the right with a mark for the right
//! ```
//! Without ALL the left side is made distinct first, and then the joins (NULLs equal each other) are right.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, NullEquality, Result as DataFusionResult, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, Extension, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Union, lit, when,
};
use datafusion::optimizer::analyzer::AnalyzerRule;

use super::names::named_as;
use super::repeat::Repeat;

#[derive(Debug)]
pub struct CountSetOperations;

impl AnalyzerRule for CountSetOperations {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(join) if is_set_operation_with_all(&join) => count_rows(join).map(Transformed::yes),
            other => Ok(Transformed::no(other)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "count_set_operations"
    }
}

/// What `LogicalPlanBuilder::except` and `intersect` make; nothing else joins on all columns with NULLs equal yet.
fn is_set_operation_with_all(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == join.left.schema().fields().len()
        && !matches!(*join.left, LogicalPlan::Distinct(Distinct::All(_)))
}

const LEFT: &str = "__left";
const RIGHT: &str = "__right";

fn count_rows(join: Join) -> DataFusionResult<LogicalPlan> {
    let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = join.on.into_iter().unzip();
    let column = |position: usize| Expr::Column(Column::new_unqualified(format!("__column_{position}")));
    let named = |keys: Vec<Expr>| {
        let aliased = keys.into_iter().enumerate();
        aliased.map(|(position, key)| key.alias(format!("__column_{position}"))).collect::<Vec<_>>()
    };
    let width = left_keys.len();
    let (mark, no_mark) = (lit(1i64), lit(ScalarValue::Int64(None)));
    let left = named(left_keys).into_iter().chain([mark.clone().alias(LEFT), no_mark.clone().alias(RIGHT)]);
    let right = named(right_keys).into_iter().chain([no_mark.alias(LEFT), mark.alias(RIGHT)]);

    let schema = join.left.schema().clone();
    let marked = [
        LogicalPlanBuilder::from(Arc::unwrap_or_clone(join.left)).project(left)?.build()?,
        LogicalPlanBuilder::from(Arc::unwrap_or_clone(join.right)).project(right)?.build()?,
    ];
    let both = LogicalPlan::Union(Union::try_new(marked.into_iter().map(Arc::new).collect())?);

    let count = |mark: &str| count_udaf().call(vec![Expr::Column(Column::new_unqualified(mark))]).alias(mark);
    let counted = LogicalPlanBuilder::from(both).aggregate((0..width).map(column), [count(LEFT), count(RIGHT)])?;
    let of = |mark: &str| Expr::Column(Column::new_unqualified(mark));
    let copies = match join.join_type {
        JoinType::LeftAnti => of(LEFT) - of(RIGHT),
        _ => when(of(LEFT).lt(of(RIGHT)), of(LEFT)).otherwise(of(RIGHT))?,
    };
    let counted = counted.project((0..width).map(column).chain([copies.alias("__copies")]))?.build()?;
    let repeated = LogicalPlan::Extension(Extension { node: Arc::new(Repeat::try_new(counted)?) });

    let back = schema.iter().enumerate().map(|(position, field)| {
        let value = column(position);
        let same = value.get_type(repeated.schema())? == *field.1.data_type();
        let value = if same { value } else { Expr::Cast(Cast::new(Box::new(value), field.1.data_type().clone())) };
        Ok(named_as(value, &Column::from(field)))
    });
    let back = back.collect::<DataFusionResult<Vec<_>>>()?;
    LogicalPlanBuilder::from(repeated).project(back)?.build()
}
