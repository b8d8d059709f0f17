//! Type names as statements write them, to SQL types.

use sqlparser::ast::{ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

use super::statement::Name;
use crate::types::{Error, Result, SqlState, SqlType};

/// The longest varchar(n) and char(n), as in PostgreSQL.
const LENGTH_MAX: u64 = 10_485_760;

/// The greatest precision of numeric(p, s) that Decimal256 can hold.
const PRECISION_MAX: u64 = 76;

pub fn sql_type(written: &DataType) -> Result<SqlType> {
    Ok(match written {
        DataType::Bool | DataType::Boolean => SqlType::Bool,
        DataType::SmallInt(None) | DataType::Int2(None) => SqlType::Int2,
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => SqlType::Int4,
        DataType::BigInt(None) | DataType::Int8(None) => SqlType::Int8,
        DataType::Real | DataType::Float4 => SqlType::Float4,
        DataType::DoublePrecision | DataType::Float8 => SqlType::Float8,
        DataType::Float(precision) => float(precision)?,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric(info)?,
        DataType::Text => SqlType::Text,
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            SqlType::Varchar(character_length(length, "varchar")?)
        }
        DataType::Char(length) | DataType::Character(length) => {
            SqlType::Char(character_length(length, "char")?.unwrap_or(1))
        }
        DataType::Bytea => SqlType::Bytea,
        DataType::Date => SqlType::Date,
        DataType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            microseconds(*precision, written)?;
            SqlType::Time
        }
        DataType::Timestamp(precision, zone) => {
            microseconds(*precision, written)?;
            match zone {
                TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => SqlType::Timestamptz,
                TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => SqlType::Timestamp,
            }
        }
        DataType::Interval { fields: None, precision: None | Some(6) } => SqlType::Interval,
        DataType::Uuid => SqlType::Uuid,
        DataType::JSON => SqlType::Json,
        DataType::JSONB => SqlType::Jsonb,
        DataType::Regclass => SqlType::Regclass,
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element)) => {
            array(sql_type(element)?)
        }
        DataType::Custom(name, modifiers) => custom(&Name::of_object(name)?, modifiers)?,
        other => return Err(unknown(&other.to_string().to_lowercase())),
    })
}

/// Types that sqlparser has no word for, most of them the catalogs'.
fn custom(name: &Name, modifiers: &[String]) -> Result<SqlType> {
    if name.schema.as_deref().is_some_and(|schema| schema != "pg_catalog") {
        return Err(unknown(&name.to_string()));
    }
    let length = match modifiers {
        [] => None,
        [length] => Some(CharacterLength::IntegerLength { length: length.parse().unwrap_or(0), unit: None }),
        _ => return Err(unknown(&name.to_string())),
    };
    Ok(match (name.name.as_str(), length) {
        ("varchar", length) => SqlType::Varchar(character_length(&length, "varchar")?),
        ("bpchar", length) => SqlType::Char(character_length(&length, "char")?.unwrap_or(1)),
        (_, Some(_)) => return Err(unknown(&name.to_string())),
        ("bool", None) => SqlType::Bool,
        ("int2", None) => SqlType::Int2,
        ("int4", None) => SqlType::Int4,
        ("int8", None) => SqlType::Int8,
        ("float4", None) => SqlType::Float4,
        ("float8", None) => SqlType::Float8,
        ("numeric", None) => SqlType::Numeric(None),
        ("text", None) => SqlType::Text,
        ("bytea", None) => SqlType::Bytea,
        ("date", None) => SqlType::Date,
        ("time", None) => SqlType::Time,
        ("timestamp", None) => SqlType::Timestamp,
        ("timestamptz", None) => SqlType::Timestamptz,
        ("interval", None) => SqlType::Interval,
        ("uuid", None) => SqlType::Uuid,
        ("json", None) => SqlType::Json,
        ("jsonb", None) => SqlType::Jsonb,
        ("char", None) => SqlType::InternalChar,
        ("name", None) => SqlType::Name,
        ("oid", None) => SqlType::Oid,
        ("regclass", None) => SqlType::Regclass,
        ("regtype", None) => SqlType::Regtype,
        ("regproc", None) => SqlType::Regproc,
        ("regnamespace", None) => SqlType::Regnamespace,
        ("unknown", None) => SqlType::Unknown,
        _ => return Err(unknown(&name.to_string())),
    })
}

fn unknown(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

/// Arrays have any number of dimensions, which is not part of their type.
fn array(element: SqlType) -> SqlType {
    match element {
        SqlType::Array(_) => element,
        scalar => SqlType::Array(Box::new(scalar)),
    }
}

fn float(info: &ExactNumberInfo) -> Result<SqlType> {
    match info {
        ExactNumberInfo::None => Ok(SqlType::Float8),
        ExactNumberInfo::Precision(1..=24) => Ok(SqlType::Float4),
        ExactNumberInfo::Precision(25..=53) => Ok(SqlType::Float8),
        _ => Err(invalid("precision for type float must be between 1 and 53 bits".into())),
    }
}

fn numeric(info: &ExactNumberInfo) -> Result<SqlType> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => return Ok(SqlType::Numeric(None)),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    if precision == 0 || precision > 1000 {
        return Err(invalid(format!("NUMERIC precision {precision} must be between 1 and 1000")));
    }
    if precision > PRECISION_MAX || !(0..=precision as i64).contains(&scale) {
        return Err(Error::unsupported(format!("numeric({precision},{scale}) is not supported")).with_hint(format!(
            "The precision can be at most {PRECISION_MAX}, the scale between 0 and the precision."
        )));
    }
    Ok(SqlType::Numeric(Some((precision as u8, scale as i8))))
}

fn character_length(length: &Option<CharacterLength>, name: &str) -> Result<Option<u32>> {
    match length {
        None | Some(CharacterLength::Max) => Ok(None),
        Some(CharacterLength::IntegerLength { length: 0, .. }) => {
            Err(invalid(format!("length for type {name} must be at least 1")))
        }
        Some(CharacterLength::IntegerLength { length, .. }) if *length > LENGTH_MAX => {
            Err(invalid(format!("length for type {name} cannot exceed {LENGTH_MAX}")))
        }
        Some(CharacterLength::IntegerLength { length, .. }) => Ok(Some(*length as u32)),
    }
}

/// Times have six digits after the second; fewer can't be declared, since nothing would round to them.
fn microseconds(precision: Option<u64>, written: &DataType) -> Result<()> {
    match precision {
        None | Some(6) => Ok(()),
        Some(_) => Err(Error::unsupported(format!("{} is not supported", written.to_string().to_lowercase()))
            .with_hint("Leave the precision out: times are kept in microseconds.")),
    }
}

fn invalid(message: String) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// What pg_type calls a type, and a cast to it as an output column.
pub fn internal_name(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Bool => "bool",
        SqlType::Int2 => "int2",
        SqlType::Int4 => "int4",
        SqlType::Int8 => "int8",
        SqlType::Float4 => "float4",
        SqlType::Float8 => "float8",
        SqlType::Numeric(_) => "numeric",
        SqlType::Varchar(_) => "varchar",
        SqlType::Char(_) => "bpchar",
        SqlType::InternalChar => "char",
        SqlType::Time => "time",
        SqlType::Timestamp => "timestamp",
        SqlType::Timestamptz => "timestamptz",
        SqlType::Array(element) => return internal_name(element),
        other => return other.to_string(),
    }
    .to_string()
}
