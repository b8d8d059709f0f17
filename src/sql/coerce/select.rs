//! Chooses among a function's overloads as PostgreSQL does: exact types first, then preferred ones, literals last.

use datafusion::arrow::datatypes::Field;
use datafusion::common::ScalarValue;

use super::conversion::{Category, category, common_type, is_implicit, is_preferred, is_same};
use crate::sql::function::definition::{Function, Gives, Notation, Overload, Parameter};
use crate::types::{Error, Result, SqlState, SqlType};

/// What is known of an argument when its function is chosen.
#[derive(Clone, Debug)]
pub struct Argument {
    pub sql_type: SqlType,
    pub literal: Option<ScalarValue>,
}

impl Argument {
    pub fn typed(sql_type: SqlType) -> Self {
        Argument { sql_type, literal: None }
    }

    /// An argument of a field, with its value if it is a constant.
    pub fn of(field: &Field, literal: Option<&ScalarValue>) -> Self {
        let sql_type = match field.data_type().is_null() {
            true => SqlType::Unknown,
            false => SqlType::of_field(field),
        };
        Argument { sql_type, literal: literal.cloned() }
    }

    /// The same, where a bare string has no type yet.
    fn retyped(&self) -> Self {
        let sql_type = match &self.literal {
            Some(ScalarValue::Utf8(_) | ScalarValue::Null) => SqlType::Unknown,
            _ => self.sql_type.clone(),
        };
        Argument { sql_type, literal: self.literal.clone() }
    }
}

/// An overload, the types its arguments are cast to, and the type of its result.
#[derive(Clone, Debug)]
pub struct Selection {
    pub overload: usize,
    pub targets: Vec<SqlType>,
    pub result: SqlType,
}

/// How well an overload fits.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    exact: usize,
    /// Arguments at places that take any type.
    open: usize,
    preferred: usize,
    unknown_as_same: usize,
    unknown_as_text: usize,
}

/// Chooses; 42883 if nothing fits.
pub fn select(function: &Function, arguments: &[Argument]) -> Result<Selection> {
    if let Some(selection) = select_exact(function, arguments)? {
        return Ok(selection);
    }
    select_typed(function, &arguments.iter().map(Argument::retyped).collect::<Vec<_>>())
}

/// The same for arguments whose types are final: what has no type yet is unknown.
pub fn select_typed(function: &Function, arguments: &[Argument]) -> Result<Selection> {
    let mut best: Option<(usize, Fit)> = None;
    for (place, overload) in function.overloads.iter().enumerate() {
        let Some(fit) = fit(overload, arguments) else { continue };
        if best.as_ref().is_none_or(|(_, so_far)| fit > *so_far) {
            best = Some((place, fit));
        }
    }
    let Some((overload, _)) = best else {
        return Err(no_such_function(function, arguments));
    };
    finish(function, overload, arguments)
}

/// The overload whose types are exactly those: what has been coerced keeps its meaning.
fn select_exact(function: &Function, arguments: &[Argument]) -> Result<Option<Selection>> {
    let is_exact = |overload: &Overload| {
        fit(overload, arguments).is_some_and(|fit| fit.exact + fit.open == arguments.len())
            && !arguments.iter().any(|argument| argument.sql_type == SqlType::Unknown)
    };
    match function.overloads.iter().position(is_exact) {
        Some(overload) => finish(function, overload, arguments).map(Some),
        None => Ok(None),
    }
}

fn finish(function: &Function, overload: usize, arguments: &[Argument]) -> Result<Selection> {
    let chosen = &function.overloads[overload];
    let targets = targets(chosen, arguments).ok_or_else(|| no_such_function(function, arguments))?;
    let typed = targets.iter().zip(arguments);
    let typed: Vec<Argument> = typed
        .map(|(target, argument)| Argument { sql_type: target.clone(), literal: argument.literal.clone() })
        .collect();
    let result = match &chosen.gives {
        Gives::Is(sql_type) => sql_type.clone(),
        Gives::From(rule) => rule(&typed)?,
        Gives::Same => target_of(chosen, &targets, &Parameter::Same).unwrap_or(SqlType::Text),
        Gives::Array => array_type(chosen, &targets),
        Gives::Element => match array_type(chosen, &targets) {
            SqlType::Array(element) => *element,
            other => other,
        },
    };
    Ok(Selection { overload, targets, result })
}

fn target_of(overload: &Overload, targets: &[SqlType], wanted: &Parameter) -> Option<SqlType> {
    let found = targets.iter().enumerate().find(|(place, _)| parameter(overload, *place) == Some(wanted));
    found.map(|(_, target)| target.clone())
}

fn array_type(overload: &Overload, targets: &[SqlType]) -> SqlType {
    let array = target_of(overload, targets, &Parameter::Array);
    let element = || target_of(overload, targets, &Parameter::Element).map(|element| SqlType::Array(Box::new(element)));
    array.or_else(element).unwrap_or(SqlType::Array(Box::new(SqlType::Text)))
}

fn parameter(overload: &Overload, place: usize) -> Option<&Parameter> {
    match overload.parameters.get(place) {
        Some(parameter) => Some(parameter),
        None if overload.variadic => overload.parameters.last(),
        None => None,
    }
}

fn fit(overload: &Overload, arguments: &[Argument]) -> Option<Fit> {
    let required = overload.parameters.len() - usize::from(overload.variadic);
    if arguments.len() < required || !overload.variadic && arguments.len() > required {
        return None;
    }
    let known = arguments.iter().map(|argument| &argument.sql_type).find(|known| **known != SqlType::Unknown);
    let mut fit = Fit { exact: 0, open: 0, preferred: 0, unknown_as_same: 0, unknown_as_text: 0 };
    for (place, argument) in arguments.iter().enumerate() {
        let found = &argument.sql_type;
        match parameter(overload, place)? {
            Parameter::Any | Parameter::Same | Parameter::Element => fit.open += 1,
            Parameter::Array => match found {
                SqlType::Array(_) => fit.open += 1,
                SqlType::Unknown => {}
                _ => return None,
            },
            Parameter::Is(wanted) if *found == SqlType::Unknown => {
                fit.unknown_as_same += usize::from(known.is_some_and(|known| is_same(known, wanted)));
                fit.unknown_as_text += usize::from(category(wanted) == Category::Text);
            }
            Parameter::Is(wanted) if is_same(found, wanted) => fit.exact += 1,
            // A float4 beside anything else is widened, never the other way round.
            Parameter::Is(SqlType::Float4) => return None,
            Parameter::Is(wanted) if is_implicit(found, wanted) => {
                fit.preferred += usize::from(is_preferred(wanted) && category(found) == category(wanted));
                // A varchar is a text already.
                fit.exact += usize::from(matches!((found, wanted), (SqlType::Varchar(_), SqlType::Text)));
            }
            Parameter::Is(_) => return None,
        }
    }
    targets(overload, arguments).map(|_| fit)
}

/// The types that the arguments become; None if those that must be of one type have none in common.
fn targets(overload: &Overload, arguments: &[Argument]) -> Option<Vec<SqlType>> {
    let (mut same, mut element) = (SqlType::Unknown, SqlType::Unknown);
    for (place, argument) in arguments.iter().enumerate() {
        let found = &argument.sql_type;
        match (parameter(overload, place)?, found) {
            (Parameter::Same, _) => same = common_type(&same, found)?,
            (Parameter::Element, _) => element = common_type(&element, found)?,
            (Parameter::Array, SqlType::Array(item)) => element = common_type(&element, item)?,
            _ => {}
        }
    }
    let known = |found: &SqlType| {
        if *found == SqlType::Unknown { SqlType::Text } else { found.clone() }
    };
    let places = arguments.iter().enumerate().map(|(place, argument)| {
        Some(match parameter(overload, place)? {
            Parameter::Is(wanted) => target(&argument.sql_type, wanted),
            Parameter::Any => known(&argument.sql_type),
            Parameter::Same => known(&same),
            Parameter::Element => known(&element),
            Parameter::Array => SqlType::Array(Box::new(known(&element))),
        })
    });
    places.collect()
}

/// The type that an argument takes at a place: a numeric keeps its scale, an integer becomes a numeric without fraction.
fn target(found: &SqlType, wanted: &SqlType) -> SqlType {
    match (found, wanted) {
        (SqlType::Numeric(_), SqlType::Numeric(None)) | (SqlType::Char(_), SqlType::Char(_)) => found.clone(),
        (SqlType::Int2, SqlType::Numeric(None)) => SqlType::Numeric(Some((5, 0))),
        (SqlType::Int4, SqlType::Numeric(None)) => SqlType::Numeric(Some((10, 0))),
        (SqlType::Int8, SqlType::Numeric(None)) => SqlType::Numeric(Some((19, 0))),
        _ => wanted.clone(),
    }
}

fn no_such_function(function: &Function, arguments: &[Argument]) -> Error {
    let name = datafusion::logical_expr::ScalarUDFImpl::name(function);
    let types: Vec<String> = arguments.iter().map(|argument| bare_name(&argument.sql_type)).collect();
    let (message, kind) = match (function.notation, types.as_slice()) {
        (Notation::Infix, [left, right]) => (format!("operator does not exist: {left} {name} {right}"), "operator"),
        (Notation::Prefix, [operand]) => {
            (format!("operator does not exist: {} {operand}", name.trim_start_matches("unary ")), "operator")
        }
        _ => (format!("function {name}({}) does not exist", types.join(", ")), "function"),
    };
    let hint =
        format!("No {kind} matches the given name and argument types. You might need to add explicit type casts.");
    Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(hint)
}

/// A type's name without its length or precision.
pub fn bare_name(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Numeric(_) => "numeric".into(),
        SqlType::Varchar(_) => "character varying".into(),
        SqlType::Char(_) => "character".into(),
        SqlType::Array(element) => format!("{}[]", bare_name(element)),
        other => other.to_string(),
    }
}
