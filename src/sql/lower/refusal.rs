//! What a materialized view can't contain yet, said by the name that the user knows it by.

use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Volatility};

use crate::types::{Error, Result, SqlState};

fn in_view(construct: &str) -> Error {
    Error::unsupported(format!("{construct} is not supported in a materialized view"))
        .with_hint("A plain SELECT can run it, over a materialized view too.")
}

/// Why this node can't be kept up to date.
pub fn of_plan(plan: &LogicalPlan) -> Error {
    match plan {
        LogicalPlan::RecursiveQuery(_) => in_view("WITH RECURSIVE"),
        LogicalPlan::Unnest(_) => in_view("unnest()"),
        LogicalPlan::Distinct(Distinct::On(_)) => Error::internal("DISTINCT ON was not rewritten"),
        LogicalPlan::Subquery(_) => in_view("LATERAL"),
        LogicalPlan::Extension(extension) => in_view(extension.node.name()),
        other => in_view(&format!("{}", other.display())),
    }
}

pub fn of_table_function(name: &str) -> Error {
    in_view(&format!("{name}()"))
}

/// generate_series() over columns, over a time zone's days, or too long.
pub fn of_series() -> Error {
    in_view("generate_series() of anything but constants that make a short series")
}

pub fn of_system_relation(schema: &str, name: &str) -> Error {
    Error::unsupported(format!("{schema}.{name} can't be read in a materialized view"))
        .with_detail("System relations are made up when they are read and tell nobody when they change.")
}

pub fn of_window_function(name: &str) -> Error {
    Error::unsupported(format!("the window function {name}() is not supported in a materialized view"))
        .with_hint("row_number() is supported; others run in a plain SELECT.")
}

pub fn of_aggregate_option(option: &str) -> Error {
    in_view(option)
}

/// Refuses expressions whose value is not a function of the row.
pub fn check_expression(expression: &Expr) -> Result<()> {
    let mut refused = None;
    expression.apply(|part| -> DataFusionResult<TreeNodeRecursion> {
        refused = of_expression(part);
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    refused.map_or(Ok(()), Err)
}

fn of_expression(expression: &Expr) -> Option<Error> {
    let error = match expression {
        Expr::ScalarFunction(function) if function.func.signature().volatility == Volatility::Volatile => {
            Error::unsupported(format!("{}() is not allowed in a materialized view", function.name()))
                .with_detail("Its result would differ between two computations of the same view.")
                .with_hint("Compute it when the row is written, or use it in a plain SELECT.")
        }
        Expr::Placeholder(placeholder) => {
            let message = format!("there is no parameter {}", placeholder.id);
            Error::new(SqlState::UNDEFINED_PARAMETER, message)
        }
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => {
            in_view("a subquery in this place")
        }
        Expr::OuterReferenceColumn(_, column) => in_view(&format!("the outer reference {column} in this place")),
        Expr::Unnest(_) => in_view("unnest()"),
        _ => return None,
    };
    Some(error)
}
