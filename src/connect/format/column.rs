//! A column under construction from the texts of its values; its last rows can be taken back.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, TimestampMicrosecondArray, new_empty_array,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::concat;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};

use super::value;
use crate::connect::text_column::TextColumn;
use crate::types::{Result, SqlType};

pub struct ColumnBuffer {
    sql_type: SqlType,
    valid: BooleanBufferBuilder,
    values: Values,
}

/// The types that records are full of have buffers of their own; a value of another is an array of one row.
enum Values {
    Bool(Vec<bool>),
    Int2(Vec<i16>),
    Int4(Vec<i32>),
    Int8(Vec<i64>),
    Float4(Vec<f32>),
    Float8(Vec<f64>),
    Decimal { values: Vec<i128>, precision: u8, scale: i8 },
    Date(Vec<i32>),
    Timestamp(Vec<i64>),
    Timestamptz(Vec<i64>),
    Text(TextColumn),
    Other(Vec<ArrayRef>),
}

impl Values {
    fn of_type(sql_type: &SqlType) -> Self {
        match (sql_type, sql_type.arrow()) {
            (SqlType::Bool, _) => Values::Bool(vec![]),
            (SqlType::Int2, _) => Values::Int2(vec![]),
            (SqlType::Int4, _) => Values::Int4(vec![]),
            (SqlType::Int8, _) => Values::Int8(vec![]),
            (SqlType::Float4, _) => Values::Float4(vec![]),
            (SqlType::Float8, _) => Values::Float8(vec![]),
            (SqlType::Numeric(_), DataType::Decimal128(precision, scale)) => {
                Values::Decimal { values: vec![], precision, scale }
            }
            (SqlType::Date, _) => Values::Date(vec![]),
            (SqlType::Timestamp, _) => Values::Timestamp(vec![]),
            (SqlType::Timestamptz, _) => Values::Timestamptz(vec![]),
            (SqlType::Text | SqlType::Varchar(None) | SqlType::Json, _) => {
                Values::Text(TextColumn::with_capacity(0, 0))
            }
            _ => Values::Other(vec![]),
        }
    }
}

impl ColumnBuffer {
    pub fn new(sql_type: &SqlType) -> Self {
        let (sql_type, values) = (sql_type.clone(), Values::of_type(sql_type));
        ColumnBuffer { sql_type, valid: BooleanBufferBuilder::new(0), values }
    }

    pub fn sql_type(&self) -> &SqlType {
        &self.sql_type
    }

    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// Appends the value that has this text. An error appends nothing.
    pub fn push_text(&mut self, text: &str) -> Result<()> {
        let sql_type = &self.sql_type;
        match &mut self.values {
            Values::Bool(values) => values.push(match value::boolean(text) {
                Some(value) => value,
                None => value::parse(text, sql_type)?.as_boolean().value(0),
            }),
            Values::Int2(values) => push::<Int16Type>(values, text.parse().ok(), text, sql_type)?,
            Values::Int4(values) => push::<Int32Type>(values, text.parse().ok(), text, sql_type)?,
            Values::Int8(values) => push::<Int64Type>(values, text.parse().ok(), text, sql_type)?,
            Values::Float4(values) => push::<Float32Type>(values, value::float4(text), text, sql_type)?,
            Values::Float8(values) => push::<Float64Type>(values, value::float8(text), text, sql_type)?,
            Values::Decimal { values, precision, scale } => {
                push::<Decimal128Type>(values, value::decimal(text, *precision, *scale), text, sql_type)?;
            }
            Values::Date(values) => push::<Date32Type>(values, value::date(text), text, sql_type)?,
            Values::Timestamp(values) => {
                push::<TimestampMicrosecondType>(values, value::timestamp(text), text, sql_type)?
            }
            Values::Timestamptz(values) => {
                push::<TimestampMicrosecondType>(values, value::timestamptz(text), text, sql_type)?
            }
            Values::Text(values) => values.push(text),
            Values::Other(values) => values.push(value::parse(text, sql_type)?),
        }
        self.valid.append(true);
        Ok(())
    }

    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.push(false),
            Values::Int2(values) => values.push(0),
            Values::Int4(values) | Values::Date(values) => values.push(0),
            Values::Int8(values) | Values::Timestamp(values) | Values::Timestamptz(values) => values.push(0),
            Values::Float4(values) => values.push(0.0),
            Values::Float8(values) => values.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Text(values) => values.end_value(),
            Values::Other(values) => values.push(new_null_array(&self.sql_type.arrow(), 1)),
        }
        self.valid.append(false);
    }

    /// Takes back all rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        if rows >= self.len() {
            return;
        }
        match &mut self.values {
            Values::Bool(values) => values.truncate(rows),
            Values::Int2(values) => values.truncate(rows),
            Values::Int4(values) | Values::Date(values) => values.truncate(rows),
            Values::Int8(values) | Values::Timestamp(values) | Values::Timestamptz(values) => values.truncate(rows),
            Values::Float4(values) => values.truncate(rows),
            Values::Float8(values) => values.truncate(rows),
            Values::Decimal { values, .. } => values.truncate(rows),
            Values::Text(values) => values.truncate(rows),
            Values::Other(values) => values.truncate(rows),
        }
        self.valid.truncate(rows);
    }

    /// The rows so far; the buffer is empty afterwards.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let nulls = Some(NullBuffer::new(self.valid.finish())).filter(|nulls| nulls.null_count() > 0);
        let values = std::mem::replace(&mut self.values, Values::of_type(&self.sql_type));
        Ok(match values {
            Values::Bool(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls)),
            Values::Int2(values) => Arc::new(Int16Array::new(values.into(), nulls)),
            Values::Int4(values) => Arc::new(Int32Array::new(values.into(), nulls)),
            Values::Int8(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::Float4(values) => Arc::new(Float32Array::new(values.into(), nulls)),
            Values::Float8(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Decimal { values, precision, scale } => {
                Arc::new(Decimal128Array::new(values.into(), nulls).with_precision_and_scale(precision, scale)?)
            }
            Values::Date(values) => Arc::new(Date32Array::new(values.into(), nulls)),
            Values::Timestamp(values) => Arc::new(TimestampMicrosecondArray::new(values.into(), nulls)),
            Values::Timestamptz(values) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            Values::Text(values) => Arc::new(values.finish(nulls)?),
            Values::Other(values) if values.is_empty() => new_empty_array(&self.sql_type.arrow()),
            Values::Other(values) => concat(&values.iter().map(|value| value.as_ref()).collect::<Vec<_>>())?,
        })
    }
}

/// Appends what was read quickly, or else what [`value::parse`] makes of the text.
fn push<P: ArrowPrimitiveType>(
    values: &mut Vec<P::Native>,
    quick: Option<P::Native>,
    text: &str,
    sql_type: &SqlType,
) -> Result<()> {
    values.push(match quick {
        Some(value) => value,
        None => value::parse(text, sql_type)?.as_primitive::<P>().value(0),
    });
    Ok(())
}
