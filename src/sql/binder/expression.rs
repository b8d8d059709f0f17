//! Expressions. Each kind of syntax is one arm; what needs more than a line has a file of its own.

use datafusion::logical_expr::expr::{Between, Like, SetQuantifier};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator};
use sqlparser::ast::{self, BinaryOperator, CaseWhen, Value};

use super::output::type_of;
use super::row::row_of;
use super::scope::Scope;
use super::{Binder, operator};
use crate::types::{Error, Result, SqlState, SqlType};

/// Where an expression stands: decides what it may contain, and names it in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Select,
    Where,
    JoinOn,
    GroupBy,
    Having,
    OrderBy,
    DistinctOn,
    Limit,
    Values,
    Window,
    /// The arguments of an aggregate, and its FILTER.
    Aggregate,
    FromFunction,
    Returning,
    Update,
    Default,
    /// SET, EXECUTE, AS OF: a value without rows.
    Constant,
}

impl Place {
    /// As messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Place::Select => "SELECT",
            Place::Where => "WHERE",
            Place::JoinOn => "JOIN conditions",
            Place::GroupBy => "GROUP BY",
            Place::Having => "HAVING",
            Place::OrderBy => "ORDER BY",
            Place::DistinctOn => "SELECT DISTINCT ON",
            Place::Limit => "LIMIT",
            Place::Values => "VALUES",
            Place::Window => "window definitions",
            Place::Aggregate => "aggregate function calls",
            Place::FromFunction => "functions in FROM",
            Place::Returning => "RETURNING",
            Place::Update => "UPDATE",
            Place::Default => "DEFAULT expressions",
            Place::Constant => "constant expressions",
        }
    }

    pub fn allows_aggregates(self) -> bool {
        matches!(self, Place::Select | Place::Having | Place::OrderBy | Place::DistinctOn | Place::Window)
    }

    pub fn allows_windows(self) -> bool {
        matches!(self, Place::Select | Place::OrderBy | Place::DistinctOn)
    }

    pub fn allows_sets(self) -> bool {
        matches!(self, Place::Select | Place::OrderBy)
    }
}

impl Binder<'_> {
    pub fn expression(&mut self, expression: &ast::Expr, scope: &Scope, place: Place) -> Result<Expr> {
        // Chains like `a AND b AND c ..` lean to the left and can be long: follow them without recursion.
        let mut chain = Vec::new();
        let mut first = expression;
        while let ast::Expr::BinaryOp { left, op, right } = first {
            chain.push((op, right));
            first = left;
        }
        if chain.is_empty() {
            return self.simple(expression, scope, place);
        }
        let mut tuple = row_of(first);
        let mut bound = match tuple {
            Some(_) => None,
            None => Some(self.simple(first, scope, place)?),
        };
        for (op, right) in chain.into_iter().rev() {
            if let Some(left) = tuple.take() {
                bound = Some(self.row_comparison(&left, op, right, scope, place)?);
                continue;
            }
            let left = bound.take().expect("the left side is bound");
            let position = position_of(right);
            let right = self.expression(right, scope, place)?;
            bound = Some(operator::binary(self, left, op, right, &scope.schema, position)?);
        }
        Ok(bound.expect("a chain has at least one operator"))
    }

    /// Anything but a binary operator.
    fn simple(&mut self, expression: &ast::Expr, scope: &Scope, place: Place) -> Result<Expr> {
        use ast::Expr as Ast;
        match expression {
            Ast::Nested(inner) => self.expression(inner, scope, place),
            Ast::Value(value) => self.literal(value),
            Ast::Identifier(ident) => self.column_or_default(ident, scope, place),
            Ast::CompoundIdentifier(idents) => self.qualified_column(idents, scope),
            Ast::Function(function) => self.function(function, scope, place),
            Ast::Cast { expr, data_type, format: None, array: false, kind } => match kind {
                ast::CastKind::Cast | ast::CastKind::DoubleColon => self.cast(expr, data_type, scope, place),
                _ => Err(Error::unsupported("TRY_CAST is not supported")),
            },
            Ast::TypedString(typed) => self.typed_string(typed),
            Ast::Interval(interval) => self.interval(interval),
            Ast::UnaryOp { op, expr } => self.unary(*op, expr, scope, place),
            Ast::IsNull(inner) => self.is_null(inner, false, scope, place),
            Ast::IsNotNull(inner) => self.is_null(inner, true, scope, place),
            Ast::IsTrue(inner) => Ok(Expr::IsTrue(self.boxed(inner, scope, place)?)),
            Ast::IsNotTrue(inner) => Ok(Expr::IsNotTrue(self.boxed(inner, scope, place)?)),
            Ast::IsFalse(inner) => Ok(Expr::IsFalse(self.boxed(inner, scope, place)?)),
            Ast::IsNotFalse(inner) => Ok(Expr::IsNotFalse(self.boxed(inner, scope, place)?)),
            Ast::IsUnknown(inner) => Ok(Expr::IsUnknown(self.boxed(inner, scope, place)?)),
            Ast::IsNotUnknown(inner) => Ok(Expr::IsNotUnknown(self.boxed(inner, scope, place)?)),
            Ast::IsDistinctFrom(left, right) => match regrouped(left, right, Ast::IsDistinctFrom) {
                Some(regrouped) => self.expression(&regrouped, scope, place),
                None => self.distinct(left, right, false, scope, place),
            },
            Ast::IsNotDistinctFrom(left, right) => match regrouped(left, right, Ast::IsNotDistinctFrom) {
                Some(regrouped) => self.expression(&regrouped, scope, place),
                None => self.distinct(left, right, true, scope, place),
            },
            Ast::Between { expr, negated, low, high } => self.between(expr, *negated, low, high, scope, place),
            Ast::InList { expr, list, negated } => self.in_list(expr, list, *negated, scope, place),
            Ast::InSubquery { expr, subquery, negated } => self.in_subquery(expr, subquery, *negated, scope, place),
            Ast::AnyOp { left, compare_op, right, .. } => {
                self.quantified(left, compare_op, right, SetQuantifier::Any, scope, place)
            }
            Ast::AllOp { left, compare_op, right } => {
                self.quantified(left, compare_op, right, SetQuantifier::All, scope, place)
            }
            Ast::Exists { subquery, negated } => self.exists(subquery, *negated, scope),
            Ast::Subquery(query) => self.scalar_subquery(query, scope),
            Ast::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like([expr, pattern], *negated, escape_char.as_ref(), scope, place).map(Expr::Like)
            }
            Ast::ILike { negated, any: false, expr, pattern, escape_char } => {
                let like = self.like([expr, pattern], *negated, escape_char.as_ref(), scope, place)?;
                Ok(Expr::Like(Like { case_insensitive: true, ..like }))
            }
            Ast::SimilarTo { negated, expr, pattern, escape_char } => {
                self.like([expr, pattern], *negated, escape_char.as_ref(), scope, place).map(Expr::SimilarTo)
            }
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), scope, place)
            }
            Ast::Array(array) => self.array(&array.elem, scope, place),
            Ast::CompoundFieldAccess { root, access_chain } => self.subscripts(root, access_chain, scope, place),
            Ast::Collate { expr, collation } => self.collate(expr, collation, scope, place),
            other => self.special_syntax(other, scope, place),
        }
    }

    fn boxed(&mut self, expression: &ast::Expr, scope: &Scope, place: Place) -> Result<Box<Expr>> {
        Ok(Box::new(self.expression(expression, scope, place)?))
    }

    fn column_or_default(&mut self, ident: &ast::Ident, scope: &Scope, place: Place) -> Result<Expr> {
        let is_default = ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default");
        let position = crate::sql::statement::position_of(ident);
        if is_default && matches!(place, Place::Values | Place::Update) {
            let message = "DEFAULT is not allowed in this context";
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(position));
        }
        if place == Place::Default {
            let message = "cannot use column reference in DEFAULT expression";
            return Err(Error::unsupported(message).at(position));
        }
        // The one function without parentheses that sqlparser takes for a column.
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("current_schema") {
            return Ok(self.current_schema());
        }
        self.bare_column(ident, scope)
    }

    /// A condition: WHERE, ON, HAVING.
    pub fn condition(&mut self, condition: &ast::Expr, scope: &Scope, place: Place) -> Result<Expr> {
        let bound = self.expression(condition, scope, place)?;
        let bound = self.parameters.decide(bound, &SqlType::Bool);
        match type_of(&bound, &scope.schema)? {
            SqlType::Bool | SqlType::Unknown => Ok(bound),
            other => {
                let clause = if place == Place::JoinOn { "JOIN/ON" } else { place.name() };
                let message = format!("argument of {clause} must be type boolean, not type {other}");
                let error = Error::new(SqlState::DATATYPE_MISMATCH, message);
                Err(match position_of(condition) {
                    0 => error,
                    position => error.at(position),
                })
            }
        }
    }

    fn between(
        &mut self,
        value: &ast::Expr,
        negated: bool,
        low: &ast::Expr,
        high: &ast::Expr,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        if let Some(row) = row_of(value) {
            let above = self.row_comparison(&row, &BinaryOperator::GtEq, low, scope, place)?;
            let within = above.and(self.row_comparison(&row, &BinaryOperator::LtEq, high, scope, place)?);
            return Ok(if negated { Expr::Not(Box::new(within)) } else { within });
        }
        let value = self.expression(value, scope, place)?;
        let low = self.expression(low, scope, place)?;
        let high = self.expression(high, scope, place)?;
        let mut operands = [value, low, high];
        self.decide_together(&mut operands, &scope.schema)?;
        let [value, low, high] = operands;
        Ok(Expr::Between(Between::new(Box::new(value), negated, Box::new(low), Box::new(high))))
    }

    fn is_null(&mut self, value: &ast::Expr, negated: bool, scope: &Scope, place: Place) -> Result<Expr> {
        if let Some(row) = row_of(value) {
            return self.row_is_null(&row, negated, scope, place);
        }
        let value = self.boxed(value, scope, place)?;
        Ok(if negated { Expr::IsNotNull(value) } else { Expr::IsNull(value) })
    }

    /// IS DISTINCT FROM; negated, IS NOT DISTINCT FROM.
    fn distinct(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        negated: bool,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        if let Some(row) = row_of(left) {
            return self.row_distinct(&row, right, negated, scope, place);
        }
        let mut operands = [self.expression(left, scope, place)?, self.expression(right, scope, place)?];
        self.decide_together(&mut operands, &scope.schema)?;
        let [left, right] = operands;
        let operator = if negated { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom };
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right))))
    }

    /// LIKE, ILIKE and SIMILAR TO have the same parts.
    fn like(
        &mut self,
        [value, pattern]: [&ast::Expr; 2],
        negated: bool,
        escape: Option<&ast::ValueWithSpan>,
        scope: &Scope,
        place: Place,
    ) -> Result<Like> {
        let value = self.text_operand(value, scope, place)?;
        let pattern = self.text_operand(pattern, scope, place)?;
        let escape = escape.map(escape_character).transpose()?.flatten();
        Ok(Like::new(negated, Box::new(value), Box::new(pattern), escape, false))
    }

    fn text_operand(&mut self, operand: &ast::Expr, scope: &Scope, place: Place) -> Result<Expr> {
        let operand = self.expression(operand, scope, place)?;
        Ok(self.parameters.decide(operand, &SqlType::Text))
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let mut compared = Vec::new();
        if let Some(operand) = operand {
            compared.push(self.expression(operand, scope, place)?);
        }
        let mut results = Vec::new();
        for CaseWhen { condition, result } in conditions {
            let condition = self.expression(condition, scope, place)?;
            compared.push(match operand {
                Some(_) => condition,
                None => self.parameters.decide(condition, &SqlType::Bool),
            });
            results.push(self.expression(result, scope, place)?);
        }
        let has_else = otherwise.is_some();
        if let Some(otherwise) = otherwise {
            results.push(self.expression(otherwise, scope, place)?);
        }
        self.decide_together(&mut results, &scope.schema)?;
        let expr = match operand {
            Some(_) => {
                self.decide_together(&mut compared, &scope.schema)?;
                Some(Box::new(compared.remove(0)))
            }
            None => None,
        };
        let else_expr = if has_else { results.pop().map(Box::new) } else { None };
        let pairs = compared.into_iter().zip(results).map(|(when, then)| (Box::new(when), Box::new(then)));
        Ok(Expr::Case(Case { expr, when_then_expr: pairs.collect(), else_expr }))
    }

    /// Open parameters among operands take the type of the first that has one.
    pub(super) fn decide_together(
        &mut self,
        operands: &mut [Expr],
        schema: &datafusion::common::DFSchema,
    ) -> Result<()> {
        if !operands.iter().any(super::parameters::is_open) {
            return Ok(());
        }
        let mut known = SqlType::Unknown;
        for operand in operands.iter() {
            let found = type_of(operand, schema)?;
            if known == SqlType::Unknown {
                known = found;
            }
        }
        for operand in operands {
            *operand = self.parameters.decide(std::mem::take(operand), &known);
        }
        Ok(())
    }
}

/// Where an expression begins, 0 if that is not known.
pub(super) fn position_of(expression: &ast::Expr) -> usize {
    use sqlparser::ast::Spanned;
    expression.span().start.column as usize
}

/// The character of ESCAPE; none for the empty string, which switches escaping off.
fn escape_character(value: &ast::ValueWithSpan) -> Result<Option<char>> {
    let Value::SingleQuotedString(text) = &value.value else {
        return Err(Error::unsupported("ESCAPE takes a string of one character"));
    };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(escape), None) => Ok(Some(escape)),
        (None, _) => Err(Error::unsupported("ESCAPE '' is not supported")),
        _ => Err(Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .with_hint("Escape string must be empty or one character.")),
    }
}

/// The parser takes everything after IS DISTINCT FROM for its right side; in PostgreSQL AND and OR end it.
fn regrouped(
    left: &ast::Expr,
    right: &ast::Expr,
    test: fn(Box<ast::Expr>, Box<ast::Expr>) -> ast::Expr,
) -> Option<ast::Expr> {
    let ast::Expr::BinaryOp { left: first, op: op @ (ast::BinaryOperator::And | ast::BinaryOperator::Or), right: rest } =
        right
    else {
        return None;
    };
    let tested = regrouped(left, first, test).unwrap_or_else(|| test(Box::new(left.clone()), first.clone()));
    Some(ast::Expr::BinaryOp { left: Box::new(tested), op: op.clone(), right: rest.clone() })
}
