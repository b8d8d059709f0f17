//! UNION, INTERSECT, EXCEPT: columns by position, in a type that both sides have in common.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection};
use sqlparser::ast::{SetOperator, SetQuantifier};

use super::cast::{common_type, explicit};
use super::output::named;
use super::{Binder, Bound};
use crate::types::{Error, Result, SqlState, SqlType};

impl Binder<'_> {
    pub(super) fn set_operation(
        &mut self,
        operator: SetOperator,
        quantifier: SetQuantifier,
        left: Bound,
        right: Bound,
    ) -> Result<Bound> {
        let all = match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::Distinct | SetQuantifier::None => false,
            other => return Err(Error::unsupported(format!("{operator} {other} is not supported"))),
        };
        if left.columns.len() != right.columns.len() {
            return Err(column_count(operator));
        }
        let types = self.common_types(operator, &left, &right)?;
        let left = retyped(left, &types, None)?;
        let names: Vec<String> = left.columns.iter().map(|output| output.column.name.clone()).collect();
        let right = retyped(right, &types, Some(&names))?;
        let columns = left.columns;
        let plan = match (operator, all) {
            (SetOperator::Union, true) => LogicalPlanBuilder::from(left.plan).union(right.plan)?.build()?,
            (SetOperator::Union, false) => LogicalPlanBuilder::from(left.plan).union_distinct(right.plan)?.build()?,
            (SetOperator::Intersect, all) => LogicalPlanBuilder::intersect(left.plan, right.plan, all)?,
            (SetOperator::Except | SetOperator::Minus, all) => LogicalPlanBuilder::except(left.plan, right.plan, all)?,
        };
        unqualified(plan, columns)
    }

    fn common_types(&mut self, operator: SetOperator, left: &Bound, right: &Bound) -> Result<Vec<SqlType>> {
        let sides = left.columns.iter().zip(&right.columns).enumerate();
        let types = sides.map(|(index, (left_output, right_output))| {
            let side = |bound: &Bound, is_unknown: bool| match is_unknown {
                true => SqlType::Unknown,
                false => SqlType::of_field(bound.plan.schema().field(index)),
            };
            let (left, right) = (side(left, left_output.is_unknown), side(right, right_output.is_unknown));
            common_type(&left, &right).ok_or_else(|| {
                let message = format!("{operator} types {left} and {right} cannot be matched");
                Error::new(SqlState::DATATYPE_MISMATCH, message)
            })
        });
        types.collect()
    }
}

pub(super) fn column_count(operator: SetOperator) -> Error {
    let message = format!("each {operator} query must have the same number of columns");
    Error::new(SqlState::SYNTAX_ERROR, message)
}

/// The same rows in other types, and under other names.
fn retyped(bound: Bound, types: &[SqlType], names: Option<&[String]>) -> Result<Bound> {
    let schema = bound.plan.schema().clone();
    let mut columns = bound.columns;
    let mut expressions = Vec::with_capacity(columns.len());
    let mut changed = false;
    for (index, output) in columns.iter_mut().enumerate() {
        let column = Expr::Column(output.column.clone());
        let wanted = &types[index];
        let name = names.map_or(output.column.name.clone(), |names| names[index].clone());
        let differs = SqlType::of_field(schema.field(index)) != *wanted && *wanted != SqlType::Unknown;
        changed |= differs || name != output.column.name;
        let expression = if differs { explicit(column, wanted) } else { column };
        expressions.push(named(expression, &name, &schema));
        output.is_unknown &= *wanted == SqlType::Unknown;
        output.column = Column::new_unqualified(name);
    }
    let plan = match changed {
        true => LogicalPlan::Projection(Projection::try_new(expressions, bound.plan.into())?),
        false => bound.plan,
    };
    Ok(Bound { plan, columns })
}

/// INTERSECT and EXCEPT qualify their columns.
fn unqualified(plan: LogicalPlan, columns: Vec<super::Output>) -> Result<Bound> {
    if plan.schema().iter().all(|(qualifier, _)| qualifier.is_none()) {
        return Ok(Bound { plan, columns });
    }
    let expressions = plan.schema().iter().zip(&columns).map(|((qualifier, field), output)| {
        Expr::Column(Column::new(qualifier.cloned(), field.name())).alias(&output.column.name)
    });
    let plan = LogicalPlan::Projection(Projection::try_new(expressions.collect(), plan.clone().into())?);
    Ok(Bound { plan, columns })
}
