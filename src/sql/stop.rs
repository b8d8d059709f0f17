//! Ends a query that nobody waits for any more, where DataFusion does not notice by itself.
//!
//! A query's task ends where it yields. Operators yield with every batch that they take or give, but a nested loop join
//! whose condition refuses every pair of rows gives none for as long as it takes to try them all. So its condition
//! looks at a flag each time it is evaluated, and fails when the flag is set.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;

use super::optimizer::SeriesExec;
use crate::types::{Error, Result, SqlState};

/// Set when a query is to end.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::new(SqlState::QUERY_CANCELED, "the query was stopped")),
        }
    }
}

/// The plan, with every operator that makes many rows of few ending soon after `stop` is set, or after its task is.
pub fn stoppable(plan: Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>> {
    let stoppable = plan.transform_up(|plan| {
        let plan = match plan.downcast_ref::<NestedLoopJoinExec>() {
            Some(join) => checked(join, stop)?,
            None => plan,
        };
        let multiplies = plan.is::<CrossJoinExec>()
            || plan.is::<NestedLoopJoinExec>()
            || plan.is::<HashJoinExec>()
            || plan.is::<SortMergeJoinExec>()
            || plan.is::<UnnestExec>()
            || plan.is::<SeriesExec>();
        Ok(match multiplies {
            true => Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>),
            false => Transformed::no(plan),
        })
    });
    Ok(stoppable.data()?)
}

fn checked(join: &NestedLoopJoinExec, stop: &Stop) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let filter = join.filter().map(|filter| {
        let condition = Checked { inner: filter.expression().clone(), stop: stop.clone() };
        JoinFilter::new(Arc::new(condition), filter.column_indices().to_vec(), filter.schema().clone())
    });
    let join = NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?;
    Ok(Arc::new(join))
}

/// An expression that fails once the query is to end.
#[derive(Clone, Debug)]
struct Checked {
    inner: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner) && Arc::ptr_eq(&self.stop.0, &other.stop.0)
    }
}

impl Eq for Checked {}

impl Hash for Checked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Checked {
    fn evaluate(&self, batch: &RecordBatch) -> DataFusionResult<ColumnarValue> {
        self.stop.check()?;
        self.inner.evaluate(batch)
    }

    fn data_type(&self, schema: &Schema) -> DataFusionResult<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> DataFusionResult<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> DataFusionResult<FieldRef> {
        self.inner.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| self.inner.clone());
        Ok(Arc::new(Checked { inner, stop: self.stop.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_expr::expressions::lit;

    use super::*;

    #[test]
    fn a_condition_fails_once_the_query_is_to_end() {
        let stop = Stop::default();
        let condition = Checked { inner: lit(true), stop: stop.clone() };
        let batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert!(condition.evaluate(&batch).is_ok());
        stop.set();
        let error = Error::from(condition.evaluate(&batch).expect_err("the flag is set"));
        assert_eq!(error.state(), SqlState::QUERY_CANCELED);
    }
}
