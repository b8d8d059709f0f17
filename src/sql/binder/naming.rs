//! What an output column is called when the query does not say: PostgreSQL's rules.

use sqlparser::ast::{AccessExpr, Expr, FunctionArguments, ObjectNamePart, Query, SelectItem, SetExpr, TrimWhereField};

use crate::sql::statement::fold;
use crate::sql::type_name::{internal_name, sql_type};

/// The name of a column that no rule names.
const NAMELESS: &str = "?column?";

/// How much a name says: a cast's type and CASE give way to a better one inside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Weak,
    Strong,
}

pub fn output_name(expression: &Expr) -> String {
    name_of(expression).map_or_else(|| NAMELESS.to_string(), |(name, _)| name)
}

fn strong(name: impl Into<String>) -> Option<(String, Strength)> {
    Some((name.into(), Strength::Strong))
}

fn name_of(expression: &Expr) -> Option<(String, Strength)> {
    match expression {
        Expr::Identifier(ident) => strong(fold(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().and_then(|ident| strong(fold(ident))),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(fold(ident)),
                _ => None,
            });
            field.map_or_else(|| name_of(root), strong)
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::Function(function) => match (&function.args, function.name.0.last()) {
            (FunctionArguments::Subquery(_), _) => strong("array"),
            (_, Some(ObjectNamePart::Identifier(ident))) => strong(function_name(&fold(ident))),
            _ => None,
        },
        Expr::Cast { expr, data_type, .. } => match name_of(expr) {
            Some((name, Strength::Strong)) => strong(name),
            _ => sql_type(data_type).ok().map(|found| (internal_name(&found), Strength::Weak)),
        },
        Expr::TypedString(typed) => {
            sql_type(&typed.data_type).ok().map(|found| (internal_name(&found), Strength::Weak))
        }
        Expr::Interval(_) => Some(("interval".into(), Strength::Weak)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(name_of) {
            Some((name, Strength::Strong)) => strong(name),
            _ => Some(("case".into(), Strength::Weak)),
        },
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Exists { .. } => strong("exists"),
        Expr::Subquery(query) => name_of_subquery(query),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Position { .. } => strong("position"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        _ => None,
    }
}

/// Functions that PostgreSQL's grammar knows by another name.
fn function_name(name: &str) -> &str {
    match name {
        "user" => "current_user",
        "current_catalog" => "current_database",
        other => other,
    }
}

/// A scalar subquery is called like its only column.
fn name_of_subquery(query: &Query) -> Option<(String, Strength)> {
    match query.body.as_ref() {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::ExprWithAlias { alias, .. } => strong(fold(alias)),
            SelectItem::UnnamedExpr(inner) => name_of(inner).and_then(|(name, _)| strong(name)),
            _ => None,
        },
        SetExpr::Query(inner) => name_of_subquery(inner),
        SetExpr::Values(_) => strong("column1"),
        _ => None,
    }
}
