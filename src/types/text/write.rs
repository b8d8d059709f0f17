//! Writes the values of an array as PostgreSQL's output functions do: the type is looked at once, then only values.

use arrow::array::{
    Array, AsArray, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    IntervalDayTimeArray, IntervalMonthDayNanoArray, IntervalYearMonthArray, LargeBinaryArray, LargeStringArray,
    ListArray, PrimitiveArray, StringArray, StringViewArray, StructArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Int64Type, IntervalMonthDayNano, IntervalUnit, Time64MicrosecondType, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

use super::TextStyle;
use super::array::{quote_field_since, quote_since};
use super::bytes::write_bytea;
use super::calendar::date_of_days;
use super::datetime::{write_date, write_era, write_timestamp};
use super::float::{write_float4, write_float8};
use super::interval::{write_clock, write_interval};
use super::numeric::{write_decimal, write_wide_decimal};
use super::zone::Zone;
use crate::types::{Error, Result, SqlType};

/// Writes the values of one array as PostgreSQL's output functions do.
pub struct TextWriter<'a> {
    kind: Kind<'a>,
}

enum Kind<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    UInt8(&'a UInt8Array),
    UInt16(&'a UInt16Array),
    UInt32(&'a UInt32Array),
    UInt64(&'a UInt64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal128(&'a Decimal128Array, i8, bool),
    Decimal256(&'a Decimal256Array, i8, bool),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
    Bytes(&'a BinaryArray),
    LargeBytes(&'a LargeBinaryArray),
    BytesView(&'a BinaryViewArray),
    FixedBytes(&'a FixedSizeBinaryArray),
    Date(&'a Date32Array),
    /// Values of one unit, in microseconds as a fraction (multiply, then divide).
    Time(PrimitiveArray<Int64Type>, Unit),
    Timestamp(PrimitiveArray<Int64Type>, Unit, Option<Zone>),
    Duration(PrimitiveArray<Int64Type>, Unit),
    Interval(&'a IntervalMonthDayNanoArray),
    YearMonths(&'a IntervalYearMonthArray),
    DayTimes(&'a IntervalDayTimeArray),
    List(&'a ListArray, Box<TextWriter<'a>>),
    Record(&'a StructArray, Vec<TextWriter<'a>>),
}

/// How many microseconds a count of units is.
#[derive(Clone, Copy)]
struct Unit {
    multiplier: i64,
    divisor: i64,
}

impl Unit {
    fn of(unit: TimeUnit) -> Self {
        let (multiplier, divisor) = match unit {
            TimeUnit::Second => (1_000_000, 1),
            TimeUnit::Millisecond => (1000, 1),
            TimeUnit::Microsecond => (1, 1),
            TimeUnit::Nanosecond => (1, 1000),
        };
        Unit { multiplier, divisor }
    }

    fn micros(self, count: i64) -> i64 {
        count.saturating_mul(self.multiplier).div_euclid(self.divisor)
    }
}

impl<'a> TextWriter<'a> {
    pub fn new(array: &'a dyn Array, sql_type: &SqlType, style: &TextStyle) -> Result<Self> {
        let trim = matches!(sql_type, SqlType::Numeric(None));
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Bool(array.as_boolean()),
            DataType::Int8 => Kind::Int8(array.as_primitive()),
            DataType::Int16 => Kind::Int16(array.as_primitive()),
            DataType::Int32 => Kind::Int32(array.as_primitive()),
            DataType::Int64 => Kind::Int64(array.as_primitive()),
            DataType::UInt8 => Kind::UInt8(array.as_primitive()),
            DataType::UInt16 => Kind::UInt16(array.as_primitive()),
            DataType::UInt32 => Kind::UInt32(array.as_primitive()),
            DataType::UInt64 => Kind::UInt64(array.as_primitive()),
            DataType::Float32 => Kind::Float32(array.as_primitive()),
            DataType::Float64 => Kind::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Kind::Decimal128(array.as_primitive(), *scale, trim),
            DataType::Decimal256(_, scale) => Kind::Decimal256(array.as_primitive(), *scale, trim),
            DataType::Utf8 => Kind::Text(array.as_string()),
            DataType::LargeUtf8 => Kind::LargeText(array.as_string()),
            DataType::Utf8View => Kind::TextView(array.as_string_view()),
            DataType::Binary => Kind::Bytes(array.as_binary()),
            DataType::LargeBinary => Kind::LargeBytes(array.as_binary()),
            DataType::BinaryView => Kind::BytesView(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => Kind::FixedBytes(array.as_fixed_size_binary()),
            DataType::Date32 => Kind::Date(array.as_primitive()),
            DataType::Time64(unit) => Kind::Time(counts_of_time(array, *unit), Unit::of(*unit)),
            DataType::Timestamp(unit, zone) => {
                let zone = zone.as_ref().map(|_| Zone::of_name(&style.time_zone)).transpose()?;
                Kind::Timestamp(counts_of_timestamp(array, *unit), Unit::of(*unit), zone)
            }
            DataType::Duration(unit) => Kind::Duration(counts_of_duration(array, *unit), Unit::of(*unit)),
            DataType::Interval(IntervalUnit::MonthDayNano) => Kind::Interval(array.as_primitive()),
            DataType::Interval(IntervalUnit::YearMonth) => Kind::YearMonths(array.as_primitive()),
            DataType::Interval(IntervalUnit::DayTime) => Kind::DayTimes(array.as_primitive()),
            DataType::List(item) => {
                let element = match sql_type {
                    SqlType::Array(element) => (**element).clone(),
                    _ => SqlType::of_field(item),
                };
                let list: &ListArray = array.as_list();
                Kind::List(list, Box::new(TextWriter::new(list.values(), &element, style)?))
            }
            DataType::Struct(fields) => {
                let record = array.as_struct();
                let columns = record.columns().iter().zip(fields);
                let writers = columns.map(|(column, field)| TextWriter::new(column, &SqlType::of_field(field), style));
                Kind::Record(record, writers.collect::<Result<_>>()?)
            }
            other => {
                return Err(Error::unsupported(format!("values of Arrow's type {other} can not be shown as text")));
            }
        };
        Ok(TextWriter { kind })
    }

    /// Appends the text of a row that is not NULL.
    pub fn write(&self, row: usize, out: &mut String) {
        match &self.kind {
            Kind::Null => {}
            Kind::Bool(array) => out.push(if array.value(row) { 't' } else { 'f' }),
            Kind::Int8(array) => write_integer(array.value(row).into(), out),
            Kind::Int16(array) => write_integer(array.value(row).into(), out),
            Kind::Int32(array) => write_integer(array.value(row).into(), out),
            Kind::Int64(array) => write_integer(array.value(row), out),
            Kind::UInt8(array) => write_integer(array.value(row).into(), out),
            Kind::UInt16(array) => write_integer(array.value(row).into(), out),
            Kind::UInt32(array) => write_integer(array.value(row).into(), out),
            Kind::UInt64(array) => out.push_str(&array.value(row).to_string()),
            Kind::Float32(array) => write_float4(array.value(row), out),
            Kind::Float64(array) => write_float8(array.value(row), out),
            Kind::Decimal128(array, scale, trim) => write_decimal(array.value(row), *scale, *trim, out),
            Kind::Decimal256(array, scale, trim) => write_wide_decimal(array.value(row), *scale, *trim, out),
            Kind::Text(array) => out.push_str(array.value(row)),
            Kind::LargeText(array) => out.push_str(array.value(row)),
            Kind::TextView(array) => out.push_str(array.value(row)),
            Kind::Bytes(array) => write_bytea(array.value(row), out),
            Kind::LargeBytes(array) => write_bytea(array.value(row), out),
            Kind::BytesView(array) => write_bytea(array.value(row), out),
            Kind::FixedBytes(array) => write_bytea(array.value(row), out),
            Kind::Date(array) => write_day(array.value(row), out),
            Kind::Time(array, unit) => write_clock(unit.micros(array.value(row)), out),
            Kind::Timestamp(array, unit, zone) => write_timestamp(unit.micros(array.value(row)), zone.as_ref(), out),
            Kind::Duration(array, unit) => {
                let nanoseconds = unit.micros(array.value(row)).saturating_mul(1000);
                write_interval(IntervalMonthDayNano::new(0, 0, nanoseconds), out);
            }
            Kind::Interval(array) => write_interval(array.value(row), out),
            Kind::YearMonths(array) => write_interval(IntervalMonthDayNano::new(array.value(row), 0, 0), out),
            Kind::DayTimes(array) => {
                let value = array.value(row);
                let nanoseconds = i64::from(value.milliseconds) * 1_000_000;
                write_interval(IntervalMonthDayNano::new(0, value.days, nanoseconds), out);
            }
            Kind::List(list, elements) => write_list(list, elements, row, out),
            Kind::Record(record, fields) => write_record(record, fields, row, out),
        }
    }
}

/// Appends an integer; an integer is what most columns hold, so this does not go through the formatter.
fn write_integer(value: i64, out: &mut String) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push('-');
    }
    out.extend(digits[at..].iter().map(|&digit| digit as char));
}

fn write_day(days: i32, out: &mut String) {
    match days {
        i32::MAX => out.push_str("infinity"),
        i32::MIN => out.push_str("-infinity"),
        _ => {
            let (year, month, day) = date_of_days(i64::from(days));
            write_date(year, month, day, out);
            write_era(year, out);
        }
    }
}

fn write_list(list: &ListArray, elements: &TextWriter, row: usize, out: &mut String) {
    let offsets = list.value_offsets();
    let nested = matches!(elements.kind, Kind::List(..));
    out.push('{');
    for element in offsets[row] as usize..offsets[row + 1] as usize {
        if element > offsets[row] as usize {
            out.push(',');
        }
        if list.values().is_null(element) {
            out.push_str("NULL");
            continue;
        }
        let start = out.len();
        elements.write(element, out);
        if !nested {
            quote_since(start, out);
        }
    }
    out.push('}');
}

fn write_record(record: &StructArray, fields: &[TextWriter], row: usize, out: &mut String) {
    out.push('(');
    for (place, (field, column)) in fields.iter().zip(record.columns()).enumerate() {
        if place > 0 {
            out.push(',');
        }
        if column.is_valid(row) {
            let start = out.len();
            field.write(row, out);
            quote_field_since(start, out);
        }
    }
    out.push(')');
}

/// The same buffer, read as plain integers.
fn counts<T: ArrowPrimitiveType<Native = i64>>(array: &dyn Array) -> PrimitiveArray<Int64Type> {
    array.as_primitive::<T>().reinterpret_cast()
}

fn counts_of_time(array: &dyn Array, unit: TimeUnit) -> PrimitiveArray<Int64Type> {
    match unit {
        TimeUnit::Nanosecond => counts::<Time64NanosecondType>(array),
        _ => counts::<Time64MicrosecondType>(array),
    }
}

fn counts_of_timestamp(array: &dyn Array, unit: TimeUnit) -> PrimitiveArray<Int64Type> {
    match unit {
        TimeUnit::Second => counts::<TimestampSecondType>(array),
        TimeUnit::Millisecond => counts::<TimestampMillisecondType>(array),
        TimeUnit::Microsecond => counts::<TimestampMicrosecondType>(array),
        TimeUnit::Nanosecond => counts::<TimestampNanosecondType>(array),
    }
}

fn counts_of_duration(array: &dyn Array, unit: TimeUnit) -> PrimitiveArray<Int64Type> {
    match unit {
        TimeUnit::Second => counts::<DurationSecondType>(array),
        TimeUnit::Millisecond => counts::<DurationMillisecondType>(array),
        TimeUnit::Microsecond => counts::<DurationMicrosecondType>(array),
        TimeUnit::Nanosecond => counts::<DurationNanosecondType>(array),
    }
}
