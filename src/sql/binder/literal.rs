//! Literals, with PostgreSQL's types: an integer is an int4 if it fits, else a bigint, else a numeric; a string has no
//! type of its own.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use sqlparser::ast::{self, Value};

use super::Binder;
use super::cast::explicit;
use crate::sql::statement::Name;
use crate::types::{Error, Result, SqlState, SqlType};

/// Digits that Decimal128 and Decimal256 can hold.
const DIGITS_128: usize = 38;
const DIGITS_256: usize = 76;

impl Binder<'_> {
    pub(super) fn literal(&mut self, value: &ast::ValueWithSpan) -> Result<Expr> {
        let position = value.span.start.column as usize;
        match &value.value {
            Value::Number(digits, _) => number(digits).map_err(|error| error.at(position)),
            Value::Boolean(value) => Ok(lit(*value)),
            Value::Null => Ok(Expr::Literal(ScalarValue::Null, None)),
            Value::Placeholder(text) => self.parameters.placeholder(text).map_err(|error| error.at(position)),
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::NationalStringLiteral(text) => Ok(string(text)),
            Value::DollarQuotedString(quoted) => Ok(string(&quoted.value)),
            other => Err(Error::unsupported(format!("the literal {other} is not supported")).at(position)),
        }
    }

    /// `INTERVAL '5' MINUTE`, read as `'5 minute'`.
    pub(super) fn interval(&mut self, interval: &ast::Interval) -> Result<Expr> {
        let fields = interval.leading_field.as_ref().map(|field| field.to_string().to_lowercase());
        if interval.last_field.is_some() || interval.fractional_seconds_precision.is_some() {
            return Err(Error::unsupported("INTERVAL with a range of fields or a precision is not supported"));
        }
        let text = match interval.value.as_ref() {
            ast::Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => text.clone(),
                _ => {
                    return Err(Error::unsupported(format!("{interval} is not supported: quote the value")));
                }
            },
            _ => {
                return Err(Error::unsupported(format!("{interval} is not supported: quote the value")));
            }
        };
        let text = match fields {
            Some(field) => format!("{text} {field}"),
            None => text,
        };
        Ok(explicit(string(&text), &SqlType::Interval))
    }
}

pub(super) fn string(text: &str) -> Expr {
    Expr::Literal(ScalarValue::Utf8(Some(text.to_string())), None)
}

/// Whether a number is negative is the operator's to say: PostgreSQL reads `-2147483648` as an int4 all the same, so
/// that a minus before a literal belongs to it.
pub(super) fn number(digits: &str) -> Result<Expr> {
    let digits = digits.replace('_', "");
    if let Ok(value) = digits.parse::<i64>() {
        return Ok(integer(value));
    }
    match decimal(&digits) {
        // More digits than a numeric has: an inexact number is better than none.
        Err(error) if digits.contains(['e', 'E']) => match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(lit(value)),
            _ => Err(error),
        },
        exact => exact.map(|value| Expr::Literal(value, None)),
    }
}

fn integer(value: i64) -> Expr {
    match i32::try_from(value) {
        Ok(narrow) => lit(narrow),
        Err(_) => lit(value),
    }
}

/// `12.50`, `.5`, `1e10`, `-3`: exactly, with as many digits after the point as are written.
fn decimal(text: &str) -> Result<ScalarValue> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| out_of_range(text))?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let mut scale = fraction.len() as i64 - exponent;
    if scale < 0 {
        if -scale > DIGITS_256 as i64 {
            return inexact(text);
        }
        digits.extend(std::iter::repeat_n('0', -scale as usize));
        scale = 0;
    }
    let significant = digits.trim_start_matches('0').len().max(scale as usize).max(1);
    let signed = format!("{}{digits}", if negative { "-" } else { "" });
    match significant {
        0..=DIGITS_128 => {
            let value = signed.parse::<i128>().map_err(|_| out_of_range(text))?;
            Ok(ScalarValue::Decimal128(Some(value), significant as u8, scale as i8))
        }
        _ if significant <= DIGITS_256 => {
            let value = arrow::datatypes::i256::from_string(&signed).ok_or_else(|| out_of_range(text))?;
            Ok(ScalarValue::Decimal256(Some(value), significant as u8, scale as i8))
        }
        // More digits than a numeric has: an inexact number is better than none.
        _ => inexact(text),
    }
}

fn inexact(text: &str) -> Result<ScalarValue> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(ScalarValue::Float64(Some(value))),
        _ => Err(out_of_range(text)),
    }
}

fn out_of_range(text: &str) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value \"{text}\" is out of range for type numeric"))
        .with_detail(format!("A numeric can have at most {DIGITS_256} digits."))
}

/// `'bids'::regclass` and its like: names that only the catalog can read.
pub(super) fn system_literal(binder: &Binder, expression: &Expr, to: &SqlType) -> Result<Option<Expr>> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), None) = expression else {
        return Ok(None);
    };
    if !matches!(to, SqlType::Regclass | SqlType::Regtype | SqlType::Regproc | SqlType::Regnamespace) {
        return Ok(None);
    }
    let oid = match text.parse::<u32>() {
        Ok(oid) => oid,
        Err(_) => oid_of_name(binder, text, to)?,
    };
    Ok(Some(explicit(lit(ScalarValue::UInt32(Some(oid))), to)))
}

fn oid_of_name(binder: &Binder, text: &str, kind: &SqlType) -> Result<u32> {
    if *kind == SqlType::Regtype {
        let unknown = || Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{text}\" does not exist"));
        return type_of_text(text).map(|found| found.oid()).ok_or_else(unknown);
    }
    let parts = text.split('.').map(|part| match part.strip_prefix('"').and_then(|part| part.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => part.trim().to_lowercase(),
    });
    let name = Name::of_parts(parts.collect(), 1)?;
    let schema = name.schema.as_deref();
    let in_catalog = match kind {
        SqlType::Regclass => binder.catalog.relation(schema, &name.name, &binder.search_path),
        SqlType::Regnamespace => binder.catalog.schema(&name.name),
        _ => None,
    };
    let found = in_catalog.map(|entry| entry.oid).or_else(|| binder.system.oid(kind, schema, &name.name));
    found.ok_or_else(|| match kind {
        SqlType::Regproc => Error::new(SqlState::UNDEFINED_FUNCTION, format!("function \"{name}\" does not exist")),
        SqlType::Regnamespace => Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist")),
        _ => Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")),
    })
}

/// A type's name as a string holds it.
fn type_of_text(text: &str) -> Option<SqlType> {
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;
    let dialect = PostgreSqlDialect {};
    let parsed = Parser::new(&dialect).try_with_sql(text).ok()?.parse_data_type().ok()?;
    crate::sql::type_name::sql_type(&parsed).ok()
}
