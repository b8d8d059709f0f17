//! Expressions. Each kind of syntax is one arm; what needs more than a line has a file of its own.

use datafusion::logical_expr::expr::{Between, Like};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator};
use sqlparser::ast::{self, Value};

use super::output::type_of;
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
        let mut tuple = tuple_of(first);
        let mut bound = match tuple {
            Some(_) => None,
            None => Some(self.simple(first, scope, place)?),
        };
        for (op, right) in chain.into_iter().rev() {
            if let Some(left) = tuple.take() {
                bound = Some(self.row_comparison(left, op, right, scope, place)?);
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
            Ast::IsNull(inner) => Ok(Expr::IsNull(self.boxed(inner, scope, place)?)),
            Ast::IsNotNull(inner) => Ok(Expr::IsNotNull(self.boxed(inner, scope, place)?)),
            Ast::IsTrue(inner) => Ok(Expr::IsTrue(self.boxed(inner, scope, place)?)),
            Ast::IsNotTrue(inner) => Ok(Expr::IsNotTrue(self.boxed(inner, scope, place)?)),
            Ast::IsFalse(inner) => Ok(Expr::IsFalse(self.boxed(inner, scope, place)?)),
            Ast::IsNotFalse(inner) => Ok(Expr::IsNotFalse(self.boxed(inner, scope, place)?)),
            Ast::IsUnknown(inner) => Ok(Expr::IsUnknown(self.boxed(inner, scope, place)?)),
            Ast::IsNotUnknown(inner) => Ok(Expr::IsNotUnknown(self.boxed(inner, scope, place)?)),
            Ast::IsDistinctFrom(left, right) => self.distinct(left, right, Operator::IsDistinctFrom, scope, place),
            Ast::IsNotDistinctFrom(left, right) => {
                self.distinct(left, right, Operator::IsNotDistinctFrom, scope, place)
            }
            Ast::Between { expr, negated, low, high } => self.between(expr, *negated, low, high, scope, place),
            Ast::InList { expr, list, negated } => self.in_list(expr, list, *negated, scope, place),
            Ast::InSubquery { expr, subquery, negated } => self.in_subquery(expr, subquery, *negated, scope, place),
            Ast::AnyOp { left, compare_op, right, .. } => self.any(left, compare_op, right, scope, place),
            Ast::AllOp { left, compare_op, right } => self.all(left, compare_op, right, scope, place),
            Ast::Exists { subquery, negated } => self.exists(subquery, *negated, scope),
            Ast::Subquery(query) => self.scalar_subquery(query, scope),
            Ast::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like([expr, pattern], *negated, false, escape_char.as_ref(), scope, place)
            }
            Ast::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like([expr, pattern], *negated, true, escape_char.as_ref(), scope, place)
            }
            Ast::SimilarTo { negated, expr, pattern, escape_char } => {
                self.similar_to(expr, pattern, *negated, escape_char.as_ref(), scope, place)
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
        let value = self.expression(value, scope, place)?;
        let low = self.expression(low, scope, place)?;
        let high = self.expression(high, scope, place)?;
        let mut operands = [value, low, high];
        self.decide_together(&mut operands, &scope.schema)?;
        let [value, low, high] = operands;
        Ok(Expr::Between(Between::new(Box::new(value), negated, Box::new(low), Box::new(high))))
    }

    fn distinct(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        operator: Operator,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let mut operands = [self.expression(left, scope, place)?, self.expression(right, scope, place)?];
        self.decide_together(&mut operands, &scope.schema)?;
        let [left, right] = operands;
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right))))
    }

    fn like(
        &mut self,
        [value, pattern]: [&ast::Expr; 2],
        negated: bool,
        case_insensitive: bool,
        escape: Option<&ast::ValueWithSpan>,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let value = self.text_operand(value, scope, place)?;
        let pattern = self.text_operand(pattern, scope, place)?;
        let escape = escape.map(escape_character).transpose()?.flatten();
        Ok(Expr::Like(Like::new(negated, Box::new(value), Box::new(pattern), escape, case_insensitive)))
    }

    fn similar_to(
        &mut self,
        value: &ast::Expr,
        pattern: &ast::Expr,
        negated: bool,
        escape: Option<&ast::ValueWithSpan>,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let value = self.text_operand(value, scope, place)?;
        let pattern = self.text_operand(pattern, scope, place)?;
        let escape = escape.map(escape_character).transpose()?.flatten();
        Ok(Expr::SimilarTo(Like::new(negated, Box::new(value), Box::new(pattern), escape, false)))
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

use ast::CaseWhen;

/// The elements of a row expression.
pub(super) fn tuple_of(expression: &ast::Expr) -> Option<&[ast::Expr]> {
    match expression {
        ast::Expr::Tuple(elements) => Some(elements),
        ast::Expr::Nested(inner) => tuple_of(inner),
        _ => None,
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
