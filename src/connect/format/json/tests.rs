//! What JSON fields become, and what becomes of records that are none.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;

use super::*;

fn decoder(columns: &[(&str, SqlType)]) -> Box<dyn Decoder> {
    let columns: Vec<Column> = columns.iter().map(|(name, of)| Column::new(*name, of.clone(), true)).collect();
    open(&columns).unwrap()
}

/// The only column's values after decoding each record; a record with an error must leave no row.
fn decode(of: SqlType, records: &[&str]) -> (ArrayRef, Vec<(usize, Error)>) {
    let mut decoder = decoder(&[("a", of)]);
    let mut errors = vec![];
    for (number, record) in records.iter().enumerate() {
        if let Err(error) = decoder.decode(record.as_bytes()) {
            errors.push((number, error));
        }
    }
    let column = decoder.finish().unwrap().remove(0);
    assert_eq!(column.len() + errors.len(), records.len());
    (column, errors)
}

fn texts(of: SqlType, records: &[&str]) -> Vec<Option<String>> {
    let (column, errors) = decode(of, records);
    assert!(errors.is_empty(), "{errors:?}");
    column.as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect()
}

#[test]
fn integers_are_whole() {
    let (column, errors) =
        decode(SqlType::Int8, &[r#"{"a":9223372036854775807}"#, r#"{"a":"12"}"#, r#"{"a":null}"#, "{}"]);
    assert!(errors.is_empty(), "{errors:?}");
    let values: Vec<Option<i64>> = column.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(values, [Some(i64::MAX), Some(12), None, None]);
}

#[test]
fn decimals_keep_all_digits() {
    let records = [r#"{"a":12.345}"#, r#"{"a":"-0.005"}"#, r#"{"a":12345678901234567890123456789.12}"#];
    let (column, errors) = decode(SqlType::Numeric(Some((31, 2))), &records);
    assert!(errors.is_empty(), "{errors:?}");
    let values = column.as_primitive::<Decimal128Type>().values().to_vec();
    assert_eq!(values, [1235, -1, 1234567890123456789012345678912]);
}

#[test]
fn text_takes_any_value_as_it_is_written() {
    let records = [
        r#"{"a":"caf\u00e9 \"x\"\n"}"#,
        r#"{"a":1.50}"#,
        r#"{"a":true}"#,
        r#"{"a":{"b": [1, 2.0]}}"#,
        r#"{"a":""}"#,
        r#"{"a": null }"#,
    ];
    let expected = [Some("café \"x\"\n"), Some("1.50"), Some("true"), Some(r#"{"b": [1, 2.0]}"#), Some(""), None];
    let texts = texts(SqlType::Text, &records);
    assert_eq!(texts.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
}

#[test]
fn json_stays_json() {
    let texts = texts(SqlType::Json, &[r#"{"a":"x"}"#, r#"{"a":{"b":1}}"#]);
    assert_eq!(texts, [Some("\"x\"".to_string()), Some("{\"b\":1}".to_string())]);
}

#[test]
fn the_last_of_equal_names_counts_and_unknown_names_do_not() {
    let record = r#"{"a":"not a number","z":{"a":[7]},"A":3,"a":1}"#;
    let (column, errors) = decode(SqlType::Int8, &[record]);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(column.as_primitive::<Int64Type>().values().to_vec(), [1]);
}

#[test]
fn a_bad_record_leaves_its_neighbours_alone() {
    let records = [
        r#"{"a":"one"}"#,
        r#"{"a":"#,
        r#"{"a":"two"}"#,
        r#"{"a":"x"} {"a":"y"}"#,
        r#"{"a":"x",,}"#,
        "[1]",
        "7",
        "",
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\u0000"}"#,
        "{'a':1}",
        r#"{"a":01}"#,
        r#"{"a":"three"}"#,
    ];
    let (column, errors) = decode(SqlType::Text, &records);
    assert_eq!(column.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["one", "two", "three"]);
    assert_eq!(errors.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    let mut decoder = decoder(&[("a", SqlType::Text)]);
    assert_eq!(decoder.decode(b"{\"a\":\"\xff\"}").unwrap_err().message(), "not valid UTF-8 at byte 6");
    assert!(decoder.finish().unwrap()[0].is_empty());
}

#[test]
fn a_row_is_taken_back_whole() {
    let columns = [Column::new("a", SqlType::Text, true), Column::new("b", SqlType::Int8, false)];
    let mut decoder = open(&columns).unwrap();
    decoder.decode(br#"{"a":"x","b":1}"#).unwrap();
    let error = decoder.decode(br#"{"a":"lost"}"#).unwrap_err();
    assert_eq!(error.state(), SqlState::NOT_NULL_VIOLATION);
    assert_eq!(error.message(), "null value in column \"b\" violates not-null constraint");
    decoder.decode(br#"{"a":"y","b":2}"#).unwrap();
    let columns = decoder.finish().unwrap();
    assert_eq!(columns[0].as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(columns[1].as_primitive::<Int64Type>().values().to_vec(), [1, 2]);
}

#[test]
fn keys_are_objects_or_bare_values() {
    let mut one = decoder(&[("id", SqlType::Int8)]);
    one.decode_key(b"7").unwrap();
    one.decode_key(br#" {"id": 8} "#).unwrap();
    one.decode_key(br#""9""#).unwrap();
    assert!(one.decode_key(b"7 8").is_err());
    assert_eq!(one.finish().unwrap()[0].as_primitive::<Int64Type>().values().to_vec(), [7, 8, 9]);
    let mut two = decoder(&[("id", SqlType::Int8), ("of", SqlType::Text)]);
    two.decode_key(br#"{"of":"x","id":1}"#).unwrap();
    assert!(two.decode_key(b"1").is_err());
}

#[test]
fn arrays_are_written_as_postgresql_writes_them() {
    let mut literal = String::new();
    write_array(r#"[1, null, "a \"b\" \\ {}", [true, {"x": "y"}]]"#, 1, &mut literal).unwrap();
    assert_eq!(literal, r#"{"1",NULL,"a \"b\" \\ {}",{"true","{\"x\": \"y\"}"}}"#);
    let deep = format!("{}{}", "[".repeat(7), "]".repeat(7));
    assert!(write_array(&deep, 1, &mut literal).is_err());
}

proptest! {
    #[test]
    fn what_was_written_is_read(rows in proptest::collection::vec(
        (any::<Option<i64>>(), any::<Option<String>>(), proptest::num::f64::NORMAL, any::<bool>(), 0..4_000_000_000_000_000_i64),
        0..40,
    )) {
        let rows: Vec<_> = rows.into_iter().map(|(a, b, c, d, e)| (a, b.map(|b| b.replace('\0', "")), c, d, e)).collect();
        let mut decoder = decoder(&[
            ("a", SqlType::Int8),
            ("b", SqlType::Text),
            ("c", SqlType::Float8),
            ("d", SqlType::Bool),
            ("e", SqlType::Timestamp),
        ]);
        for (a, b, c, d, e) in &rows {
            let at = chrono::DateTime::from_timestamp_micros(*e).unwrap().format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
            let record = serde_json::json!({ "b": b, "a": a, "e": at, "x": [b, c], "d": d, "c": c });
            decoder.decode(record.to_string().as_bytes()).unwrap();
            prop_assert!(decoder.decode(&record.to_string().as_bytes()[..5]).is_err());
        }
        let columns = decoder.finish().unwrap();
        for (row, (a, b, c, d, e)) in rows.iter().enumerate() {
            let integer = columns[0].as_primitive::<Int64Type>();
            prop_assert_eq!(integer.is_valid(row).then(|| integer.value(row)), *a);
            let text = columns[1].as_string::<i32>();
            prop_assert_eq!(text.is_valid(row).then(|| text.value(row)), b.as_deref());
            prop_assert_eq!(columns[2].as_primitive::<Float64Type>().value(row), *c);
            prop_assert_eq!(columns[3].as_boolean().value(row), *d);
            prop_assert_eq!(columns[4].as_primitive::<TimestampMicrosecondType>().value(row), *e);
        }
    }
}
