//! Values in PostgreSQL's binary formats, as its receive functions read them.

use std::sync::Arc;

use arrow::array::{Array, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::IntervalMonthDayNano;
use bytes::Buf;
use datafusion::common::ScalarValue;

use super::{from_text, null};
use crate::server::encode::{EPOCH_DAYS, EPOCH_MICROS, JSONB_VERSION};
use crate::server::request::utf8;
use crate::types::text::TextStyle;
use crate::types::{Error, Result, SqlState, SqlType};

const MICROS_PER_DAY: i64 = 86_400_000_000;
const NANOS_PER_MICRO: i64 = 1_000;
/// As many dimensions as PostgreSQL's arrays may have.
const DIMENSIONS_MAX: i32 = 6;
const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_NAN: u16 = 0xc000;
const NUMERIC_INFINITY: u16 = 0xd000;
const NUMERIC_NEGATIVE_INFINITY: u16 = 0xf000;
/// Decimal digits of a numeric's integer part that are read; the widest type has 76.
const NUMERIC_GROUPS_MAX: usize = 64;

/// A value that is not NULL; 22P03 if its bytes are not of this type.
pub(super) fn value(bytes: &[u8], sql_type: &SqlType) -> Result<ScalarValue> {
    Ok(match sql_type {
        SqlType::Bool => ScalarValue::Boolean(Some(fixed::<1>(bytes)? != [0])),
        SqlType::Int2 => ScalarValue::Int16(Some(i16::from_be_bytes(fixed(bytes)?))),
        SqlType::Int4 => ScalarValue::Int32(Some(i32::from_be_bytes(fixed(bytes)?))),
        SqlType::Int8 => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(bytes)?))),
        SqlType::Float4 => ScalarValue::Float32(Some(f32::from_be_bytes(fixed(bytes)?))),
        SqlType::Float8 => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(bytes)?))),
        SqlType::Numeric(_) => parsed(&numeric_text(bytes)?, sql_type)?,
        SqlType::Text | SqlType::Unknown => ScalarValue::Utf8(Some(utf8(bytes)?.to_string())),
        SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::Json => parsed(utf8(bytes)?, sql_type)?,
        SqlType::InternalChar => ScalarValue::Utf8(Some(internal_char(fixed::<1>(bytes)?[0])?)),
        SqlType::Jsonb => match bytes.split_first() {
            Some((&JSONB_VERSION, text)) => parsed(utf8(text)?, sql_type)?,
            _ => return Err(malformed("unsupported jsonb version number")),
        },
        SqlType::Uuid => ScalarValue::Utf8(Some(uuid_text(u128::from_be_bytes(fixed(bytes)?)))),
        SqlType::Bytea => ScalarValue::Binary(Some(bytes.to_vec())),
        SqlType::Date => ScalarValue::Date32(Some(match i32::from_be_bytes(fixed(bytes)?) {
            infinity @ (i32::MIN | i32::MAX) => infinity,
            days => days.checked_add(EPOCH_DAYS).ok_or_else(|| out_of_range("date"))?,
        })),
        SqlType::Time => match i64::from_be_bytes(fixed(bytes)?) {
            micros @ 0..=MICROS_PER_DAY => ScalarValue::Time64Microsecond(Some(micros)),
            _ => return Err(out_of_range("time")),
        },
        SqlType::Timestamp => ScalarValue::TimestampMicrosecond(Some(timestamp(bytes)?), None),
        SqlType::Timestamptz => ScalarValue::TimestampMicrosecond(Some(timestamp(bytes)?), Some("UTC".into())),
        SqlType::Interval => ScalarValue::IntervalMonthDayNano(Some(interval(fixed(bytes)?)?)),
        SqlType::Oid | SqlType::Regclass | SqlType::Regtype | SqlType::Regproc | SqlType::Regnamespace => {
            ScalarValue::UInt32(Some(u32::from_be_bytes(fixed(bytes)?)))
        }
        SqlType::Array(element) => array(bytes, element)?,
        SqlType::Record => return Err(Error::unsupported("parameters of type record are not supported")),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| malformed("incorrect binary data format"))
}

/// Types whose text form does the checking.
fn parsed(text: &str, sql_type: &SqlType) -> Result<ScalarValue> {
    from_text(text, sql_type, &TextStyle::default())
}

fn internal_char(byte: u8) -> Result<String> {
    Ok(match byte {
        0 => String::new(),
        byte => utf8(&[byte])?.to_string(),
    })
}

fn uuid_text(value: u128) -> String {
    let digits = format!("{value:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

fn timestamp(bytes: &[u8]) -> Result<i64> {
    match i64::from_be_bytes(fixed(bytes)?) {
        infinity @ (i64::MIN | i64::MAX) => Ok(infinity),
        micros => micros.checked_add(EPOCH_MICROS).ok_or_else(|| out_of_range("timestamp")),
    }
}

fn interval(bytes: [u8; 16]) -> Result<IntervalMonthDayNano> {
    let mut bytes = &bytes[..];
    let (micros, days, months) = (bytes.get_i64(), bytes.get_i32(), bytes.get_i32());
    let nanos = micros.checked_mul(NANOS_PER_MICRO).ok_or_else(|| {
        Error::new(SqlState::INTERVAL_FIELD_OVERFLOW, "interval out of range")
            .with_detail("Its time part must be less than 292 years.")
    })?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

/// The number in decimal, as numeric's text form has it.
fn numeric_text(bytes: &[u8]) -> Result<String> {
    let mut rest = Reader { rest: bytes };
    let (count, weight) = (rest.int2()?, rest.int2()?);
    let (sign, scale) = (rest.int2()? as u16, rest.int2()?);
    let groups = (0..count).map(|_| rest.int2()).collect::<Result<Vec<_>>>()?;
    rest.end()?;
    let sign = match sign {
        0 => "",
        NUMERIC_NEGATIVE => "-",
        NUMERIC_NAN => return Ok("NaN".into()),
        NUMERIC_INFINITY => return Ok("Infinity".into()),
        NUMERIC_NEGATIVE_INFINITY => return Ok("-Infinity".into()),
        _ => return Err(malformed("invalid sign in external \"numeric\" value")),
    };
    if groups.iter().any(|group| !(0..10_000).contains(group)) {
        return Err(malformed("invalid digit in external \"numeric\" value"));
    }
    let scale = usize::try_from(scale).map_err(|_| malformed("invalid scale in external \"numeric\" value"))?;
    // The group at `place` before the decimal point; negative places are after it.
    let group = |place: i32| {
        let index = usize::try_from(i32::from(weight) - place).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    if usize::try_from(weight).is_ok_and(|weight| weight > NUMERIC_GROUPS_MAX) {
        return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range for type numeric"));
    }
    let whole: String = (0..=i32::from(weight)).rev().map(|place| format!("{:04}", group(place))).collect();
    let fraction: String = (1..=scale.div_ceil(4) as i32).map(|place| format!("{:04}", group(-place))).collect();
    let whole = if whole.is_empty() { "0" } else { &whole };
    Ok(format!("{sign}{whole}.{}", &format!("{fraction}0")[..scale.max(1)]))
}

fn array(bytes: &[u8], element: &SqlType) -> Result<ScalarValue> {
    let mut rest = Reader { rest: bytes };
    let dimensions = rest.int4()?;
    if !(0..=DIMENSIONS_MAX).contains(&dimensions) {
        return Err(malformed(format!("invalid number of dimensions: {dimensions}")));
    }
    rest.int4()?; // Whether there are NULLs, which each element says too.
    let element_oid = rest.int4()? as u32;
    if element_oid != element.oid() {
        let message = format!("binary data has array element type {element_oid} instead of expected {}", element.oid());
        return Err(Error::new(SqlState::DATATYPE_MISMATCH, message));
    }
    if dimensions > 1 {
        return Err(Error::unsupported("parameters that are arrays of several dimensions are not supported in binary")
            .with_hint("Send the parameter as text."));
    }
    let length = match dimensions {
        0 => 0,
        _ => {
            let length = rest.int4()?;
            rest.int4()?; // The lower bound; arrays begin at 1 here.
            length
        }
    };
    let elements = (0..length).map(|_| rest.element(element)).collect::<Result<Vec<_>>>()?;
    rest.end()?;
    let values = match elements.is_empty() {
        true => new_empty_array(&element.arrow()),
        false => ScalarValue::iter_to_array(elements)?,
    };
    let field = Arc::new(element.field("item", true));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::new(field, offsets, values, None))))
}

/// Bytes, read from the front.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (read, rest) = self.rest.split_at_checked(count).ok_or_else(|| malformed("insufficient data left"))?;
        self.rest = rest;
        Ok(read)
    }

    fn int2(&mut self) -> Result<i16> {
        Ok(self.bytes(2)?.get_i16())
    }

    fn int4(&mut self) -> Result<i32> {
        Ok(self.bytes(4)?.get_i32())
    }

    fn element(&mut self, element: &SqlType) -> Result<ScalarValue> {
        match self.int4()? {
            -1 => null(element),
            length => {
                let length = usize::try_from(length).map_err(|_| malformed("invalid element length"))?;
                value(self.bytes(length)?, element)
            }
        }
    }

    fn end(&self) -> Result<()> {
        match self.rest {
            [] => Ok(()),
            _ => Err(malformed("incorrect binary data format")),
        }
    }
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_BINARY_REPRESENTATION, message)
}

fn out_of_range(what: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::server::encode::BinaryWriter;

    /// What was read is written as it came.
    fn round_trip(hex: &str, sql_type: &SqlType) {
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let read = value(&bytes, sql_type).unwrap();
        assert_eq!(read.data_type(), sql_type.arrow());
        let mut out = BytesMut::new();
        BinaryWriter::new(&read.to_array().unwrap(), sql_type).unwrap().write(0, &mut out).unwrap();
        assert_eq!(out, bytes, "{sql_type}: {read:?}");
    }

    #[test]
    fn values_survive_reading_and_writing() {
        let cases = [
            (SqlType::Bool, "01"),
            (SqlType::Int2, "fffe"),
            (SqlType::Int4, "7fffffff"),
            (SqlType::Int8, "8000000000000000"),
            (SqlType::Float4, "3fc00000"),
            (SqlType::Float8, "7ff0000000000000"),
            (SqlType::Text, "c3a4"),
            (SqlType::Bytea, "00ff"),
            (SqlType::Date, "ffffd533"),
            (SqlType::Date, "7fffffff"),
            (SqlType::Time, "00000008ab1c58a0"),
            (SqlType::Timestamp, "fffca2fec4c82000"),
            (SqlType::Timestamptz, "8000000000000000"),
            (SqlType::Interval, "000000036c8bc081000000030000000e"),
            (SqlType::Uuid, "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
            (SqlType::Oid, "000004eb"),
            (SqlType::InternalChar, "72"),
            (SqlType::Array(SqlType::Int4.into()), "00000001000000010000001700000002000000010000000400000007ffffffff"),
            (SqlType::Array(SqlType::Text.into()), "000000000000000000000019"),
        ];
        for (sql_type, hex) in cases {
            round_trip(hex, &sql_type);
        }
    }

    #[test]
    fn numerics_are_read_as_decimal_text() {
        let text = |hex: &str| {
            let bytes: Vec<u8> =
                (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
            numeric_text(&bytes)
        };
        assert_eq!(text("0000000000000000").unwrap(), "0000.0");
        assert_eq!(text("0002000040000002007b1194").unwrap(), "-0123.45");
        assert_eq!(text("0001fffe0000000503e8").unwrap(), "0.00001");
        assert_eq!(text("00010001000000000001").unwrap(), "00010000.0");
        assert_eq!(text("00000000c0000000").unwrap(), "NaN");
        assert!(text("00010000000000002710").is_err(), "10000 is no group of four digits");
        assert!(text("000100000000").is_err());
        assert_eq!(text("00017fff000000000001").unwrap_err().state(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
    }

    #[test]
    fn wrong_bytes_are_refused() {
        for (sql_type, bytes) in [
            (SqlType::Int4, &b"\0\0\0"[..]),
            (SqlType::Bool, b""),
            (SqlType::Uuid, b"123"),
            (SqlType::Jsonb, b"\x02{}"),
            (SqlType::Array(SqlType::Int4.into()), b"\0\0\0\x01\0\0\0\0\0\0\0\x17\x7f\xff\xff\xff\0\0\0\x01"),
        ] {
            let error = value(bytes, &sql_type).unwrap_err();
            assert_eq!(error.state(), SqlState::INVALID_BINARY_REPRESENTATION, "{sql_type}");
        }
        assert_eq!(value(b"\xff", &SqlType::Text).unwrap_err().state(), SqlState::INVALID_BYTE_SEQUENCE);
        let beyond = value(&i64::MAX.saturating_sub(1).to_be_bytes(), &SqlType::Timestamp).unwrap_err();
        assert_eq!(beyond.state(), SqlState::DATETIME_FIELD_OVERFLOW);
    }
}
