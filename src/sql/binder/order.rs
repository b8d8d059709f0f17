//! What follows from the order of a query's rows: the elements of ARRAY(SELECT ..), and the ties of FETCH FIRST.

use datafusion::common::{Column, ScalarValue};
use datafusion::functions_window::rank::rank;
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::expr::Sort as SortKey;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Limit, LogicalPlan, LogicalPlanBuilder, cast};

use arrow::datatypes::DataType;

use super::{Binder, Bound};
use crate::types::{Error, Result, SqlState};

/// The rows of a plan with the columns that they are ordered by, and that order; None if it has no ORDER BY. Columns
/// that only ORDER BY needed are dropped by a projection, which is left out here.
pub(super) fn ordered(plan: &LogicalPlan) -> Option<(LogicalPlan, Vec<SortKey>)> {
    match plan {
        LogicalPlan::Sort(sort) => Some((plan.clone(), sort.expr.clone())),
        LogicalPlan::Projection(projection) if projection.expr.iter().all(|kept| matches!(kept, Expr::Column(_))) => {
            ordered(&projection.input)
        }
        LogicalPlan::Limit(limit) => {
            let (input, keys) = ordered(&limit.input)?;
            Some((LogicalPlan::Limit(Limit { input: input.into(), ..limit.clone() }), keys))
        }
        _ => None,
    }
}

impl Binder<'_> {
    /// `OFFSET skip ROWS FETCH FIRST rows ROWS WITH TIES`: further rows come if they are equal to the last one in the
    /// order, which is to say if no more than skip + rows - 1 rows come before them.
    pub(super) fn with_ties(&mut self, bound: Bound, skip: Option<Expr>, rows: Option<Expr>) -> Result<Bound> {
        let Some((plan, keys)) = ordered(&bound.plan) else {
            let message = "WITH TIES cannot be specified without ORDER BY clause";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        };
        for count in [&rows, &skip].into_iter().flatten() {
            if matches!(count, Expr::Literal(ScalarValue::Int64(Some(..0)), _)) {
                return Err(Error::new(SqlState::INVALID_ROW_COUNT_IN_LIMIT, "LIMIT must not be negative"));
            }
        }
        let (place, number) = (self.qualifier("rank"), self.qualifier("number"));
        let column = |name: &str| cast(Expr::Column(Column::new_unqualified(name)), DataType::Int64);
        let places = rank().order_by(keys.clone()).build()?.alias(&place);
        let mut windows = vec![places];
        let mut conditions = Vec::new();
        if let Some(rows) = rows {
            let last = skip.clone().map_or(rows.clone(), |skip| skip + rows);
            conditions.push(column(&place).lt_eq(last));
        }
        if let Some(skip) = skip {
            windows.push(row_number().order_by(keys.clone()).build()?.alias(&number));
            conditions.push(column(&number).gt(skip));
        }
        let mut builder = LogicalPlanBuilder::from(plan).window(windows)?;
        if let Some(condition) = conditions.into_iter().reduce(Expr::and) {
            builder = builder.filter(condition)?;
        }
        let columns = bound.columns.iter().map(|output| Expr::Column(output.column.clone()));
        let plan = builder.sort(keys)?.project(columns)?.build()?;
        Ok(Bound { plan, columns: bound.columns })
    }
}
