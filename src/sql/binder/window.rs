//! Window functions: their OVER clause, and the nodes that compute them.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::utils::find_window_exprs;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, WindowFrame};
use sqlparser::ast::{NamedWindowExpr, WindowSpec, WindowType};

use super::Binder;
use super::expression::Place;
use super::output::Item;
use super::query::sort;
use super::scope::Scope;
use crate::sql::statement::{fold, position_of};
use crate::types::{Error, Result, SqlState};

/// What OVER says.
pub(super) struct Over {
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<Sort>,
    pub frame: WindowFrame,
}

impl Binder<'_> {
    pub(super) fn over(&mut self, window: &WindowType, scope: &Scope) -> Result<Over> {
        let spec = self.window_spec(window)?;
        let mut partition_by = Vec::new();
        for key in &spec.partition_by {
            partition_by.push(self.expression(key, scope, Place::Window)?);
        }
        let mut order_by = Vec::new();
        for key in &spec.order_by {
            let expression = self.expression(&key.expr, scope, Place::Window)?;
            order_by.push(sort(expression, key));
        }
        let frame = match &spec.window_frame {
            None => WindowFrame::new((!order_by.is_empty()).then_some(false)),
            Some(frame) => {
                let invalid = |error: datafusion::common::DataFusionError| {
                    let message = error.strip_backtrace().replace("Error during planning: ", "");
                    Error::new(SqlState::WINDOWING_ERROR, message)
                };
                let frame = WindowFrame::try_from(frame.clone()).map_err(invalid)?;
                frame.regularize_order_bys(&mut order_by).map_err(invalid)?;
                frame
            }
        };
        Ok(Over { partition_by, order_by, frame })
    }

    /// The specification with what it inherits from named windows.
    fn window_spec(&self, window: &WindowType) -> Result<WindowSpec> {
        let (base, own) = match window {
            WindowType::NamedWindow(name) => (Some(name), None),
            WindowType::WindowSpec(spec) => (spec.window_name.as_ref(), Some(spec)),
        };
        let Some(name) = base else {
            return Ok(own.cloned().expect("a window without a name has a specification"));
        };
        let found = self.windows.iter().find(|definition| fold(&definition.0) == fold(name));
        let Some(definition) = found else {
            let message = format!("window \"{}\" does not exist", fold(name));
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message).at(position_of(name)));
        };
        let mut spec = match &definition.1 {
            NamedWindowExpr::NamedWindow(other) => self.window_spec(&WindowType::NamedWindow(other.clone()))?,
            NamedWindowExpr::WindowSpec(spec) => self.window_spec(&WindowType::WindowSpec(spec.clone()))?,
        };
        if let Some(own) = own {
            let message = |what| format!("cannot override {what} clause of window \"{}\"", fold(name));
            if !own.partition_by.is_empty() {
                return Err(Error::new(SqlState::WINDOWING_ERROR, message("PARTITION BY")));
            }
            if !own.order_by.is_empty() && !spec.order_by.is_empty() {
                return Err(Error::new(SqlState::WINDOWING_ERROR, message("ORDER BY")));
            }
            if spec.order_by.is_empty() {
                spec.order_by = own.order_by.clone();
            }
            spec.window_frame = own.window_frame.clone().or(spec.window_frame);
        }
        Ok(spec)
    }

    /// Puts the items' window functions into nodes of their own.
    pub(super) fn compute_windows(&mut self, plan: LogicalPlan, items: &mut [Item]) -> Result<LogicalPlan> {
        let windows = find_window_exprs(items.iter().map(|item| &item.expression));
        if windows.is_empty() {
            return Ok(plan);
        }
        let known: Vec<(Expr, Column)> = windows
            .iter()
            .map(|window| (window.clone(), Column::new_unqualified(window.schema_name().to_string())))
            .collect();
        let plan = LogicalPlanBuilder::window_plan(plan, windows)?;
        for item in items.iter_mut() {
            let expression = std::mem::take(&mut item.expression);
            item.expression = expression
                .transform_down(|expression| match known.iter().find(|(window, _)| *window == expression) {
                    Some((_, column)) => {
                        Ok(Transformed::new(Expr::Column(column.clone()), true, TreeNodeRecursion::Jump))
                    }
                    None => Ok(Transformed::no(expression)),
                })
                .data()?;
        }
        Ok(plan)
    }
}
