//! What a correlated subquery refers to: the outer columns, their distinct values, and their names inside.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result as DataFusionResult};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator};

use super::names::Names;

/// The outer columns that a subquery refers to, and the names under which an unnested plan gives them.
pub struct Domain {
    outer: LogicalPlan,
    pub columns: Vec<Column>,
    pub names: Vec<Column>,
}

impl Domain {
    /// The columns of `outer` to which `plan` refers.
    pub fn of(plan: &LogicalPlan, outer: &LogicalPlan, names: &Names) -> DataFusionResult<Self> {
        let mut columns: Vec<Column> = vec![];
        visit_outer_references(plan, &mut |column| {
            if outer.schema().has_column(column) && !columns.contains(column) {
                columns.push(column.clone());
            }
        })?;
        let names = columns.iter().map(|_| Column::new_unqualified(names.next("outer"))).collect();
        Ok(Domain { outer: outer.clone(), columns, names })
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub fn expressions(&self) -> impl Iterator<Item = Expr> {
        self.names.iter().cloned().map(Expr::Column)
    }

    /// The distinct values of the outer columns, under the domain's names.
    pub fn members(&self) -> DataFusionResult<LogicalPlan> {
        let named = self.columns.iter().zip(&self.names);
        let named: Vec<Expr> = named.map(|(column, name)| Expr::Column(column.clone()).alias(&name.name)).collect();
        LogicalPlanBuilder::from(self.outer.clone()).project(named)?.distinct()?.build()
    }

    /// Whether `plan` refers to the domain.
    pub fn reaches(&self, plan: &LogicalPlan) -> DataFusionResult<bool> {
        let mut found = false;
        visit_outer_references(plan, &mut |column| found |= self.columns.contains(column))?;
        Ok(found)
    }

    /// The expression with the domain's names in the place of outer references.
    pub fn bind(&self, expression: Expr) -> DataFusionResult<Expr> {
        let bound = expression.transform(|part| match &part {
            Expr::OuterReferenceColumn(_, column) => {
                let position = self.columns.iter().position(|known| known == column);
                Ok(position.map_or(Transformed::no(part.clone()), |position| {
                    Transformed::yes(Expr::Column(self.names[position].clone()))
                }))
            }
            _ => Ok(Transformed::no(part)),
        });
        bound.data()
    }

    /// [`Domain::bind`], under the name that the expression has now.
    pub fn bind_named(&self, expression: Expr) -> DataFusionResult<Expr> {
        let name = NamePreserver::new_for_projection().save(&expression);
        Ok(name.restore(self.bind(expression)?))
    }
}

/// Equality of a member's column on both sides of a join, NULLs included unless there are none.
pub fn same(left: Expr, right: Expr, by_equality: bool) -> Expr {
    let operator = if by_equality { Operator::Eq } else { Operator::IsNotDistinctFrom };
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
}

/// Calls `see` with every outer reference in the plan, those in its lateral subqueries included.
pub fn visit_outer_references(plan: &LogicalPlan, see: &mut dyn FnMut(&Column)) -> DataFusionResult<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::OuterReferenceColumn(_, column) = part {
                    see(column);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}
