//! Unary and binary operators.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::logical_expr::planner::{PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use sqlparser::ast::{self, BinaryOperator, UnaryOperator};

use super::Binder;
use super::expression::Place;
use super::literal::number;
use super::output::type_of;
use super::parameters::is_open;
use super::scope::Scope;
use crate::sql::function::{planners, registry};
use crate::types::{Error, Result, SqlState, SqlType};

/// `position` is where the right operand begins, 0 if that is not known.
pub(super) fn binary(
    binder: &mut Binder,
    left: Expr,
    operator: &BinaryOperator,
    right: Expr,
    schema: &DFSchema,
    position: usize,
) -> Result<Expr> {
    let (left, right) = decide(binder, left, operator, right, schema)?;
    let operator = plain(operator);
    let mut raw = RawBinaryExpr { op: operator.clone(), left, right };
    for planner in planners() {
        match planner.plan_binary_op(raw, schema)? {
            PlannerResult::Planned(expression) => return Ok(expression),
            PlannerResult::Original(original) => raw = original,
        }
    }
    let RawBinaryExpr { left, right, .. } = raw;
    if let Some(operator) = datafusion_operator(&operator) {
        return Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right))));
    }
    let function = operator_function(&operator).and_then(|name| registry().scalars.get(name));
    if let Some(function) = function {
        return Ok(function.call(vec![left, right]));
    }
    let (left, right) = (type_of(&left, schema)?, type_of(&right, schema)?);
    let error = Error::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {left} {operator} {right}"))
        .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts.");
    Err(if position == 0 { error } else { error.at(position) })
}

/// An open parameter takes the type of the other operand, or what the operator asks for.
fn decide(
    binder: &mut Binder,
    left: Expr,
    operator: &BinaryOperator,
    right: Expr,
    schema: &DFSchema,
) -> Result<(Expr, Expr)> {
    if !is_open(&left) && !is_open(&right) {
        return Ok((left, right));
    }
    if matches!(operator, BinaryOperator::And | BinaryOperator::Or) {
        let (left, right) = (binder.parameters.decide(left, &SqlType::Bool), right);
        return Ok((left, binder.parameters.decide(right, &SqlType::Bool)));
    }
    let wanted = |other: &Expr| -> Result<SqlType> {
        let found = type_of(other, schema)?;
        Ok(match (operator, found) {
            (BinaryOperator::StringConcat, SqlType::Array(element)) => SqlType::Array(element),
            (BinaryOperator::StringConcat, _) => SqlType::Text,
            // A moment plus or minus something is an interval away.
            (
                BinaryOperator::Plus | BinaryOperator::Minus,
                SqlType::Date | SqlType::Timestamp | SqlType::Timestamptz | SqlType::Time,
            ) => SqlType::Interval,
            (_, SqlType::Varchar(_)) => SqlType::Text,
            (_, other) => other,
        })
    };
    let (for_left, for_right) = (wanted(&right)?, wanted(&left)?);
    let left = binder.parameters.decide(left, &for_left);
    Ok((left, binder.parameters.decide(right, &for_right)))
}

/// `OPERATOR(pg_catalog.~)` is `~`.
fn plain(operator: &BinaryOperator) -> BinaryOperator {
    let name = match operator {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().map_or("", String::as_str),
        BinaryOperator::Custom(name) => name,
        other => return other.clone(),
    };
    match name {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        _ => operator.clone(),
    }
}

pub(super) fn datafusion_operator(operator: &BinaryOperator) -> Option<Operator> {
    Some(match operator {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        BinaryOperator::And => Operator::And,
        BinaryOperator::Or => Operator::Or,
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        BinaryOperator::StringConcat => Operator::StringConcat,
        BinaryOperator::BitwiseAnd => Operator::BitwiseAnd,
        BinaryOperator::BitwiseOr => Operator::BitwiseOr,
        BinaryOperator::PGBitwiseXor => Operator::BitwiseXor,
        BinaryOperator::PGBitwiseShiftLeft => Operator::BitwiseShiftLeft,
        BinaryOperator::PGBitwiseShiftRight => Operator::BitwiseShiftRight,
        BinaryOperator::PGRegexMatch => Operator::RegexMatch,
        BinaryOperator::PGRegexIMatch => Operator::RegexIMatch,
        BinaryOperator::PGRegexNotMatch => Operator::RegexNotMatch,
        BinaryOperator::PGRegexNotIMatch => Operator::RegexNotIMatch,
        BinaryOperator::PGLikeMatch => Operator::LikeMatch,
        BinaryOperator::PGILikeMatch => Operator::ILikeMatch,
        BinaryOperator::PGNotLikeMatch => Operator::NotLikeMatch,
        BinaryOperator::PGNotILikeMatch => Operator::NotILikeMatch,
        BinaryOperator::AtArrow => Operator::AtArrow,
        BinaryOperator::ArrowAt => Operator::ArrowAt,
        _ => return None,
    })
}

/// Operators that are functions by another name.
fn operator_function(operator: &BinaryOperator) -> Option<&'static str> {
    Some(match operator {
        BinaryOperator::PGExp => "power",
        BinaryOperator::PGStartsWith => "starts_with",
        BinaryOperator::PGOverlap => "array_has_any",
        BinaryOperator::Arrow => "json_object_field",
        BinaryOperator::LongArrow => "json_object_field_text",
        BinaryOperator::HashArrow => "json_extract_path",
        BinaryOperator::HashLongArrow => "json_extract_path_text",
        _ => return None,
    })
}

impl Binder<'_> {
    pub(super) fn unary(
        &mut self,
        operator: UnaryOperator,
        operand: &ast::Expr,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        if let (UnaryOperator::Minus, ast::Expr::Value(value)) = (operator, operand)
            && let ast::Value::Number(digits, _) = &value.value
        {
            return number(&format!("-{digits}"));
        }
        let bound = self.expression(operand, scope, place)?;
        let function = match operator {
            UnaryOperator::Minus => return Ok(Expr::Negative(Box::new(bound))),
            UnaryOperator::Not => {
                return Ok(Expr::Not(Box::new(self.parameters.decide(bound, &SqlType::Bool))));
            }
            UnaryOperator::Plus => return Ok(bound),
            UnaryOperator::BitwiseNot => {
                let ones = Arc::new(datafusion::logical_expr::lit(-1_i32));
                let flipped = BinaryExpr::new(Box::new(bound), Operator::BitwiseXor, Box::new(ones.as_ref().clone()));
                return Ok(Expr::BinaryExpr(flipped));
            }
            UnaryOperator::PGAbs => "abs",
            UnaryOperator::PGSquareRoot => "sqrt",
            UnaryOperator::PGCubeRoot => "cbrt",
            other => return Err(Error::unsupported(format!("the operator {other} is not supported"))),
        };
        Ok(self.scalar(function)?.call(vec![bound]))
    }
}
