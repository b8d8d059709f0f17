//! VALUES: rows of expressions, whose columns are called column1, column2, ...

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{self, Values};

use super::cast::{common_type, explicit};
use super::expression::Place;
use super::output::{is_unknown, type_of};
use super::scope::Scope;
use super::{Binder, Bound, Output};
use crate::types::{Error, Result, SqlState, SqlType};

impl Binder<'_> {
    pub(super) fn values(&mut self, values: &Values) -> Result<Bound> {
        let scope = Scope::empty();
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let bound = row.content.iter().map(|value| self.value(value, &scope));
            rows.push(bound.collect::<Result<Vec<_>>>()?);
        }
        self.value_rows(rows)
    }

    fn value(&mut self, value: &ast::Expr, scope: &Scope) -> Result<Expr> {
        if let ast::Expr::Identifier(ident) = value
            && ident.quote_style.is_none()
            && ident.value.eq_ignore_ascii_case("default")
        {
            let message = "DEFAULT is not allowed in this context";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(ident.span.start.column as usize));
        }
        self.expression(value, scope, Place::Values)
    }

    /// Rows of bound expressions over no columns, brought to common types.
    pub fn value_rows(&mut self, mut rows: Vec<Vec<Expr>>) -> Result<Bound> {
        let width = rows[0].len();
        if rows.iter().any(|row| row.len() != width) {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"));
        }
        let schema = DFSchema::empty();
        let mut columns = Vec::with_capacity(width);
        for index in 0..width {
            let name = format!("column{}", index + 1);
            let unknown = self.settle_column(&mut rows, index, &schema)?;
            columns.push(Output { name: name.clone(), column: Column::new_unqualified(name), is_unknown: unknown });
        }
        let plan = match rows.iter().flatten().any(needs_plan) {
            false => LogicalPlanBuilder::values(rows)?.build()?,
            true => self.value_union(rows, &columns)?,
        };
        Ok(Bound { plan, columns })
    }

    /// Casts what differs from the column's common type; whether nothing decided that type.
    fn settle_column(&mut self, rows: &mut [Vec<Expr>], index: usize, schema: &DFSchema) -> Result<bool> {
        let mut common = SqlType::Unknown;
        let mut types = Vec::with_capacity(rows.len());
        for row in rows.iter() {
            let found = type_of(&row[index], schema)?;
            common = common_type(&common, &found).ok_or_else(|| {
                let message = format!("VALUES types {common} and {found} cannot be matched");
                Error::new(SqlState::DATATYPE_MISMATCH, message)
            })?;
            types.push(found);
        }
        if common == SqlType::Unknown {
            for row in rows.iter_mut().filter(|row| !super::parameters::is_open(&row[index])) {
                if let Expr::Literal(datafusion::common::ScalarValue::Null, _) = &row[index] {
                    row[index] = datafusion::logical_expr::lit(datafusion::common::ScalarValue::Utf8(None));
                }
            }
            return Ok(rows.iter().all(|row| is_unknown(&row[index])));
        }
        for (row, found) in rows.iter_mut().zip(types) {
            let value = self.parameters.decide(std::mem::take(&mut row[index]), &common);
            row[index] = if found == common { value } else { explicit(value, &common) };
        }
        Ok(false)
    }

    /// Rows that read other rows can't be constants: each is a query.
    fn value_union(&mut self, rows: Vec<Vec<Expr>>, columns: &[Output]) -> Result<LogicalPlan> {
        let mut union: Option<LogicalPlan> = None;
        for row in rows {
            let named = row.into_iter().zip(columns).map(|(value, output)| value.alias(&output.column.name));
            let plan = LogicalPlanBuilder::empty(true).project(named)?.build()?;
            union = Some(match union {
                None => plan,
                Some(above) => LogicalPlanBuilder::from(above).union(plan)?.build()?,
            });
        }
        Ok(union.expect("VALUES has at least one row"))
    }
}

/// Whether an expression holds a subquery or a column of a query around it.
fn needs_plan(expression: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let found = expression.exists(|expression| {
        Ok(matches!(
            expression,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ))
    });
    found.expect("the closure gives no error")
}
