//! Columns by name, as DataFusion's logical plans refer to them, and fresh names for those that rules add.

use std::cell::Cell;

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, SortExpr};

/// Every column of a schema as an expression, with its qualifier.
pub fn columns(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(|field| Expr::Column(Column::from(field))).collect()
}

/// `expression` under the qualified name of another column.
pub fn named_as(expression: Expr, column: &Column) -> Expr {
    match expression {
        Expr::Column(same) if same == *column => Expr::Column(same),
        other => other.alias_qualified(column.relation.clone(), column.name.clone()),
    }
}

/// Ascending, NULLs last: the order in which columns break ties.
pub fn ascending(expression: Expr) -> SortExpr {
    SortExpr::new(expression, true, false)
}

/// Hands out names that nobody else uses within one plan, the same ones for the same plan.
#[derive(Debug, Default)]
pub struct Names {
    last: Cell<usize>,
}

impl Names {
    pub fn next(&self, what: &str) -> String {
        self.last.set(self.last.get() + 1);
        format!("__{what}_{}", self.last.get())
    }
}
