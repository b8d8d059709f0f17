//! Comparisons of more than two values: IN, ANY, ALL.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{InList, InSubquery, SetQuantifier};
use datafusion::logical_expr::{Case, Expr, lit};
use sqlparser::ast::{self, BinaryOperator};

use super::cast::explicit;
use super::expression::{Place, position_of};
use super::operator::{binary, datafusion_operator};
use super::output::{is_unknown_literal, type_of};
use super::parameters::is_open;
use super::row::{query_of, row_of};
use super::scope::Scope;
use super::subquery::{check_width, subquery_of};
use super::{Binder, Bound};
use crate::types::{Error, Result, SqlState, SqlType};

impl Binder<'_> {
    pub(super) fn in_list(
        &mut self,
        value: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        if let Some(row) = row_of(value) {
            let mut any: Option<Expr> = None;
            for candidate in list {
                let equal = self.row_comparison(&row, &BinaryOperator::Eq, candidate, scope, place)?;
                any = Some(any.map_or(equal.clone(), |any| any.or(equal)));
            }
            let any = any.expect("IN has at least one value");
            return Ok(if negated { Expr::Not(Box::new(any)) } else { any });
        }
        let mut operands = vec![self.expression(value, scope, place)?];
        for candidate in list {
            operands.push(self.expression(candidate, scope, place)?);
        }
        self.decide_together(&mut operands, &scope.schema)?;
        let value = operands.remove(0);
        Ok(Expr::InList(InList::new(Box::new(value), operands, negated)))
    }

    pub(super) fn in_subquery(
        &mut self,
        value: &ast::Expr,
        query: &ast::Query,
        negated: bool,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        if let Some(row) = row_of(value) {
            return self.row_quantified(&row, &BinaryOperator::Eq, query, (true, negated), scope, place);
        }
        let value = self.expression(value, scope, place)?;
        let bound = self.inner_query(query, scope)?;
        check_width(&bound, 1)?;
        let value = self.beside(value, &bound);
        Ok(Expr::InSubquery(InSubquery::new(Box::new(value), subquery_of(bound), negated)))
    }

    /// An open parameter takes the type of the subquery's column.
    fn beside(&mut self, value: Expr, bound: &Bound) -> Expr {
        let column = SqlType::of_field(bound.plan.schema().field(0));
        self.parameters.decide(value, &column)
    }

    /// `value op ANY (..)`, `value op ALL (..)`
    pub(super) fn quantified(
        &mut self,
        value: &ast::Expr,
        operator: &BinaryOperator,
        right: &ast::Expr,
        quantifier: SetQuantifier,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let all = matches!(quantifier, SetQuantifier::All);
        let Some(query) = query_of(right) else {
            return self.array_comparison(value, operator, right, all, scope, place);
        };
        match (operator, all) {
            (BinaryOperator::Eq, false) | (BinaryOperator::NotEq, true) => {
                self.in_subquery(value, query, all, scope, place)
            }
            _ => match row_of(value) {
                Some(row) => self.row_quantified(&row, operator, query, (!all, all), scope, place),
                None => self.set_comparison(value, operator, query, quantifier, scope, place),
            },
        }
    }

    fn set_comparison(
        &mut self,
        value: &ast::Expr,
        operator: &BinaryOperator,
        query: &ast::Query,
        quantifier: SetQuantifier,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        use datafusion::logical_expr::expr::SetComparison;
        let value = self.expression(value, scope, place)?;
        let bound = self.inner_query(query, scope)?;
        check_width(&bound, 1)?;
        let value = self.beside(value, &bound);
        let op = datafusion_operator(operator).filter(|op| op.negate().is_some());
        let Some(op) = op else {
            return Err(Error::unsupported(format!("{operator} with a subquery after ANY or ALL is not supported")));
        };
        Ok(Expr::SetComparison(SetComparison::new(Box::new(value), subquery_of(bound), op, quantifier)))
    }

    /// ANY and ALL of an array. `ARRAY[..]` is compared element by element; other arrays through their least, greatest
    /// and equal elements. `x op ALL(a)` is `NOT (x negated-op ANY(a))`.
    fn array_comparison(
        &mut self,
        value: &ast::Expr,
        operator: &BinaryOperator,
        array: &ast::Expr,
        all: bool,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let position = position_of(array);
        if let Some(elements) = array_elements(array) {
            let mut joined: Option<Expr> = None;
            for element in elements {
                let left = self.expression(value, scope, place)?;
                let right = self.expression(element, scope, place)?;
                let one = binary(self, left, operator, right, &scope.schema, position)?;
                joined = Some(match joined {
                    None => one,
                    Some(others) if all => others.and(one),
                    Some(others) => others.or(one),
                });
            }
            return Ok(joined.unwrap_or_else(|| lit(all)));
        }
        let value = self.expression(value, scope, place)?;
        let bound = self.expression(array, scope, place)?;
        let (value, array) = self.decide_array(value, bound, &scope.schema)?;
        let compared = match all {
            false => operator.clone(),
            true => negation(operator)
                .ok_or_else(|| Error::unsupported(format!("{operator} ALL of an array is not supported")))?,
        };
        let any = self.any_of_array(value, &compared, array, &scope.schema)?;
        Ok(if all { Expr::Not(Box::new(any)) } else { any })
    }

    /// Settles the types of what is open: the value is of the array's element type, and the other way around.
    fn decide_array(&mut self, value: Expr, array: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
        let array = match type_of(&array, schema)? {
            SqlType::Array(_) => array,
            SqlType::Unknown => {
                let element = match type_of(&value, schema)? {
                    SqlType::Unknown | SqlType::Varchar(_) => SqlType::Text,
                    known => known,
                };
                let wanted = SqlType::Array(Box::new(element));
                match is_open(&array) {
                    true => self.parameters.decide(array, &wanted),
                    false => explicit(array, &wanted),
                }
            }
            _ => {
                let message = "op ANY/ALL (array) requires array on right side";
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
        };
        let SqlType::Array(element) = type_of(&array, schema)? else {
            return Ok((value, array));
        };
        let value = match is_unknown_literal(&value) {
            true => explicit(value, &element),
            false => self.parameters.decide(value, &element),
        };
        Ok((value, array))
    }

    fn any_of_array(&mut self, value: Expr, operator: &BinaryOperator, array: Expr, schema: &DFSchema) -> Result<Expr> {
        let least = self.scalar("array_min")?.call(vec![array.clone()]);
        let greatest = self.scalar("array_max")?.call(vec![array.clone()]);
        let holds = match operator {
            BinaryOperator::Eq => self.scalar("array_has")?.call(vec![array.clone(), value.clone()]),
            BinaryOperator::NotEq => {
                let below = binary(self, value.clone(), operator, least, schema, 0)?;
                below.or(binary(self, value.clone(), operator, greatest, schema, 0)?)
            }
            BinaryOperator::Gt | BinaryOperator::GtEq => binary(self, value.clone(), operator, least, schema, 0)?,
            BinaryOperator::Lt | BinaryOperator::LtEq => binary(self, value.clone(), operator, greatest, schema, 0)?,
            other => return Err(Error::unsupported(format!("{other} ANY of an array is not supported"))),
        };
        let null = Expr::Literal(ScalarValue::Null, None);
        let holds_null = self.scalar("array_position")?.call(vec![array.clone(), null]).is_not_null();
        let empty = self.scalar("cardinality")?.call(vec![array.clone()]).eq(lit(0_i64));
        let whens = [
            (array.is_null(), lit(ScalarValue::Boolean(None))),
            (empty, lit(false)),
            (value.is_null(), lit(ScalarValue::Boolean(None))),
            (holds.is_true(), lit(true)),
            (holds_null, lit(ScalarValue::Boolean(None))),
        ];
        let pairs = whens.into_iter().map(|(when, then)| (Box::new(when), Box::new(then)));
        let otherwise = Some(Box::new(lit(false)));
        Ok(Expr::Case(Case { expr: None, when_then_expr: pairs.collect(), else_expr: otherwise }))
    }
}

fn negation(operator: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match operator {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        _ => return None,
    })
}

fn array_elements(array: &ast::Expr) -> Option<&[ast::Expr]> {
    match array {
        ast::Expr::Array(array) => Some(&array.elem),
        ast::Expr::Nested(inner) => array_elements(inner),
        _ => None,
    }
}
