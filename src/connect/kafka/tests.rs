//! What CREATE SOURCE .. FROM KAFKA may say, and what records become without a broker.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};

use super::record::Record;
use super::*;
use crate::connect::declaration::Include;

fn declaration() -> SourceDeclaration {
    let text = |name: &str, value: &str| (name.to_string(), value.to_string());
    SourceDeclaration {
        kind: "kafka".into(),
        connection: BTreeMap::from([text("broker", "127.0.0.1:9092")]),
        options: BTreeMap::from([text("topic", "t")]),
        relation: Relation::new(vec![
            Column::new("id", SqlType::Int8, true),
            Column::new("name", SqlType::Text, false),
        ]),
        format: Some("json".into()),
        ..SourceDeclaration::default()
    }
}

fn upsert() -> SourceDeclaration {
    let mut declaration = declaration();
    declaration.relation.key = Some(vec![0]);
    declaration.envelope = Some("upsert".into());
    declaration.key_format = Some("json".into());
    declaration
}

#[test]
fn what_is_missing_or_unknown_is_refused() {
    let refused = |state: &str, message: &str, edit: fn(&mut SourceDeclaration)| {
        let mut declaration = upsert();
        edit(&mut declaration);
        let error = open(&declaration).expect_err(message);
        assert_eq!((error.state().code(), error.message()), (state, message));
    };
    open(&upsert()).unwrap();
    refused("22023", "a KAFKA source needs the option TOPIC", |d| d.options.clear());
    refused("22023", "a KAFKA connection needs the option BROKER", |d| d.connection.clear());
    refused("42601", "a KAFKA source has no option GROUP", |d| drop(d.options.insert("group".into(), "g".into())));
    refused("42601", "a KAFKA connection has no option USER", |d| drop(d.connection.insert("user".into(), "u".into())));
    refused("22023", "invalid value for the option START: \"middle\"", |d| {
        d.options.insert("start".into(), "middle".into());
    });
    refused("22023", "invalid value for the option OFFSETS: \"0 => -1\"", |d| d.offsets = BTreeMap::from([(0, -1)]));
    refused("42601", "a KAFKA source needs a list of columns", |d| d.relation.columns.clear());
    refused("42601", "a KAFKA source needs a FORMAT", |d| d.format = None);
    refused("0A000", "format AVRO is not supported", |d| d.format = Some("avro".into()));
    refused("0A000", "format TEXT is not supported", |d| d.key_format = Some("text".into()));
    refused("0A000", "envelope DEBEZIUM is not supported", |d| d.envelope = Some("debezium".into()));
    refused("42P16", "ENVELOPE UPSERT needs a PRIMARY KEY", |d| d.relation.key = None);
    refused("42601", "ENVELOPE UPSERT needs a KEY FORMAT", |d| d.key_format = None);
    refused("0A000", "KEY FORMAT is supported with ENVELOPE UPSERT only", |d| d.envelope = None);
    refused("42601", "a source has no setting \"on_eror\"", |d| drop(d.with.insert("on_eror".into(), "skip".into())));
    refused("22023", "invalid value for on_error: \"ignore\"", |d| {
        d.with.insert("on_error".into(), "ignore".into());
    });
    refused("42701", "column \"name\" specified more than once", |d| {
        d.include.push(Include { what: Included::Key, name: Some("name".into()) });
    });
}

#[test]
fn batches_of_upserts_have_two_more_columns_and_nulls_in_tombstones() {
    let mut declaration = upsert();
    for what in [Included::Partition, Included::Key] {
        declaration.include.push(Include { what, name: None });
    }
    let source = open(&declaration).unwrap();
    let relation = &source.relations()[0];
    let nullable: Vec<bool> = relation.relation.columns.iter().map(|column| column.nullable).collect();
    assert_eq!(nullable, [false, false, false, true]);
    let names: Vec<String> = relation.batch_schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["id", "name", "partition", "key", "tombstone", "sequence"]);

    let mut decoder = layout(&declaration).unwrap().decoder().unwrap();
    let record = |offset, key: &'static str, value: Option<&'static str>| Record {
        partition: 3,
        offset,
        timestamp_millis: None,
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
    };
    decoder.push(&record(10, "1", Some(r#"{"name":"a"}"#))).unwrap();
    assert!(decoder.push(&record(11, "2", Some("{}"))).is_err());
    assert!(decoder.push(&record(12, "{}", None)).is_err());
    decoder.push(&record(13, "1", None)).unwrap();
    let rows = decoder.finish().unwrap();
    assert_eq!(rows.schema(), relation.batch_schema());
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values().to_vec(), [1, 1]);
    assert_eq!((rows.column(1).as_string::<i32>().value(0), rows.column(1).is_null(1)), ("a", true));
    assert_eq!((rows.column(2).as_primitive::<Int32Type>().value(0), rows.column(2).is_null(1)), (3, true));
    assert_eq!(rows.column(4).as_boolean().iter().collect::<Vec<_>>(), [Some(false), Some(true)]);
    assert_eq!(rows.column(5).as_primitive::<Int64Type>().values().to_vec(), [10, 13]);
    assert_eq!(decoder.finish().unwrap().num_rows(), 0);
}
