//! Reads text as PostgreSQL's input functions do, a column at a time.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};

use super::TextStyle;
use super::bytes::read_bytea;
use super::datetime::{Moment, read_moment};
use super::float::{read_float4, read_float8};
use super::interval::{MICROS_PER_DAY, read_interval};
use super::numeric::read_numeric;
use super::zone::Zone;
use crate::types::{Error, Result, SqlState, SqlType};

/// Reads text as PostgreSQL's input functions do; the first value that is none is the error (22P02, 22003, 22007, 22008).
pub fn parse(values: &StringArray, to: &SqlType, style: &TextStyle) -> Result<ArrayRef> {
    Ok(match to {
        SqlType::Bool => Arc::new(each(values, read_bool)?.collect_bool()),
        SqlType::Int2 => Arc::new(Int16Array::from(each(values, |text| read_integer(text, "smallint"))?.0)),
        SqlType::Int4 => Arc::new(Int32Array::from(each(values, |text| read_integer(text, "integer"))?.0)),
        SqlType::Int8 => Arc::new(Int64Array::from(each(values, |text| read_integer(text, "bigint"))?.0)),
        SqlType::Float4 => Arc::new(Float32Array::from(each(values, read_float4)?.0)),
        SqlType::Float8 => Arc::new(Float64Array::from(each(values, read_float8)?.0)),
        SqlType::Numeric(_) => parse_numeric(values, to)?,
        SqlType::Text | SqlType::Unknown | SqlType::Varchar(None) | SqlType::Record => Arc::new(values.clone()),
        SqlType::Varchar(Some(_)) | SqlType::Char(_) => parse_sized(values, to)?,
        SqlType::Name => map_text(values, |text| Ok(truncated(text, 63).to_string()))?,
        SqlType::InternalChar => map_text(values, |text| Ok(text.chars().take(1).collect()))?,
        SqlType::Bytea => {
            let mut builder = BinaryBuilder::new();
            for value in values {
                builder.append_option(value.map(read_bytea).transpose()?);
            }
            Arc::new(builder.finish())
        }
        SqlType::Date => Arc::new(Date32Array::from(each(values, read_date)?.0)),
        SqlType::Time => Arc::new(Time64MicrosecondArray::from(each(values, read_time)?.0)),
        SqlType::Timestamp => Arc::new(TimestampMicrosecondArray::from(each(values, read_timestamp)?.0)),
        SqlType::Timestamptz => {
            let zone = Zone::of_name(&style.time_zone)?;
            let read = each(values, |text| read_timestamptz(text, &zone))?;
            Arc::new(TimestampMicrosecondArray::from(read.0).with_timezone("UTC"))
        }
        SqlType::Interval => {
            Arc::new(IntervalMonthDayNanoArray::from(each(values, |text| read_interval(text, "second"))?.0))
        }
        SqlType::Uuid => map_text(values, read_uuid)?,
        SqlType::Json => map_text(values, |text| check_json(text).map(|_| text.to_string()))?,
        SqlType::Jsonb => map_text(values, |text| check_json(text).map(|value| write_jsonb(&value)))?,
        SqlType::Oid | SqlType::Regclass | SqlType::Regtype | SqlType::Regproc | SqlType::Regnamespace => {
            Arc::new(UInt32Array::from(each(values, |text| read_integer(text, "oid"))?.0))
        }
        SqlType::Array(element) => parse_array(values, element, style)?,
    })
}

/// One value: an array of length one.
pub fn parse_one(text: &str, to: &SqlType, style: &TextStyle) -> Result<ArrayRef> {
    parse(&StringArray::from(vec![text]), to, style)
}

struct Each<T>(Vec<Option<T>>);

impl Each<bool> {
    fn collect_bool(self) -> BooleanArray {
        BooleanArray::from(self.0)
    }
}

fn each<T>(values: &StringArray, read: impl Fn(&str) -> Result<T>) -> Result<Each<T>> {
    values.iter().map(|value| value.map(&read).transpose()).collect::<Result<_>>().map(Each)
}

fn map_text(values: &StringArray, read: impl Fn(&str) -> Result<String>) -> Result<ArrayRef> {
    Ok(Arc::new(StringArray::from(each(values, read)?.0)))
}

fn invalid(type_name: &str, text: &str) -> Error {
    let message = format!("invalid input syntax for type {type_name}: \"{text}\"");
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
}

fn read_bool(text: &str) -> Result<bool> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.as_str() {
        "" | "o" => Err(invalid("boolean", text)),
        "1" | "on" => Ok(true),
        "0" => Ok(false),
        word if "true".starts_with(word) || "yes".starts_with(word) => Ok(true),
        word if ["false", "no", "off"].iter().any(|name| name.starts_with(word)) => Ok(false),
        _ => Err(invalid("boolean", text)),
    }
}

/// Digits with a sign, white space around them; what has more digits than fit is out of range.
fn read_integer<T: std::str::FromStr>(text: &str, type_name: &str) -> Result<T> {
    let trimmed = text.trim();
    if let Ok(value) = trimmed.parse() {
        return Ok(value);
    }
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(type_name, text));
    }
    let message = format!("value \"{text}\" is out of range for type {type_name}");
    Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message))
}

fn parse_numeric(values: &StringArray, to: &SqlType) -> Result<ArrayRef> {
    let data_type = to.arrow();
    match data_type {
        DataType::Decimal128(precision, scale) => {
            let read = each(values, |text| {
                let value = read_numeric(text, precision, scale)?;
                Ok(value.to_i128().expect("38 digits fit 128 bits"))
            })?;
            Ok(Arc::new(Decimal128Array::from(read.0).with_data_type(data_type)))
        }
        DataType::Decimal256(precision, scale) => {
            let read = each(values, |text| read_numeric(text, precision, scale))?;
            Ok(Arc::new(Decimal256Array::from(read.0).with_data_type(data_type)))
        }
        _ => Err(Error::internal(format!("{to} is not kept as a decimal"))),
    }
}

/// `varchar(n)` and `char(n)` from outside: blanks beyond the length go, anything else beyond it is an error.
fn parse_sized(values: &StringArray, to: &SqlType) -> Result<ArrayRef> {
    let (length, pad) = match to {
        SqlType::Char(length) => (*length as usize, true),
        SqlType::Varchar(Some(length)) => (*length as usize, false),
        _ => return Ok(Arc::new(values.clone())),
    };
    map_text(values, |text| {
        let characters = text.chars().count();
        if characters <= length {
            let padding = if pad { length - characters } else { 0 };
            return Ok(format!("{text}{:padding$}", ""));
        }
        let end = text.char_indices().nth(length).map_or(text.len(), |(at, _)| at);
        if text[end..].bytes().all(|byte| byte == b' ') {
            return Ok(text[..end].to_string());
        }
        let message = format!("value too long for type {to}");
        Err(Error::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, message))
    })
}

/// At most `limit` bytes, without cutting a character.
fn truncated(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn read_date(text: &str) -> Result<i32> {
    match read_moment(text, "date")? {
        Moment::Infinity => Ok(i32::MAX),
        Moment::NegativeInfinity => Ok(i32::MIN),
        Moment::At { days: Some(days), .. } => Ok(days as i32),
        Moment::At { days: None, .. } => Err(bad_moment("date", text)),
    }
}

fn read_time(text: &str) -> Result<i64> {
    match read_moment(text, "time")? {
        Moment::At { micros: Some(micros), .. } => Ok(micros),
        _ => Err(bad_moment("time", text)),
    }
}

fn read_timestamp(text: &str) -> Result<i64> {
    match read_moment(text, "timestamp")? {
        Moment::Infinity => Ok(i64::MAX),
        Moment::NegativeInfinity => Ok(i64::MIN),
        Moment::At { days: Some(days), micros, .. } => micros_of(days, micros, text),
        Moment::At { days: None, .. } => Err(bad_moment("timestamp", text)),
    }
}

fn read_timestamptz(text: &str, session: &Zone) -> Result<i64> {
    match read_moment(text, "timestamp with time zone")? {
        Moment::Infinity => Ok(i64::MAX),
        Moment::NegativeInfinity => Ok(i64::MIN),
        Moment::At { days: Some(days), micros, zone } => {
            Ok(zone.as_ref().unwrap_or(session).instant_of_local(micros_of(days, micros, text)?))
        }
        Moment::At { days: None, .. } => Err(bad_moment("timestamp with time zone", text)),
    }
}

fn micros_of(days: i64, micros: Option<i64>, text: &str) -> Result<i64> {
    let total = days.checked_mul(MICROS_PER_DAY).and_then(|date| date.checked_add(micros.unwrap_or(0)));
    total.ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\"")))
}

fn bad_moment(type_name: &str, text: &str) -> Error {
    let message = format!("invalid input syntax for type {type_name}: \"{text}\"");
    Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
}

/// 32 hexadecimal digits, hyphens between any groups of four, braces around them.
fn read_uuid(text: &str) -> Result<String> {
    let body = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let mut digits = String::with_capacity(32);
    for character in body.chars() {
        match character {
            '-' if digits.len() % 4 == 0 && !digits.is_empty() => {}
            _ if character.is_ascii_hexdigit() => digits.push(character.to_ascii_lowercase()),
            _ => return Err(invalid("uuid", text)),
        }
    }
    if digits.len() != 32 || body.ends_with('-') {
        return Err(invalid("uuid", text));
    }
    let (a, b, c, d, e) = (&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]);
    Ok(format!("{a}-{b}-{c}-{d}-{e}"))
}

fn check_json(text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json")
            .with_detail(error.to_string())
    })
}

/// PostgreSQL keeps jsonb's keys by length, then bytes, and prints blanks after colons and commas.
fn write_jsonb(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
            let field = |(key, value): (&String, &serde_json::Value)| {
                format!("{}: {}", serde_json::Value::from(key.as_str()), write_jsonb(value))
            };
            format!("{{{}}}", sorted.into_iter().map(field).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Array(elements) => {
            format!("[{}]", elements.iter().map(write_jsonb).collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}

/// Splits every array, reads all elements as one column, and puts them back in their lists.
fn parse_array(values: &StringArray, element: &SqlType, style: &TextStyle) -> Result<ArrayRef> {
    let mut elements: Vec<Option<String>> = vec![];
    let mut lengths = Vec::with_capacity(values.len());
    for value in values {
        let split = value.map(super::array::split).transpose()?.unwrap_or_default();
        lengths.push(split.len());
        elements.extend(split);
    }
    let nested = elements.iter().flatten().any(|text| text.starts_with('{')) && !matches!(element, SqlType::Text);
    if nested && !matches!(element, SqlType::Array(_)) {
        return Err(Error::unsupported("arrays of more than one dimension are not supported"));
    }
    let items = parse(&StringArray::from(elements), element, style)?;
    let item_field: Arc<Field> = Arc::new(element.field("item", true));
    let nulls = values.nulls().cloned().map(|nulls| NullBuffer::new(nulls.into_inner()));
    Ok(Arc::new(ListArray::new(item_field, OffsetBuffer::from_lengths(lengths), items, nulls)))
}
