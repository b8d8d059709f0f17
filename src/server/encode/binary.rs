//! Values in PostgreSQL's binary formats, as its send functions write them.

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, IntervalMonthDayNanoArray, PrimitiveArray, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType};
use bytes::{BufMut, BytesMut};

use super::array::ArrayWriter;
use super::numeric::NumericWriter;
use crate::types::{Error, Result, SqlState, SqlType};

/// PostgreSQL counts from 2000-01-01, Arrow from 1970-01-01.
pub(in crate::server) const EPOCH_DAYS: i32 = 10_957;
pub(in crate::server) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;
const NANOS_PER_MICRO: i64 = 1_000;
/// The version byte in front of a jsonb.
pub(in crate::server) const JSONB_VERSION: u8 = 1;

/// Writes the values of one array.
pub(in crate::server) enum BinaryWriter<'a> {
    Bool(&'a BooleanArray),
    Int2(&'a Int16Array),
    Int4(&'a Int32Array),
    Int8(&'a Int64Array),
    Float4(&'a Float32Array),
    Float8(&'a Float64Array),
    Numeric(NumericWriter<'a>),
    Text(&'a StringArray),
    InternalChar(&'a StringArray),
    Jsonb(&'a StringArray),
    Uuid(&'a StringArray),
    Bytea(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
    Interval(&'a IntervalMonthDayNanoArray),
    Oid(&'a UInt32Array),
    Array(Box<ArrayWriter<'a>>),
}

impl<'a> BinaryWriter<'a> {
    pub fn new(array: &'a dyn Array, sql_type: &SqlType) -> Result<Self> {
        Ok(match sql_type {
            SqlType::Bool => BinaryWriter::Bool(array.as_boolean()),
            SqlType::Int2 => BinaryWriter::Int2(primitive(array)),
            SqlType::Int4 => BinaryWriter::Int4(primitive(array)),
            SqlType::Int8 => BinaryWriter::Int8(primitive(array)),
            SqlType::Float4 => BinaryWriter::Float4(primitive(array)),
            SqlType::Float8 => BinaryWriter::Float8(primitive(array)),
            SqlType::Numeric(_) => BinaryWriter::Numeric(NumericWriter::new(array, sql_type)),
            SqlType::InternalChar => BinaryWriter::InternalChar(array.as_string()),
            SqlType::Jsonb => BinaryWriter::Jsonb(array.as_string()),
            SqlType::Uuid => BinaryWriter::Uuid(array.as_string()),
            SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Char(_)
            | SqlType::Name
            | SqlType::Json
            | SqlType::Unknown => BinaryWriter::Text(array.as_string()),
            SqlType::Bytea => BinaryWriter::Bytea(array.as_binary()),
            SqlType::Date => BinaryWriter::Date(primitive(array)),
            SqlType::Time => BinaryWriter::Time(primitive(array)),
            SqlType::Timestamp | SqlType::Timestamptz => BinaryWriter::Timestamp(primitive(array)),
            SqlType::Interval => BinaryWriter::Interval(primitive(array)),
            SqlType::Oid | SqlType::Regclass | SqlType::Regtype | SqlType::Regproc | SqlType::Regnamespace => {
                BinaryWriter::Oid(primitive(array))
            }
            SqlType::Array(element) => BinaryWriter::Array(Box::new(ArrayWriter::new(array, element)?)),
            SqlType::Record => {
                return Err(Error::unsupported("no binary output function is available for type record")
                    .with_hint("Ask for the result in text, or select the columns themselves."));
            }
        })
    }

    /// Appends the value of a row that is not NULL, without its length.
    pub fn write(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        match self {
            BinaryWriter::Bool(array) => out.put_u8(array.value(row).into()),
            BinaryWriter::Int2(array) => out.put_i16(array.value(row)),
            BinaryWriter::Int4(array) => out.put_i32(array.value(row)),
            BinaryWriter::Int8(array) => out.put_i64(array.value(row)),
            BinaryWriter::Float4(array) => out.put_f32(array.value(row)),
            BinaryWriter::Float8(array) => out.put_f64(array.value(row)),
            BinaryWriter::Numeric(writer) => writer.write(row, out),
            BinaryWriter::Text(array) => out.put_slice(array.value(row).as_bytes()),
            // The empty string is the zero byte, as in PostgreSQL.
            BinaryWriter::InternalChar(array) => out.put_u8(array.value(row).bytes().next().unwrap_or(0)),
            BinaryWriter::Jsonb(array) => {
                out.put_u8(JSONB_VERSION);
                out.put_slice(array.value(row).as_bytes());
            }
            BinaryWriter::Uuid(array) => write_uuid(array.value(row), out)?,
            BinaryWriter::Bytea(array) => out.put_slice(array.value(row)),
            BinaryWriter::Date(array) => out.put_i32(match array.value(row) {
                infinity @ (i32::MIN | i32::MAX) => infinity,
                days => days.checked_sub(EPOCH_DAYS).ok_or_else(|| out_of_range("date"))?,
            }),
            BinaryWriter::Time(array) => out.put_i64(array.value(row)),
            BinaryWriter::Timestamp(array) => out.put_i64(match array.value(row) {
                infinity @ (i64::MIN | i64::MAX) => infinity,
                micros => micros.checked_sub(EPOCH_MICROS).ok_or_else(|| out_of_range("timestamp"))?,
            }),
            BinaryWriter::Interval(array) => {
                let value = array.value(row);
                out.put_i64(value.nanoseconds / NANOS_PER_MICRO);
                out.put_i32(value.days);
                out.put_i32(value.months);
            }
            BinaryWriter::Oid(array) => out.put_u32(array.value(row)),
            BinaryWriter::Array(writer) => writer.write(row, out)?,
        }
        Ok(())
    }
}

/// The caller has checked the array's type against the column's.
fn primitive<T: ArrowPrimitiveType>(array: &dyn Array) -> &PrimitiveArray<T> {
    // Timestamps with and without a zone are one Rust type.
    debug_assert!(matches!(array.data_type(), DataType::Timestamp(..)) || *array.data_type() == T::DATA_TYPE);
    array.as_primitive()
}

/// 32 hexadecimal digits, hyphens anywhere.
fn write_uuid(text: &str, out: &mut BytesMut) -> Result<()> {
    let wrong = || Error::internal(format!("a uuid was kept as \"{text}\""));
    let mut value: u128 = 0;
    let mut digits = 0;
    for character in text.chars().filter(|&character| character != '-') {
        value = value << 4 | u128::from(character.to_digit(16).ok_or_else(wrong)?);
        digits += 1;
    }
    if digits != 32 {
        return Err(wrong());
    }
    out.put_u128(value);
    Ok(())
}

fn out_of_range(what: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}
