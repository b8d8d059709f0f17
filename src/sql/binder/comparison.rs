//! Comparisons of more than two values: IN, ANY, ALL, rows.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{InList, InSubquery, SetQuantifier};
use datafusion::logical_expr::{Case, Expr, lit};
use sqlparser::ast::{self, BinaryOperator};

use super::cast::explicit;
use super::expression::{Place, position_of, tuple_of};
use super::operator::{binary, datafusion_operator};
use super::output::{is_unknown_literal, type_of};
use super::parameters::is_open;
use super::scope::Scope;
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
        if let Some(row) = tuple_of(value) {
            let mut any: Option<Expr> = None;
            for candidate in list {
                let equal = self.row_comparison(row, &BinaryOperator::Eq, candidate, scope, place)?;
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
        if let Some(row) = tuple_of(value) {
            return self.row_in_subquery(row, query, negated, scope, place);
        }
        let value = self.expression(value, scope, place)?;
        let bound = self.inner_query(query, scope)?;
        single_column(&bound)?;
        let value = self.beside(value, &bound);
        Ok(Expr::InSubquery(InSubquery::new(Box::new(value), subquery_of(bound), negated)))
    }

    /// An open parameter takes the type of the subquery's column.
    fn beside(&mut self, value: Expr, bound: &Bound) -> Expr {
        let column = SqlType::of_field(bound.plan.schema().field(0));
        self.parameters.decide(value, &column)
    }

    /// `(a, b) IN (SELECT c, d ..)` is `true IN (SELECT a = c AND b = d ..)`, NULLs included.
    fn row_in_subquery(
        &mut self,
        row: &[ast::Expr],
        query: &ast::Query,
        negated: bool,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let mut values = Vec::new();
        for value in row {
            values.push(self.expression(value, scope, place)?);
        }
        let bound = self.inner_query(query, scope)?;
        if bound.columns.len() != row.len() {
            let few = bound.columns.len() < row.len();
            let message = format!("subquery has too {} columns", if few { "few" } else { "many" });
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        let inner = bound.plan.schema().clone();
        let mut all: Option<Expr> = None;
        for (value, output) in values.into_iter().zip(&bound.columns) {
            let outer = as_outer(value, scope)?;
            let equal = binary(self, outer, &BinaryOperator::Eq, Expr::Column(output.column.clone()), &inner, 0)?;
            all = Some(all.map_or(equal.clone(), |all| all.and(equal)));
        }
        let equal = all.expect("a row has at least one value");
        let bound = self.project(bound.plan, vec![("equal".into(), equal)])?;
        Ok(Expr::InSubquery(InSubquery::new(Box::new(lit(true)), subquery_of(bound), negated)))
    }

    /// `value op ANY (..)`
    pub(super) fn any(
        &mut self,
        value: &ast::Expr,
        operator: &BinaryOperator,
        right: &ast::Expr,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        if let Some(query) = query_of(right) {
            return match operator {
                BinaryOperator::Eq => self.in_subquery(value, query, false, scope, place),
                _ => self.set_comparison(value, operator, query, SetQuantifier::Any, scope, place),
            };
        }
        self.array_comparison(value, operator, right, false, scope, place)
    }

    /// `value op ALL (..)`
    pub(super) fn all(
        &mut self,
        value: &ast::Expr,
        operator: &BinaryOperator,
        right: &ast::Expr,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        if let Some(query) = query_of(right) {
            return match operator {
                BinaryOperator::NotEq => self.in_subquery(value, query, true, scope, place),
                _ => self.set_comparison(value, operator, query, SetQuantifier::All, scope, place),
            };
        }
        self.array_comparison(value, operator, right, true, scope, place)
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
        single_column(&bound)?;
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

    /// `(a, b) < (c, d)`
    pub(super) fn row_comparison(
        &mut self,
        left: &[ast::Expr],
        operator: &BinaryOperator,
        right: &ast::Expr,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let Some(right_row) = tuple_of(right) else {
            return Err(Error::unsupported("comparing a row with anything but a row of values is not supported"));
        };
        if left.len() != right_row.len() {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions"));
        }
        let mut pairs = Vec::new();
        for (left, right) in left.iter().zip(right_row) {
            pairs.push((self.expression(left, scope, place)?, self.expression(right, scope, place)?));
        }
        let mut compare = |pair: &(Expr, Expr), operator: &BinaryOperator| {
            binary(self, pair.0.clone(), operator, pair.1.clone(), &scope.schema, 0)
        };
        let all_equal = |compare: &mut dyn FnMut(&(Expr, Expr), &BinaryOperator) -> Result<Expr>| {
            let equal = pairs.iter().map(|pair| compare(pair, &BinaryOperator::Eq)).collect::<Result<Vec<_>>>()?;
            Ok::<_, Error>(equal.into_iter().reduce(Expr::and).expect("a row has at least one value"))
        };
        let strict = match operator {
            BinaryOperator::Eq => return all_equal(&mut compare),
            BinaryOperator::NotEq => return Ok(Expr::Not(Box::new(all_equal(&mut compare)?))),
            BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
            BinaryOperator::Gt | BinaryOperator::GtEq => BinaryOperator::Gt,
            other => {
                return Err(Error::unsupported(format!("the operator {other} on rows is not supported")));
            }
        };
        // The last pair decides with the operator itself; those before it only if they differ.
        let (last, before) = pairs.split_last().expect("a row has at least one value");
        let mut result = compare(last, operator)?;
        for pair in before.iter().rev() {
            let equal = compare(pair, &BinaryOperator::Eq)?;
            result = compare(pair, &strict)?.or(equal.and(result));
        }
        Ok(result)
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

/// The query of `ANY (SELECT ..)`.
fn query_of(right: &ast::Expr) -> Option<&ast::Query> {
    match right {
        ast::Expr::Subquery(query) => Some(query),
        ast::Expr::Nested(inner) => query_of(inner),
        _ => None,
    }
}

fn array_elements(array: &ast::Expr) -> Option<&[ast::Expr]> {
    match array {
        ast::Expr::Array(array) => Some(&array.elem),
        ast::Expr::Nested(inner) => array_elements(inner),
        _ => None,
    }
}

use super::subquery::{as_outer, single_column, subquery_of};
