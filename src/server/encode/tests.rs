//! Bytes compared with what PostgreSQL 15's send functions give (`SELECT numeric_send(...)` and so on).

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float64Array, Int32Array,
    Int64Array, IntervalMonthDayNanoArray, ListArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::datatypes::{Field, Int32Type, IntervalMonthDayNano, Schema, i256};

use super::*;
use crate::types::Column;

/// The value of the only row, in binary, as hexadecimal digits.
fn binary(array: ArrayRef, sql_type: &SqlType) -> String {
    let mut out = BytesMut::new();
    BinaryWriter::new(array.as_ref(), sql_type).unwrap().write(0, &mut out).unwrap();
    out.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn numeric(value: i128, precision: u8, scale: i8) -> String {
    let array = Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap();
    binary(Arc::new(array), &SqlType::Numeric(Some((precision, scale))))
}

#[test]
fn numerics_are_groups_of_four_digits() {
    assert_eq!(numeric(0, 10, 0), "0000000000000000");
    assert_eq!(numeric(0, 10, 2), "0000000000000002");
    assert_eq!(numeric(1, 10, 0), "00010000000000000001");
    assert_eq!(numeric(-12_345, 10, 2), "0002000040000002007b1194");
    assert_eq!(numeric(1, 10, 4), "0001ffff000000040001");
    assert_eq!(numeric(1, 10, 5), "0001fffe0000000503e8");
    assert_eq!(numeric(10_000, 10, 0), "00010001000000000001");
    assert_eq!(numeric(123_456_789, 10, 3), "0003000100000003000c0d801ed2");
    let largest = 99_999_999_999_999_999_999_999_999_999_999_999_999;
    assert_eq!(numeric(largest, 38, 0), format!("000a000900000000{}{}", "0063", "270f".repeat(9)));
    assert_eq!(numeric(-largest, 38, 38), format!("000affff40000026{}{}", "270f".repeat(9), "26ac"));
}

#[test]
fn numeric_without_a_scale_has_no_zeros_at_the_end() {
    let array = Decimal128Array::from(vec![15_000_000_000_000_000]).with_precision_and_scale(38, 16).unwrap();
    assert_eq!(binary(Arc::new(array), &SqlType::Numeric(None)), "000200000000000100011388");
    let array = Decimal128Array::from(vec![0]).with_precision_and_scale(38, 16).unwrap();
    assert_eq!(binary(Arc::new(array), &SqlType::Numeric(None)), "0000000000000000");
}

#[test]
fn wide_numerics_are_written_too() {
    let value = i256::from_string(&"9".repeat(76)).unwrap();
    let array = Decimal256Array::from(vec![value]).with_precision_and_scale(76, 1).unwrap();
    let expected = format!("0014001200000001{}{}{}", "03e7", "270f".repeat(18), "2328");
    assert_eq!(binary(Arc::new(array), &SqlType::Numeric(Some((76, 1)))), expected);
}

#[test]
fn dates_and_times_count_from_2000() {
    let day = |days| binary(Arc::new(Date32Array::from(vec![days])), &SqlType::Date);
    assert_eq!(day(10_957), "00000000");
    assert_eq!(day(0), "ffffd533");
    assert_eq!(day(i32::MAX), "7fffffff");
    let at = |micros| binary(Arc::new(TimestampMicrosecondArray::from(vec![micros])), &SqlType::Timestamp);
    assert_eq!(at(946_684_800_000_000), "0000000000000000");
    assert_eq!(at(0), "fffca2fec4c82000");
    assert_eq!(at(i64::MIN), "8000000000000000");
    let time = Time64MicrosecondArray::from(vec![37_230_500_000]);
    assert_eq!(binary(Arc::new(time), &SqlType::Time), "00000008ab1c58a0");
    let interval = IntervalMonthDayNano::new(14, 3, 14_706_000_001_000);
    let interval = IntervalMonthDayNanoArray::from(vec![interval]);
    assert_eq!(binary(Arc::new(interval), &SqlType::Interval), "000000036c8bc081000000030000000e");
}

#[test]
fn the_other_scalars_are_as_postgresql_sends_them() {
    assert_eq!(binary(Arc::new(BooleanArray::from(vec![true])), &SqlType::Bool), "01");
    assert_eq!(binary(Arc::new(Float64Array::from(vec![1.5])), &SqlType::Float8), "3ff8000000000000");
    assert_eq!(binary(Arc::new(UInt32Array::from(vec![1259])), &SqlType::Regclass), "000004eb");
    assert_eq!(binary(Arc::new(BinaryArray::from(vec![&b"\xde\xad"[..]])), &SqlType::Bytea), "dead");
    let text = |text: &str, sql_type| binary(Arc::new(StringArray::from(vec![text])), sql_type);
    assert_eq!(text("{}", &SqlType::Jsonb), "017b7d");
    assert_eq!(text("{}", &SqlType::Json), "7b7d");
    assert_eq!(text("r", &SqlType::InternalChar), "72");
    assert_eq!(text("", &SqlType::InternalChar), "00");
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    assert_eq!(text(uuid, &SqlType::Uuid), uuid.replace('-', ""));
}

#[test]
fn arrays_have_dimensions_nulls_and_elements() {
    let int4s = |lists: Vec<Option<Vec<Option<i32>>>>| ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
    let array_of = |element| SqlType::Array(Box::new(element));
    let one = int4s(vec![Some(vec![Some(7), None])]);
    let expected = concat!("00000001", "00000001", "00000017", "00000002", "00000001", "0000000400000007", "ffffffff");
    assert_eq!(binary(Arc::new(one), &array_of(SqlType::Int4)), expected);
    let empty = int4s(vec![Some(vec![])]);
    assert_eq!(binary(Arc::new(empty), &array_of(SqlType::Int4)), "000000000000000000000017");

    let inner = int4s(vec![Some(vec![Some(1)]), Some(vec![Some(2)])]);
    let nested = |offsets: Vec<i32>, inner: ListArray| {
        let item = Arc::new(Field::new("item", inner.data_type().clone(), true));
        ListArray::new(item, arrow::buffer::OffsetBuffer::new(offsets.into()), Arc::new(inner), None)
    };
    let expected = concat!(
        "00000002",
        "00000000",
        "00000017",
        "00000002",
        "00000001",
        "00000001",
        "00000001",
        "0000000400000001",
        "0000000400000002"
    );
    let two = array_of(array_of(SqlType::Int4));
    assert_eq!(binary(Arc::new(nested(vec![0, 2], inner)), &two), expected);
    let ragged = nested(vec![0, 2], int4s(vec![Some(vec![Some(1)]), Some(vec![])]));
    let error = BinaryWriter::new(&ragged, &two).unwrap().write(0, &mut BytesMut::new()).unwrap_err();
    assert_eq!(error.state(), SqlState::ARRAY_SUBSCRIPT_ERROR);
}

fn batch(fields: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let (fields, arrays): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

#[test]
fn rows_are_messages_with_nulls_and_stop_at_the_limit() {
    let columns = Relation::new(vec![Column::new("t", SqlType::Text, true), Column::new("i", SqlType::Int8, true)]);
    let batch = batch(vec![
        (SqlType::Text.field("t", true), Arc::new(StringArray::from(vec![Some("ab"), None]))),
        (SqlType::Int8.field("i", true), Arc::new(Int64Array::from(vec![None, Some(1)]))),
    ]);
    let formats = [Format::Text, Format::Binary];
    let mut encoder = RowEncoder::new(&batch, &columns, &formats, &TextStyle::default()).unwrap();
    let mut out = BytesMut::new();
    assert_eq!(encoder.encode(0, &mut out, 1).unwrap(), 1);
    assert_eq!(&out[..], b"D\0\0\0\x10\0\x02\0\0\0\x02ab\xff\xff\xff\xff");
    out.clear();
    assert_eq!(encoder.encode(1, &mut out, 1 << 10).unwrap(), 2);
    assert_eq!(&out[..], b"D\0\0\0\x16\0\x02\xff\xff\xff\xff\0\0\0\x08\0\0\0\0\0\0\0\x01");
}

#[test]
fn batches_of_other_types_than_announced_are_refused() {
    let columns = Relation::new(vec![Column::new("i", SqlType::Int8, true)]);
    let batch = batch(vec![(SqlType::Int4.field("i", true), Arc::new(Int32Array::from(vec![1])))]);
    let error = RowEncoder::new(&batch, &columns, &[Format::Binary], &TextStyle::default()).err().unwrap();
    assert_eq!(error.state(), SqlState::INTERNAL_ERROR);
}
