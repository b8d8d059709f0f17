//! Parameters of a Bind message: text or binary, to values of the type that the statement was described with.

mod binary;

use arrow::array::StringArray;
use datafusion::common::ScalarValue;

use super::request::{Format, utf8};
use crate::types::text::{TextStyle, parse};
use crate::types::{Error, Result, SqlType};

/// The value of parameter `$number`; None is NULL.
pub(super) fn parameter(
    value: Option<&[u8]>,
    sql_type: &SqlType,
    format: Format,
    style: &TextStyle,
    number: usize,
) -> Result<ScalarValue> {
    let Some(bytes) = value else { return null(sql_type) };
    let read = match format {
        Format::Text => utf8(bytes).and_then(|text| from_text(text, sql_type, style)),
        Format::Binary => binary::value(bytes, sql_type),
    };
    read.map_err(|error| match error.detail() {
        None => error.with_detail(format!("It is the value of parameter ${number}.")),
        Some(_) => error,
    })
}

fn from_text(text: &str, sql_type: &SqlType, style: &TextStyle) -> Result<ScalarValue> {
    let parsed = parse(&StringArray::from(vec![text]), sql_type, style)?;
    ScalarValue::try_from_array(&parsed, 0).map_err(Error::from)
}

fn null(sql_type: &SqlType) -> Result<ScalarValue> {
    ScalarValue::try_new_null(&sql_type.arrow()).map_err(Error::from)
}
