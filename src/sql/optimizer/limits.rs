//! LIMIT and OFFSET are constants that are not negative.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result as DataFusionResult, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::{ColumnarValue, Expr, Limit, LogicalPlan, lit};
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::physical_expr::create_physical_expr;

use crate::types::{Error, Result, SqlState};

/// Evaluates limits and refuses those that are negative or not constant. Placeholders stay; they are checked when
/// the plan is optimized again with their values.
#[derive(Debug)]
pub struct CheckLimits;

impl AnalyzerRule for CheckLimits {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Limit(Limit { skip, fetch, input }) => {
                let skip = check("OFFSET", SqlState::INVALID_ROW_COUNT_IN_OFFSET, skip)?;
                let fetch = check("LIMIT", SqlState::INVALID_ROW_COUNT_IN_LIMIT, fetch)?;
                Ok(match (&skip, &fetch) {
                    (None, None) => Transformed::yes(std::sync::Arc::unwrap_or_clone(input)),
                    _ => Transformed::yes(LogicalPlan::Limit(Limit { skip, fetch, input })),
                })
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "check_limits"
    }
}

/// The limit as a literal bigint; none if it is NULL.
fn check(clause: &str, negative: SqlState, expression: Option<Box<Expr>>) -> Result<Option<Box<Expr>>> {
    let Some(expression) = expression else { return Ok(None) };
    if expression.exists(|part| Ok(matches!(part, Expr::Placeholder(_))))? {
        return Ok(Some(expression));
    }
    if expression.any_column_refs() || expression.contains_outer() {
        let message = format!("argument of {clause} must not contain variables");
        return Err(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message));
    }
    if expression.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_))))? {
        return Err(Error::unsupported(format!("a subquery in {clause} is not supported"))
            .with_hint(format!("Write a number, or a parameter, after {clause}.")));
    }
    match constant(&expression)? {
        None => Ok(None),
        Some(rows) if rows < 0 => Err(Error::new(negative, format!("{clause} must not be negative"))),
        Some(rows) => Ok(Some(Box::new(lit(rows)))),
    }
}

fn constant(expression: &Expr) -> Result<Option<i64>> {
    let physical = create_physical_expr(expression, &DFSchema::empty(), &ExecutionProps::new())?;
    let one_row = RecordBatch::try_new_with_options(
        std::sync::Arc::new(Schema::empty()),
        vec![],
        &datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(1)),
    )?;
    let value = match physical.evaluate(&one_row)? {
        ColumnarValue::Scalar(value) => value,
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
    };
    match value.cast_to(&DataType::Int64)? {
        ScalarValue::Int64(rows) => Ok(rows),
        other => Err(Error::internal(format!("a limit became {other:?}"))),
    }
}
