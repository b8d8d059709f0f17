//! Casts a column from one SQL type to another.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, StringArray, StringBuilder, UInt32Array,
};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};

use super::number;
use super::time;
use super::{Cast, CastContext};
use crate::sql::coerce::conversion::{Category, category};
use crate::sql::function::definition::item_field;
use crate::types::text::{TextStyle, TextWriter, parse};
use crate::types::{Error, Result, SqlState, SqlType};

/// Every value of a column as another type; the first that can't be is the error.
pub fn cast_array(
    array: &ArrayRef,
    from: &SqlType,
    to: &SqlType,
    context: CastContext,
    style: &TextStyle,
) -> Result<ArrayRef> {
    use SqlType::*;
    let target = to.arrow();
    if array.data_type().is_null() {
        return Ok(datafusion::arrow::array::new_null_array(&target, array.len()));
    }
    let (from_text, to_text) = (is_text(from), is_text(to));
    match (from, to) {
        _ if from_text && to_text => resize(&unpadded(array, from), to, context),
        _ if from_text => parse(unpadded(array, from).as_string(), to, style),
        (Bool, _) if to_text => resize(&words(array.as_boolean()), to, context),
        _ if to_text => resize(&written(array, from, style)?, to, context),
        (Int2 | Int4 | Int8, Int2 | Int4 | Int8) => number::between_integers(array, &target),
        (Int2 | Int4 | Int8, Float4 | Float8) => Ok(compute::cast(array, &target)?),
        (Int2 | Int4 | Int8, Numeric(_)) => number::integer_to_numeric(array, &target),
        (Numeric(_), Numeric(_)) => number::between_numerics(array, &target),
        (Numeric(_), Float4 | Float8) => number::numeric_to_float(array, &target),
        (Numeric(_), Int2 | Int4 | Int8) => number::numeric_to_integer(array, &target),
        (Float4 | Float8, Numeric(_)) => number::float_to_numeric(array, &target),
        (Float4 | Float8, Int2 | Int4 | Int8) => number::float_to_integer(array, &target),
        (Float4 | Float8, Float4 | Float8) => number::between_floats(array, &target),
        (Bool, Int4) => Ok(compute::cast(array, &target)?),
        (Int4, Bool) => Ok(Arc::new(BooleanArray::from_unary(array.as_primitive::<Int32Type>(), |value| value != 0))),
        (Date | Time | Timestamp | Timestamptz | Interval, _) => time::cast_moment(array, from, to, style),
        (Array(a), Array(b)) => cast_elements(array.as_list(), a, b, context, style),
        (Json | Jsonb, Json | Jsonb) => parse(array.as_string(), to, style),
        (Jsonb, _) => cast_jsonb(array.as_string(), to, style),
        _ if target == DataType::UInt32 || *array.data_type() == DataType::UInt32 => cast_oid(array, &target),
        _ if *array.data_type() == target => Ok(array.clone()),
        _ => Err(cannot_cast(from, to)),
    }
}

pub fn cannot_cast(from: &SqlType, to: &SqlType) -> Error {
    Error::new(SqlState::CANNOT_COERCE, format!("cannot cast type {from} to {to}"))
}

fn is_text(sql_type: &SqlType) -> bool {
    category(sql_type) == Category::Text || matches!(sql_type, SqlType::Unknown)
}

/// The padding of char(n) means nothing outside of it.
fn unpadded(array: &ArrayRef, from: &SqlType) -> ArrayRef {
    let SqlType::Char(_) = from else { return array.clone() };
    let trimmed = array.as_string::<i32>().iter().map(|value| value.map(|text| text.trim_end_matches(' ')));
    Arc::new(trimmed.collect::<StringArray>())
}

pub fn words(array: &BooleanArray) -> ArrayRef {
    let word = |value| if value { "true" } else { "false" };
    Arc::new(array.iter().map(|value| value.map(word)).collect::<StringArray>())
}

fn written(array: &ArrayRef, from: &SqlType, style: &TextStyle) -> Result<ArrayRef> {
    let writer = TextWriter::new(array, from, style)?;
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        writer.write(row, &mut text);
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

/// Text for a type with a length: cut off or refused, and padded for char(n).
fn resize(array: &ArrayRef, to: &SqlType, context: CastContext) -> Result<ArrayRef> {
    let (length, pad) = match to {
        SqlType::Varchar(Some(length)) => (*length as usize, false),
        SqlType::Char(length) => (*length as usize, true),
        SqlType::Name => (63, false),
        SqlType::InternalChar => (1, false),
        _ => return Ok(array.clone()),
    };
    let values = array.as_string::<i32>();
    let fits = |text: &str| text.len() <= length;
    if !pad && values.iter().flatten().all(fits) {
        return Ok(array.clone());
    }
    let mut builder = StringBuilder::with_capacity(values.len(), values.values().len());
    for value in values {
        let Some(text) = value else {
            builder.append_null();
            continue;
        };
        let cut = text.char_indices().nth(length).map(|(at, _)| at);
        let kept = &text[..cut.unwrap_or(text.len())];
        let lost = &text[kept.len()..];
        let cuts = context == CastContext::Explicit || matches!(to, SqlType::Name | SqlType::InternalChar);
        if !cuts && lost.bytes().any(|byte| byte != b' ') {
            let message = format!("value too long for type {to}");
            return Err(Error::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, message));
        }
        match pad {
            true => builder.append_value(format!("{kept}{:1$}", "", length - kept.chars().count())),
            false => builder.append_value(kept),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn cast_elements(
    list: &ListArray,
    from: &SqlType,
    to: &SqlType,
    context: CastContext,
    style: &TextStyle,
) -> Result<ArrayRef> {
    let items = cast_array(list.values(), from, to, context, style)?;
    Ok(Arc::new(ListArray::new(item_field(to), list.offsets().clone(), items, list.nulls().cloned())))
}

/// A jsonb scalar as the SQL type of its kind.
fn cast_jsonb(values: &StringArray, to: &SqlType, style: &TextStyle) -> Result<ArrayRef> {
    let boolean = *to == SqlType::Bool;
    let texts = values.iter().map(|value| {
        let Some(text) = value else { return Ok(None) };
        let kind = match text.as_bytes().first() {
            Some(b'n') => return Ok(None),
            Some(b't' | b'f') if boolean => return Ok(Some(text)),
            Some(b'-' | b'0'..=b'9') if !boolean => return Ok(Some(text)),
            Some(b'"') => "string",
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b't' | b'f') => "boolean",
            _ => "numeric",
        };
        let message = format!("cannot cast jsonb {kind} to type {to}");
        Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
    });
    let texts: ArrayRef = Arc::new(texts.collect::<Result<StringArray>>()?);
    let integer = matches!(to, SqlType::Int2 | SqlType::Int4 | SqlType::Int8);
    if !integer {
        return parse(texts.as_string(), to, style);
    }
    let numeric = SqlType::Numeric(None);
    let numbers = parse(texts.as_string(), &numeric, style)?;
    cast_array(&numbers, &numeric, to, CastContext::Explicit, style)
}

fn cast_oid(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let out_of_range = |name: &str| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"));
    match (array.data_type(), target) {
        (DataType::UInt32, DataType::UInt32) => Ok(array.clone()),
        // A negative int4 is an OID of the upper half, bit by bit, in both directions.
        (DataType::Int32, DataType::UInt32) => {
            let values = array.as_primitive::<Int32Type>();
            Ok(Arc::new(values.unary::<_, datafusion::arrow::datatypes::UInt32Type>(|value| value as u32)))
        }
        (DataType::UInt32, DataType::Int32) => {
            let values: &UInt32Array = array.as_primitive();
            let cast: Int32Array = values.unary(|value| value as i32);
            Ok(Arc::new(cast))
        }
        (DataType::Int64, DataType::UInt32) => {
            let values = array.as_primitive::<Int64Type>().iter();
            let cast = values
                .map(|value| value.map(|value| u32::try_from(value).map_err(|_| out_of_range("OID"))).transpose());
            Ok(Arc::new(cast.collect::<Result<UInt32Array>>()?))
        }
        _ => Ok(compute::cast(array, target)?),
    }
}

impl Cast {
    /// The type that is cast to.
    pub fn to(&self) -> &SqlType {
        &self.to
    }
}
