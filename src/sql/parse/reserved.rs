//! Words that can't be names unless quoted. sqlparser takes nearly any word for a name; PostgreSQL does not.

use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, Ident, ObjectNamePart, Visit, Visitor};

use crate::sql::keyword::is_reserved;

/// The place of the first name that is a reserved word.
pub fn reserved_name<T: Visit>(parsed: &T) -> Option<usize> {
    match parsed.visit(&mut Names) {
        ControlFlow::Break(position) => Some(position),
        ControlFlow::Continue(()) => None,
    }
}

struct Names;

impl Visitor for Names {
    type Break = usize;

    fn pre_visit_relation(&mut self, relation: &ast::ObjectName) -> ControlFlow<usize> {
        match relation.0.first() {
            Some(ObjectNamePart::Identifier(ident)) => check(ident),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<usize> {
        match expression {
            // DEFAULT and the current user stand where an expression may.
            Expr::Identifier(ident) if !matches!(ident.value.to_lowercase().as_str(), "default" | "user") => {
                check(ident)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn check(ident: &Ident) -> ControlFlow<usize> {
    match ident.quote_style.is_none() && is_reserved(&ident.value) {
        true => ControlFlow::Break(ident.span.start.column as usize),
        false => ControlFlow::Continue(()),
    }
}
