//! Operators to functions, while DataFusion's SQL planner builds the plan.
//!
//! Arithmetic becomes calls of our functions at once, since DataFusion's own operators would refuse operands that
//! PostgreSQL takes. Comparisons stay what they are, so that the optimizer knows them; a literal on one side of them takes
//! the other side's type here already.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::{operator, registered};
use crate::sql::coerce::{Typer, comparable};
use crate::types::SqlType;

#[derive(Debug)]
pub struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expression: RawBinaryExpr,
        schema: &DFSchema,
    ) -> DataFusionResult<PlannerResult<RawBinaryExpr>> {
        if let Some(name) = function_of(&expression.op) {
            return Ok(PlannerResult::Planned(operator(name).call(vec![expression.left, expression.right])));
        }
        let Some(sign) = comparison_of(&expression.op) else {
            return Ok(PlannerResult::Original(expression));
        };
        compared(expression, sign, schema).map(PlannerResult::Original)
    }

    fn plan_array_literal(&self, elements: Vec<Expr>, _: &DFSchema) -> DataFusionResult<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(registered("array").call(elements)))
    }

    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> DataFusionResult<PlannerResult<RawFieldAccessExpr>> {
        let is_list = matches!(access.expr.get_type(schema)?, DataType::List(_));
        Ok(match access.field_access {
            GetFieldAccess::ListIndex { key } if is_list => {
                PlannerResult::Planned(registered("array_element").call(vec![access.expr, *key]))
            }
            _ => PlannerResult::Original(access),
        })
    }

    fn plan_extract(&self, arguments: Vec<Expr>) -> DataFusionResult<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(registered("extract").call(arguments)))
    }

    fn plan_substring(&self, arguments: Vec<Expr>) -> DataFusionResult<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(registered("substring").call(arguments)))
    }

    fn plan_position(&self, arguments: Vec<Expr>) -> DataFusionResult<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(registered("position").call(arguments)))
    }

    fn plan_overlay(&self, arguments: Vec<Expr>) -> DataFusionResult<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(registered("overlay").call(arguments)))
    }
}

fn function_of(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::PGExp | BinaryOperator::BitwiseXor => "^",
        BinaryOperator::BitwiseAnd => "&",
        BinaryOperator::BitwiseOr => "|",
        BinaryOperator::PGBitwiseXor => "#",
        BinaryOperator::PGBitwiseShiftLeft => "<<",
        BinaryOperator::PGBitwiseShiftRight => ">>",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::PGRegexMatch => "~",
        BinaryOperator::PGRegexIMatch => "~*",
        BinaryOperator::PGRegexNotMatch => "!~",
        BinaryOperator::PGRegexNotIMatch => "!~*",
        _ => return None,
    })
}

fn comparison_of(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        _ => return None,
    })
}

fn compared(expression: RawBinaryExpr, sign: &str, schema: &DFSchema) -> DataFusionResult<RawBinaryExpr> {
    let options = ConfigOptions::default();
    let outer = DFSchema::empty();
    let typer = Typer { schema, outer: &outer, options: &options };
    let RawBinaryExpr { op, left, right } = expression;
    let (a, b) = (typer.argument(&left)?, typer.argument(&right)?);
    comparable(&a.sql_type, &b.sql_type, sign)?;
    // What depends on the session's time zone must wait for its options.
    let reads = |found: &SqlType, other: &SqlType| {
        *found == SqlType::Unknown && !matches!(other, SqlType::Unknown | SqlType::Timestamptz | SqlType::Char(_))
    };
    let left_type = if reads(&a.sql_type, &b.sql_type) { Some(&b.sql_type) } else { None };
    let right_type = if reads(&b.sql_type, &a.sql_type) { Some(&a.sql_type) } else { None };
    let cast = |operand: Expr, wanted: Option<&SqlType>| match wanted {
        Some(wanted) => typer.cast_to(operand, wanted),
        None => Ok(operand),
    };
    Ok(RawBinaryExpr { op, left: cast(left, left_type)?, right: cast(right, right_type)? })
}
