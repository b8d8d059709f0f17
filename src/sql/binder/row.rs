//! Row values: `(a, b)` and `ROW(a, b)`. There is no column of rows; whatever a query does with one is said by what it
//! does with the row's values.

use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::{Expr, Operator, binary_expr, lit};
use sqlparser::ast::{self, BinaryOperator, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart};

use super::expression::Place;
use super::operator::binary;
use super::scope::Scope;
use super::subquery::{as_outer, check_width, subquery_of};
use super::{Binder, Bound};
use crate::types::{Error, Result, SqlState};

/// The values of a row expression.
pub(super) fn row_of(expression: &ast::Expr) -> Option<Vec<&ast::Expr>> {
    match expression {
        ast::Expr::Tuple(values) => Some(values.iter().collect()),
        ast::Expr::Nested(inner) => row_of(inner),
        ast::Expr::Function(function) => called_row(function),
        _ => None,
    }
}

/// `ROW(a, b)`, which reads like a call of a function.
fn called_row(function: &ast::Function) -> Option<Vec<&ast::Expr>> {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    if name.quote_style.is_some() || !name.value.eq_ignore_ascii_case("row") {
        return None;
    }
    let values = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
        _ => None,
    });
    values.collect()
}

/// The query in parentheses that an expression is.
pub(super) fn query_of(expression: &ast::Expr) -> Option<&ast::Query> {
    match expression {
        ast::Expr::Subquery(query) => Some(query),
        ast::Expr::Nested(inner) => query_of(inner),
        _ => None,
    }
}

impl Binder<'_> {
    /// `(a, b) < (c, d)`, `(a, b) = (SELECT c, d ..)`
    pub(super) fn row_comparison(
        &mut self,
        left: &[&ast::Expr],
        operator: &BinaryOperator,
        right: &ast::Expr,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        if let Some(query) = query_of(right) {
            let compared = self.row_beside_query(left, operator, query, scope, place)?;
            return Ok(Expr::ScalarSubquery(subquery_of(compared)));
        }
        let pairs = self.pairs(left, right, scope, place)?;
        self.compare_pairs(&pairs, operator, &scope.schema)
    }

    /// `(a, b) IS DISTINCT FROM (c, d)` and its negation, by that of each pair.
    pub(super) fn row_distinct(
        &mut self,
        left: &[&ast::Expr],
        right: &ast::Expr,
        negated: bool,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let mut compared = Vec::new();
        for (left, right) in self.pairs(left, right, scope, place)? {
            let mut operands = [left, right];
            self.decide_together(&mut operands, &scope.schema)?;
            let [left, right] = operands;
            let operator = if negated { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom };
            compared.push(binary_expr(left, operator, right));
        }
        Ok(compared.into_iter().reduce(if negated { Expr::and } else { Expr::or }).unwrap_or(lit(negated)))
    }

    /// `(a, b) IS NULL`: all of its values are; `IS NOT NULL`: none of them is. A row may be neither.
    pub(super) fn row_is_null(
        &mut self,
        row: &[&ast::Expr],
        negated: bool,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let mut all: Option<Expr> = None;
        for value in row {
            let value = self.expression(value, scope, place)?;
            let test = if negated { value.is_not_null() } else { value.is_null() };
            all = Some(all.map_or(test.clone(), |all| all.and(test)));
        }
        Ok(all.unwrap_or(lit(true)))
    }

    /// `(a, b) op ANY (SELECT c, d ..)` is `true IN (SELECT (a, b) op (c, d) ..)`, ALL is `false NOT IN` it. NULLs come
    /// out as they should.
    pub(super) fn row_quantified(
        &mut self,
        row: &[&ast::Expr],
        operator: &BinaryOperator,
        query: &ast::Query,
        (wanted, negated): (bool, bool),
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let compared = self.row_beside_query(row, operator, query, scope, place)?;
        Ok(Expr::InSubquery(InSubquery::new(Box::new(lit(wanted)), subquery_of(compared), negated)))
    }

    /// A query of one column: how the row compares with each row of another query.
    fn row_beside_query(
        &mut self,
        row: &[&ast::Expr],
        operator: &BinaryOperator,
        query: &ast::Query,
        scope: &Scope,
        place: Place,
    ) -> Result<Bound> {
        let mut values = Vec::new();
        for value in row {
            values.push(self.expression(value, scope, place)?);
        }
        let bound = self.inner_query(query, scope)?;
        check_width(&bound, row.len())?;
        let schema = bound.plan.schema().clone();
        let mut pairs = Vec::new();
        for (value, output) in values.into_iter().zip(&bound.columns) {
            pairs.push((as_outer(value, scope)?, Expr::Column(output.column.clone())));
        }
        let compared = self.compare_pairs(&pairs, operator, &schema)?;
        self.project(bound.plan, vec![("compared".into(), compared)])
    }

    /// The values of two rows, place by place.
    fn pairs(
        &mut self,
        left: &[&ast::Expr],
        right: &ast::Expr,
        scope: &Scope,
        place: Place,
    ) -> Result<Vec<(Expr, Expr)>> {
        let Some(right) = row_of(right) else {
            return Err(Error::unsupported("comparing a row with anything but a row of values is not supported"));
        };
        if left.len() != right.len() {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions"));
        }
        if left.is_empty() {
            return Err(Error::unsupported("cannot compare rows of zero length"));
        }
        let mut pairs = Vec::new();
        for (left, right) in left.iter().zip(right) {
            pairs.push((self.expression(left, scope, place)?, self.expression(right, scope, place)?));
        }
        Ok(pairs)
    }

    fn compare_pairs(&mut self, pairs: &[(Expr, Expr)], operator: &BinaryOperator, schema: &DFSchema) -> Result<Expr> {
        let mut compare = |pair: &(Expr, Expr), operator: &BinaryOperator| {
            binary(self, pair.0.clone(), operator, pair.1.clone(), schema, 0)
        };
        let strict = match operator {
            BinaryOperator::Eq | BinaryOperator::NotEq => {
                let equal = pairs.iter().map(|pair| compare(pair, &BinaryOperator::Eq)).collect::<Result<Vec<_>>>()?;
                let all = equal.into_iter().reduce(Expr::and).expect("a row has at least one value");
                return Ok(if *operator == BinaryOperator::Eq { all } else { Expr::Not(Box::new(all)) });
            }
            BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
            BinaryOperator::Gt | BinaryOperator::GtEq => BinaryOperator::Gt,
            other => return Err(Error::unsupported(format!("the operator {other} on rows is not supported"))),
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
