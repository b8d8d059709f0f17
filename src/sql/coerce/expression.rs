//! Settles the types inside one expression, from its leaves up.
//!
//! A bare string or NULL has no type until it meets something that has one; then it is read as that type, once and for
//! all, here. Everything that PostgreSQL casts by
//! itself is cast here explicitly, and what it would refuse is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema, Result as DataFusionResult, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{
    AggregateFunction, Alias, Between, BinaryExpr, Case, Cast as BareCast, InList, InSubquery, Like, Placeholder,
    ScalarFunction, SetComparison,
};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, Subquery};

use super::conversion::{common_type, comparison_type};
use super::plan::settle;
use super::select::{Argument, bare_name, select_typed};
use crate::sql::function::cast::{Cast, CastContext, cast_array, is_castable};
use crate::sql::function::definition::{Function, style_of};
use crate::sql::function::{interval_order, operator, registered, unpadded};
use crate::types::{Error, Result, SqlState, SqlType, TYPE_KEY};

/// Types expressions over one node's input.
pub struct Typer<'a> {
    /// The columns of the input, and those of the queries around it.
    pub schema: &'a DFSchema,
    pub outer: &'a DFSchema,
    pub options: &'a ConfigOptions,
}

impl Typer<'_> {
    pub fn settle(&self, expression: Expr) -> DataFusionResult<Expr> {
        Ok(expression.transform_up(|part| self.settle_part(part).map(Transformed::yes))?.data)
    }

    /// One node, whose operands are settled.
    fn settle_part(&self, part: Expr) -> DataFusionResult<Expr> {
        Ok(match part {
            Expr::Literal(value, metadata) => Expr::Literal(literal(value), metadata),
            Expr::Alias(alias) => Expr::Alias(Alias { metadata: alias.metadata.and_then(without_type), ..alias }),
            Expr::OuterReferenceColumn(field, column) => match self.outer.field_from_column(&column) {
                Ok(found) => Expr::OuterReferenceColumn(found.clone(), column),
                Err(_) => Expr::OuterReferenceColumn(field, column),
            },
            Expr::BinaryExpr(binary) => self.settle_binary(binary)?,
            Expr::Negative(operand) => self.call(&operator("unary -"), vec![*operand])?,
            Expr::Not(operand) => Expr::Not(Box::new(self.boolean(*operand, "NOT")?)),
            Expr::IsTrue(operand) => Expr::IsTrue(Box::new(self.boolean(*operand, "IS TRUE")?)),
            Expr::IsNotTrue(operand) => Expr::IsNotTrue(Box::new(self.boolean(*operand, "IS NOT TRUE")?)),
            Expr::IsFalse(operand) => Expr::IsFalse(Box::new(self.boolean(*operand, "IS FALSE")?)),
            Expr::IsNotFalse(operand) => Expr::IsNotFalse(Box::new(self.boolean(*operand, "IS NOT FALSE")?)),
            Expr::IsUnknown(operand) => Expr::IsUnknown(Box::new(self.boolean(*operand, "IS UNKNOWN")?)),
            Expr::IsNotUnknown(operand) => Expr::IsNotUnknown(Box::new(self.boolean(*operand, "IS NOT UNKNOWN")?)),
            Expr::Between(between) => self.settle_between(between)?,
            Expr::InList(list) => self.settle_list(list)?,
            Expr::Like(like) => self.settle_like(like)?,
            Expr::SimilarTo(like) => self.settle_similar(like)?,
            Expr::Case(case) => self.settle_case(case)?,
            Expr::Cast(cast) => self.settle_cast(cast)?,
            Expr::ScalarFunction(call) => self.settle_call(call)?,
            Expr::AggregateFunction(call) => self.settle_aggregate(call)?,
            Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(self.settle_subquery(subquery)?),
            Expr::Exists(mut exists) => {
                exists.subquery = self.settle_subquery(exists.subquery)?;
                Expr::Exists(exists)
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let subquery = self.settle_subquery(subquery)?;
                let expr = Box::new(self.beside_subquery(*expr, &subquery)?);
                Expr::InSubquery(InSubquery { expr, subquery, negated })
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let subquery = self.settle_subquery(subquery)?;
                let expr = Box::new(self.beside_subquery(*expr, &subquery)?);
                Expr::SetComparison(SetComparison { expr, subquery, op, quantifier })
            }
            other => other,
        })
    }

    /// What is known of an expression as an argument.
    pub fn argument(&self, expression: &Expr) -> Result<Argument> {
        let bare = match expression {
            Expr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        Ok(match bare {
            Expr::Literal(value @ (ScalarValue::Utf8(_) | ScalarValue::Null), None) => {
                Argument { sql_type: SqlType::Unknown, literal: Some(value.clone()) }
            }
            Expr::Placeholder(Placeholder { field: None, .. }) => Argument::typed(SqlType::Unknown),
            Expr::Literal(value, _) => {
                let (_, field) = bare.to_field(self.schema)?;
                Argument::of(&field, Some(value))
            }
            _ => {
                let (_, field) = bare.to_field(self.schema)?;
                Argument::of(&field, None)
            }
        })
    }

    /// An expression as another type, without asking: what has no type is read as it.
    pub fn cast_to(&self, expression: Expr, wanted: &SqlType) -> Result<Expr> {
        let found = self.argument(&expression)?;
        self.cast(expression, &found, wanted, CastContext::Explicit)
    }

    fn cast(&self, expression: Expr, found: &Argument, wanted: &SqlType, context: CastContext) -> Result<Expr> {
        let from = &found.sql_type;
        if from == wanted {
            return Ok(expression);
        }
        if let Expr::Placeholder(Placeholder { id, field: None }) = expression {
            let field = Some(Arc::new(wanted.field("", true)));
            return Ok(Expr::Placeholder(Placeholder { id, field }));
        }
        if let (SqlType::Unknown, SqlType::Text) = (from, wanted) {
            return Ok(match expression {
                Expr::Literal(ScalarValue::Null, metadata) => Expr::Literal(ScalarValue::Utf8(None), metadata),
                other => other,
            });
        }
        if !is_castable(from, wanted) {
            let (from, to) = (bare_name(from), bare_name(wanted));
            return Err(Error::new(SqlState::CANNOT_COERCE, format!("cannot cast type {from} to {to}")));
        }
        if let (Expr::Literal(value, _), true) = (&expression, is_folded(from, wanted)) {
            return self.read_literal(value, from, wanted, context);
        }
        if is_widening(from, wanted) {
            return Ok(Expr::Cast(BareCast::new(Box::new(expression), wanted.arrow())));
        }
        if matches!((from, wanted), (SqlType::Text | SqlType::Varchar(_), SqlType::Text | SqlType::Varchar(None))) {
            return Ok(match wanted {
                SqlType::Text if *from != SqlType::Text => {
                    Cast::call(expression, from.clone(), wanted.clone(), context)
                }
                _ => expression,
            });
        }
        Ok(Cast::call(expression, from.clone(), wanted.clone(), context))
    }

    /// A constant of another type, its SQL type noted where Arrow's does not say it.
    fn read_literal(&self, value: &ScalarValue, from: &SqlType, to: &SqlType, context: CastContext) -> Result<Expr> {
        let array = cast_array(&value.to_array()?, from, to, context, &style_of(self.options))?;
        let value = ScalarValue::try_from_array(&array, 0)?;
        let field = to.field("", true);
        let metadata = field.metadata().contains_key(TYPE_KEY).then(|| FieldMetadata::new_from_field(&field));
        Ok(Expr::Literal(value, metadata))
    }

    /// A condition, which must be boolean.
    pub fn boolean(&self, expression: Expr, place: &str) -> Result<Expr> {
        let found = self.argument(&expression)?;
        match found.sql_type {
            SqlType::Bool => Ok(expression),
            SqlType::Unknown => self.cast(expression, &found, &SqlType::Bool, CastContext::Explicit),
            other => Err(Error::new(
                SqlState::DATATYPE_MISMATCH,
                format!("argument of {place} must be type boolean, not type {}", bare_name(&other)),
            )),
        }
    }

    /// A call of one of our functions: the overload is chosen, the arguments are cast to it.
    pub fn call(&self, udf: &Arc<datafusion::logical_expr::ScalarUDF>, arguments: Vec<Expr>) -> Result<Expr> {
        let Some(function) = udf.inner().downcast_ref::<Function>() else {
            return Ok(Expr::ScalarFunction(ScalarFunction { func: udf.clone(), args: arguments }));
        };
        let found = arguments.iter().map(|argument| self.argument(argument)).collect::<Result<Vec<_>>>()?;
        let selection = select_typed(function, &found)?;
        let cast = arguments
            .into_iter()
            .zip(&found)
            .zip(&selection.targets)
            .map(|((argument, found), wanted)| self.cast(argument, found, wanted, CastContext::Explicit));
        Ok(Expr::ScalarFunction(ScalarFunction { func: udf.clone(), args: cast.collect::<Result<_>>()? }))
    }

    fn settle_call(&self, call: ScalarFunction) -> Result<Expr> {
        // A cast that has been settled before.
        if call.func.inner().is::<Cast>() {
            return Ok(Expr::ScalarFunction(call));
        }
        self.call(&call.func, call.args)
    }

    fn settle_aggregate(&self, mut call: AggregateFunction) -> Result<Expr> {
        if let Some(filter) = call.params.filter.take() {
            call.params.filter = Some(Box::new(self.boolean(*filter, "FILTER")?));
        }
        Ok(Expr::AggregateFunction(call))
    }

    fn settle_binary(&self, binary: BinaryExpr) -> Result<Expr> {
        let BinaryExpr { left, op, right } = binary;
        let name = match op {
            Operator::And | Operator::Or => {
                let place = if op == Operator::And { "AND" } else { "OR" };
                let (left, right) = (self.boolean(*left, place)?, self.boolean(*right, place)?);
                return Ok(Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) }));
            }
            _ if op.supports_propagation()
                || matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom | Operator::NotEq) =>
            {
                let sign = match op {
                    Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => "=".to_string(),
                    Operator::NotEq => "<>".to_string(),
                    _ => op.to_string(),
                };
                let (left, right) = self.compared(*left, *right, &sign)?;
                return Ok(Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) }));
            }
            Operator::Plus => "+",
            Operator::Minus => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
            Operator::BitwiseAnd => "&",
            Operator::BitwiseOr => "|",
            Operator::BitwiseXor => "#",
            Operator::BitwiseShiftLeft => "<<",
            Operator::BitwiseShiftRight => ">>",
            Operator::StringConcat => "||",
            Operator::RegexMatch => "~",
            Operator::RegexIMatch => "~*",
            Operator::RegexNotMatch => "!~",
            Operator::RegexNotIMatch => "!~*",
            _ => return Ok(Expr::BinaryExpr(BinaryExpr { left, op, right })),
        };
        self.call(&operator(name), vec![*left, *right])
    }

    /// Two operands of a comparison, with one type that Arrow orders as PostgreSQL does.
    pub fn compared(&self, left: Expr, right: Expr, sign: &str) -> Result<(Expr, Expr)> {
        let (a, b) = (self.argument(&left)?, self.argument(&right)?);
        let common = comparable(&a.sql_type, &b.sql_type, sign)?;
        let left = self.comparison_operand(left, &a, &common)?;
        Ok((left, self.comparison_operand(right, &b, &common)?))
    }

    /// An interval is compared by its length; the padding of char(n) does not count.
    fn comparison_operand(&self, operand: Expr, found: &Argument, common: &SqlType) -> Result<Expr> {
        if let (SqlType::Char(_), SqlType::Char(_) | SqlType::Unknown) = (common, &found.sql_type) {
            let text = if found.sql_type == SqlType::Unknown {
                self.cast(operand, found, &SqlType::Text, CastContext::Explicit)?
            } else {
                operand
            };
            return Ok(unpadded().call(vec![text]));
        }
        let operand = self.cast(operand, found, common, CastContext::Explicit)?;
        Ok(if *common == SqlType::Interval { interval_order().call(vec![operand]) } else { operand })
    }

    /// What a row is sorted by.
    pub fn sort_key(&self, key: Expr) -> Result<Expr> {
        let found = self.argument(&key)?;
        Ok(match found.sql_type {
            SqlType::Interval => interval_order().call(vec![key]),
            _ => key,
        })
    }

    fn settle_between(&self, between: Between) -> Result<Expr> {
        let Between { expr, negated, low, high } = between;
        let mut operands = self.all_compared(vec![*expr, *low, *high], "<=")?.into_iter().map(Box::new);
        let mut next = || operands.next().expect("as many come out as went in");
        let (expr, low, high) = (next(), next(), next());
        Ok(Expr::Between(Between { expr, negated, low, high }))
    }

    fn settle_list(&self, list: InList) -> Result<Expr> {
        let InList { expr, list, negated } = list;
        let mut operands = self.all_compared(std::iter::once(*expr).chain(list).collect(), "=")?;
        let expr = Box::new(operands.remove(0));
        Ok(Expr::InList(InList { expr, list: operands, negated }))
    }

    fn all_compared(&self, operands: Vec<Expr>, sign: &str) -> Result<Vec<Expr>> {
        let found = operands.iter().map(|operand| self.argument(operand)).collect::<Result<Vec<_>>>()?;
        let mut common = SqlType::Unknown;
        for argument in &found {
            common = comparable(&common, &argument.sql_type, sign)?;
        }
        let operands = operands.into_iter().zip(&found);
        operands.map(|(operand, found)| self.comparison_operand(operand, found, &common)).collect()
    }

    fn text(&self, operand: Expr, sign: &str, other: &Expr) -> Result<Expr> {
        let found = self.argument(&operand)?;
        match super::conversion::category(&found.sql_type) {
            super::conversion::Category::Text => self.cast(operand, &found, &SqlType::Text, CastContext::Explicit),
            _ if found.sql_type == SqlType::Unknown => {
                self.cast(operand, &found, &SqlType::Text, CastContext::Explicit)
            }
            _ => Err(no_operator(&found.sql_type, sign, &self.argument(other)?.sql_type)),
        }
    }

    fn settle_like(&self, like: Like) -> Result<Expr> {
        let Like { negated, expr, pattern, escape_char, case_insensitive } = like;
        let sign = match (negated, case_insensitive) {
            (false, false) => "~~",
            (true, false) => "!~~",
            (false, true) => "~~*",
            (true, true) => "!~~*",
        };
        let text = self.text(*expr.clone(), sign, &pattern)?;
        let pattern = self.text(*pattern, sign, &expr)?;
        let matches = match escape_char {
            // Arrow's kernel knows the backslash only.
            None | Some('\\') => {
                let (expr, pattern) = (Box::new(text), Box::new(pattern));
                return Ok(Expr::Like(Like { negated, expr, pattern, escape_char: None, case_insensitive }));
            }
            Some(escape) => {
                let escaped = registered("like_escape").call(vec![pattern, text_literal(&escape.to_string())]);
                Expr::Like(Like {
                    negated: false,
                    expr: Box::new(text),
                    pattern: Box::new(escaped),
                    escape_char: None,
                    case_insensitive,
                })
            }
        };
        Ok(if negated { Expr::Not(Box::new(matches)) } else { matches })
    }

    fn settle_similar(&self, like: Like) -> Result<Expr> {
        let Like { negated, expr, pattern, escape_char, .. } = like;
        let text = self.text(*expr.clone(), "~", &pattern)?;
        let pattern = self.text(*pattern, "~", &expr)?;
        let escape = text_literal(&escape_char.unwrap_or('\\').to_string());
        let regex = registered("similar_to_escape").call(vec![pattern, escape]);
        let matches = operator("~").call(vec![text, regex]);
        Ok(if negated { Expr::Not(Box::new(matches)) } else { matches })
    }

    fn settle_case(&self, case: Case) -> Result<Expr> {
        let (whens, thens): (Vec<_>, Vec<_>) =
            case.when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
        let has_else = case.else_expr.is_some();
        let (operand, whens) = match case.expr {
            Some(operand) => {
                let mut compared = self.all_compared(std::iter::once(*operand).chain(whens).collect(), "=")?;
                (Some(Box::new(compared.remove(0))), compared)
            }
            None => {
                let whens = whens.into_iter().map(|when| self.boolean(when, "CASE/WHEN"));
                (None, whens.collect::<Result<Vec<_>>>()?)
            }
        };
        let branches: Vec<Expr> = thens.into_iter().chain(case.else_expr.map(|branch| *branch)).collect();
        let mut branches = self.unified(branches, "CASE")?;
        let else_expr = if has_else { branches.pop().map(Box::new) } else { None };
        let pairs = whens.into_iter().map(Box::new).zip(branches.into_iter().map(Box::new));
        Ok(Expr::Case(Case { expr: operand, when_then_expr: pairs.collect(), else_expr }))
    }

    /// Expressions with one type.
    pub fn unified(&self, branches: Vec<Expr>, place: &str) -> Result<Vec<Expr>> {
        let found = branches.iter().map(|branch| self.argument(branch)).collect::<Result<Vec<_>>>()?;
        let mut common = SqlType::Unknown;
        for argument in &found {
            common = common_type(&common, &argument.sql_type).ok_or_else(|| {
                let (left, right) = (bare_name(&common), bare_name(&argument.sql_type));
                Error::new(SqlState::DATATYPE_MISMATCH, format!("{place} types {left} and {right} cannot be matched"))
            })?;
        }
        if common == SqlType::Unknown {
            common = SqlType::Text;
        }
        let branches = branches.into_iter().zip(&found);
        branches.map(|(branch, found)| self.cast(branch, found, &common, CastContext::Explicit)).collect()
    }

    fn settle_cast(&self, cast: BareCast) -> Result<Expr> {
        let wanted = SqlType::of_field(&cast.field);
        let found = self.argument(&cast.expr)?;
        // Arrow's other units and widths come from DataFusion itself, and are its own business. (The items of an array
        // type say in their metadata which SQL type they are.)
        if !wanted.arrow().equals_datatype(cast.field.data_type()) {
            return Ok(Expr::Cast(cast));
        }
        // The cast says that this literal is text, and not without a type.
        if wanted == SqlType::Text && matches!(found.sql_type, SqlType::Unknown | SqlType::Text) {
            return Ok(Expr::Cast(cast));
        }
        self.cast(*cast.expr, &found, &wanted, CastContext::Explicit)
    }

    fn settle_subquery(&self, subquery: Subquery) -> DataFusionResult<Subquery> {
        let plan = settle(Arc::unwrap_or_clone(subquery.subquery), self.schema, self.options)?;
        let outer_ref_columns = (subquery.outer_ref_columns.into_iter())
            .map(|column| self.settle_part(column))
            .collect::<DataFusionResult<_>>()?;
        Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans })
    }

    /// A literal takes the type of the subquery's column; other differences are for DataFusion's coercion.
    fn beside_subquery(&self, expression: Expr, subquery: &Subquery) -> Result<Expr> {
        let column = SqlType::of_field(subquery.subquery.schema().field(0));
        let found = self.argument(&expression)?;
        comparable(&found.sql_type, &column, "=")?;
        match found.sql_type {
            SqlType::Unknown => self.cast(expression, &found, &column, CastContext::Explicit),
            _ => Ok(expression),
        }
    }
}

/// The type in which two types are compared; 42883 if they are not.
pub fn comparable(left: &SqlType, right: &SqlType, sign: &str) -> Result<SqlType> {
    let common = comparison_type(left, right).filter(|common| !matches!(common, SqlType::Json));
    common.ok_or_else(|| no_operator(left, sign, right))
}

fn no_operator(left: &SqlType, sign: &str, right: &SqlType) -> Error {
    let (left, right) = (bare_name(left), bare_name(right));
    Error::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {left} {sign} {right}"))
        .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

/// A name may say the type of the expression under it while that can't say it itself; now it can.
fn without_type(metadata: FieldMetadata) -> Option<FieldMetadata> {
    let others = metadata.inner().iter().filter(|(key, _)| *key != TYPE_KEY);
    let others: BTreeMap<String, String> = others.map(|(key, value)| (key.clone(), value.clone())).collect();
    (!others.is_empty()).then(|| FieldMetadata::new(others))
}

fn text_literal(text: &str) -> Expr {
    Expr::Literal(ScalarValue::Utf8(Some(text.into())), None)
}

/// Values of types that PostgreSQL does not have, which rules of DataFusion's may make, as the nearest that it has.
fn literal(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::UInt64(Some(wide)) => ScalarValue::Decimal128(Some(wide.into()), 20, 0),
        ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => ScalarValue::Utf8(text),
        other => other,
    }
}

/// Whether a constant is cast at once: a literal without a type is read, and what can't fail is no reason to wait.
fn is_folded(from: &SqlType, wanted: &SqlType) -> bool {
    use SqlType::*;
    *from == Unknown
        || matches!((from, wanted), (Int2 | Int4 | Int8 | Numeric(_), Float8) | (Int4, Numeric(None)))
        || matches!((from, wanted), (Int2 | Int4, Numeric(Some((precision, scale)))) if precision - *scale as u8 >= 10)
        || matches!((from, wanted), (Int8, Numeric(Some((precision, scale)))) if precision - *scale as u8 >= 19)
}

/// Casts that Arrow does as PostgreSQL does, and that DataFusion's optimizer sees through.
fn is_widening(from: &SqlType, wanted: &SqlType) -> bool {
    use SqlType::*;
    matches!((from, wanted), (Int2, Int4 | Int8) | (Int4, Int8) | (Int2 | Int4 | Int8, Float8) | (Float4, Float8))
        && from.arrow() != DataType::Null
}
