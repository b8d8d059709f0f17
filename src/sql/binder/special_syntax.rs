//! Syntax that stands for function calls: EXTRACT, SUBSTRING, TRIM, AT TIME ZONE, ARRAY[..], subscripts and their like.

use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, GetFieldAccess, lit};
use sqlparser::ast::{self, AccessExpr, CeilFloorKind, Subscript, TrimWhereField};

use super::Binder;
use super::cast::explicit;
use super::expression::Place;
use super::literal::string;
use super::scope::Scope;
use crate::sql::function::planners;
use crate::sql::type_name::sql_type;
use crate::types::{Error, Result, SqlState, SqlType};

impl Binder<'_> {
    pub(super) fn special_syntax(&mut self, expression: &ast::Expr, scope: &Scope, place: Place) -> Result<Expr> {
        use ast::Expr as Ast;
        match expression {
            Ast::Extract { field, expr, .. } => {
                let from = self.expression(expr, scope, place)?;
                let field = field.to_string().trim_matches('\'').to_lowercase();
                planned("EXTRACT", vec![string(&field), from], |planner, arguments| planner.plan_extract(arguments))
            }
            Ast::AtTimeZone { timestamp, time_zone } => {
                let moment = self.expression(timestamp, scope, place)?;
                let zone = self.expression(time_zone, scope, place)?;
                let zone = self.parameters.decide(zone, &SqlType::Text);
                Ok(self.scalar("timezone")?.call(vec![zone, moment]))
            }
            Ast::Position { expr, r#in } => {
                let part = self.expression(expr, scope, place)?;
                let whole = self.expression(r#in, scope, place)?;
                planned("POSITION", vec![whole, part], |planner, arguments| planner.plan_position(arguments))
            }
            Ast::Substring { expr, substring_from, substring_for, .. } => {
                let one = ast::Expr::Value(ast::Value::Number("1".into(), false).with_empty_span());
                let from = substring_from.as_deref().unwrap_or(&one);
                let parts = [Some(expr.as_ref()), Some(from), substring_for.as_deref()];
                let arguments = self.all_of(parts, scope, place)?;
                planned("SUBSTRING", arguments, |planner, arguments| planner.plan_substring(arguments))
            }
            Ast::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let parts = [Some(expr.as_ref()), Some(overlay_what), Some(overlay_from), overlay_for.as_deref()];
                let arguments = self.all_of(parts, scope, place)?;
                planned("OVERLAY", arguments, |planner, arguments| planner.plan_overlay(arguments))
            }
            Ast::Trim { expr, trim_where, trim_what, trim_characters } => {
                let listed = trim_characters.as_ref().and_then(|all| all.first());
                let parts = [Some(expr.as_ref()), trim_what.as_deref().or(listed)];
                let arguments = self.all_of(parts, scope, place)?;
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                Ok(self.scalar(name)?.call(arguments))
            }
            Ast::Ceil { expr, field: CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                let argument = self.expression(expr, scope, place)?;
                Ok(self.scalar("ceil")?.call(vec![argument]))
            }
            Ast::Floor { expr, field: CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                let argument = self.expression(expr, scope, place)?;
                Ok(self.scalar("floor")?.call(vec![argument]))
            }
            Ast::Tuple(_) => Err(Error::unsupported("a row as a value is not supported")),
            other => Err(Error::unsupported(format!("{other} is not supported"))),
        }
    }

    /// Those expressions that are there.
    fn all_of<const N: usize>(
        &mut self,
        parts: [Option<&ast::Expr>; N],
        scope: &Scope,
        place: Place,
    ) -> Result<Vec<Expr>> {
        parts.into_iter().flatten().map(|part| self.expression(part, scope, place)).collect()
    }

    /// `DATE '2026-01-31'`
    pub(super) fn typed_string(&mut self, typed: &ast::TypedString) -> Result<Expr> {
        let to = sql_type(&typed.data_type)?;
        let text = self.literal(&typed.value)?;
        self.cast_bound(text, &to)
    }

    pub(super) fn array(&mut self, elements: &[ast::Expr], scope: &Scope, place: Place) -> Result<Expr> {
        let mut bound = Vec::new();
        for element in elements {
            bound.push(self.expression(element, scope, place)?);
        }
        if bound.is_empty() {
            return Err(Error::new(SqlState::INDETERMINATE_DATATYPE, "cannot determine type of empty array")
                .with_hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
        }
        self.decide_together(&mut bound, &scope.schema)?;
        for planner in planners() {
            match planner.plan_array_literal(bound, &scope.schema)? {
                PlannerResult::Planned(array) => return Ok(array),
                PlannerResult::Original(elements) => bound = elements,
            }
        }
        Ok(self.scalar("make_array")?.call(bound))
    }

    /// `a[1]`, `a[1:2]`
    pub(super) fn subscripts(
        &mut self,
        root: &ast::Expr,
        chain: &[AccessExpr],
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let mut value = self.expression(root, scope, place)?;
        for access in chain {
            let field_access = match access {
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let key = self.expression(index, scope, place)?;
                    GetFieldAccess::ListIndex { key: Box::new(explicit(key, &SqlType::Int8)) }
                }
                AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                    let mut bound = |side: &Option<ast::Expr>, default: i64| match side {
                        Some(side) => Ok::<_, Error>(explicit(self.expression(side, scope, place)?, &SqlType::Int8)),
                        None => Ok(lit(default)),
                    };
                    GetFieldAccess::ListRange {
                        start: Box::new(bound(lower_bound, 1)?),
                        stop: Box::new(bound(upper_bound, i64::from(i32::MAX))?),
                        stride: Box::new(lit(1_i64)),
                    }
                }
                other => return Err(Error::unsupported(format!("the access {other} is not supported"))),
            };
            value = self.access(value, field_access, scope)?;
        }
        Ok(value)
    }

    fn access(&mut self, value: Expr, field_access: GetFieldAccess, scope: &Scope) -> Result<Expr> {
        let mut raw = RawFieldAccessExpr { field_access, expr: value };
        for planner in planners() {
            match planner.plan_field_access(raw, &scope.schema)? {
                PlannerResult::Planned(expression) => return Ok(expression),
                PlannerResult::Original(original) => raw = original,
            }
        }
        Err(Error::unsupported("subscripts are not supported"))
    }

    /// The only collation is by bytes; asking for it, or for the default, changes nothing.
    pub(super) fn collate(
        &mut self,
        inner: &ast::Expr,
        collation: &ast::ObjectName,
        scope: &Scope,
        place: Place,
    ) -> Result<Expr> {
        let name = crate::sql::statement::Name::of_object(collation)?;
        match name.name.as_str() {
            "default" | "C" | "POSIX" | "ucs_basic" => self.expression(inner, scope, place),
            other => {
                let message = format!("collation \"{other}\" is not supported");
                Err(Error::unsupported(message).with_hint("Use \"C\".").at(name.position))
            }
        }
    }
}

/// Asks the planners of syntax, in order, what function it stands for.
fn planned(
    syntax: &str,
    mut arguments: Vec<Expr>,
    ask: impl Fn(&dyn ExprPlanner, Vec<Expr>) -> datafusion::common::Result<PlannerResult<Vec<Expr>>>,
) -> Result<Expr> {
    for planner in planners() {
        match ask(planner.as_ref(), arguments)? {
            PlannerResult::Planned(expression) => return Ok(expression),
            PlannerResult::Original(original) => arguments = original,
        }
    }
    Err(Error::unsupported(format!("{syntax} is not supported")))
}
