//! Kafka sources against a real broker: MILLRACE_KAFKA says where one is, otherwise scripts/kafka starts one.

#[allow(dead_code, reason = "chaos uses the rest of it")]
#[path = "kafka/broker.rs"]
mod broker;
#[path = "kafka/live.rs"]
mod live;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use live::{Live, rows_between};
use millrace::connect::{self, Include, Included, Positions, Source, SourceDeclaration};
use millrace::types::{Column, Relation, SqlType};

/// A source of JSON records with the columns `id bigint NOT NULL, name text`.
fn declaration(broker: &Broker, topic: &str) -> SourceDeclaration {
    let columns = vec![Column::new("id", SqlType::Int8, false), Column::new("name", SqlType::Text, true)];
    SourceDeclaration {
        kind: "kafka".into(),
        connection: BTreeMap::from([("broker".into(), broker.address.clone())]),
        options: BTreeMap::from([("topic".into(), topic.into())]),
        relation: Relation::new(columns),
        format: Some("json".into()),
        ..SourceDeclaration::default()
    }
}

fn upsert(broker: &Broker, topic: &str) -> SourceDeclaration {
    let mut declaration = declaration(broker, topic);
    declaration.relation.key = Some(vec![0]);
    declaration.envelope = Some("upsert".into());
    declaration.key_format = Some("json".into());
    declaration
}

fn open(declaration: &SourceDeclaration) -> Arc<dyn Source> {
    connect::open(declaration).expect("the declaration is right")
}

fn record(id: usize) -> String {
    format!(r#"{{"id":{id},"name":"n{id}"}}"#)
}

fn positions(of: &[(i32, i64)]) -> Positions {
    Positions(of.iter().copied().collect())
}

#[test]
fn reading_begins_where_it_was_declared() {
    let broker = Broker::shared();
    let topic = broker.topic("start", 2, &[]);
    for id in 0..10 {
        broker.send(&topic, (id % 2) as i32, None, Some(&record(id)));
    }
    let mut declared = declaration(broker, &topic);
    let start = |declared: &SourceDeclaration| open(declared).start();
    assert_eq!(start(&declared).unwrap(), positions(&[(0, 0), (1, 0)]));
    declared.offsets = BTreeMap::from([(1, 3)]);
    assert_eq!(start(&declared).unwrap(), positions(&[(0, 0), (1, 3)]));
    declared.options.insert("start".into(), "latest".into());
    assert_eq!(start(&declared).unwrap(), positions(&[(0, 5), (1, 3)]));
    declared.offsets = BTreeMap::from([(1, 6)]);
    assert_eq!(start(&declared).unwrap_err().state().code(), "55000");
    declared.offsets = BTreeMap::from([(7, 0)]);
    assert_eq!(start(&declared).unwrap_err().message(), format!("topic \"{topic}\" has no partition 7"));
}

#[test]
fn a_missing_topic_is_named_with_similar_ones() {
    let broker = Broker::shared();
    let topic = broker.topic("clicks", 1, &[]);
    let wrong = topic.replace("clicks", "clikcs");
    let error = open(&declaration(broker, &wrong)).start().unwrap_err();
    assert_eq!(error.state().code(), "42704");
    assert_eq!(error.message(), format!("topic \"{wrong}\" does not exist"));
    assert!(error.hint().unwrap().contains(&topic), "{:?}", error.hint());
}

#[test]
fn an_unreachable_broker_is_an_error_with_its_address() {
    let mut declared = declaration(Broker::shared(), "t");
    declared.connection.insert("broker".into(), "127.0.0.1:1".into());
    let error = open(&declared).start().unwrap_err();
    assert_eq!(error.state().code(), "08006");
    assert_eq!(error.message(), "can't reach Kafka at 127.0.0.1:1");
}

#[test]
fn records_become_rows_with_what_include_asks_for() {
    let broker = Broker::shared();
    let topic = broker.topic("append", 1, &[]);
    broker.send(&topic, 0, Some("k0"), Some(&record(0)));
    broker.send(&topic, 0, None, Some(r#"{"id":1}"#));
    let mut declared = declaration(broker, &topic);
    let include = |what, name: Option<&str>| Include { what, name: name.map(str::to_string) };
    declared.include = vec![
        include(Included::Key, None),
        include(Included::Partition, Some("part")),
        include(Included::Offset, None),
        include(Included::Timestamp, Some("written_at")),
    ];
    let source = open(&declared);
    let names: Vec<&str> = source.relations()[0].relation.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "key", "part", "offset", "written_at"]);
    let mut live = Live::from_start(&source);
    live.wait("two rows", |live| live.rows.len() == 2);
    let without_time: Vec<&str> = live.rows.iter().map(|row| row.rsplit_once('|').unwrap().0).collect();
    assert_eq!(without_time, ["0|n0|k0|0|0", "1|NULL|NULL|0|1"]);
    let (_, written_at) = live.rows[0].rsplit_once('|').unwrap();
    let age = chrono_micros(written_at).abs_diff(millrace_micros());
    assert!(age < 600_000_000, "{written_at} is {age} microseconds from now");
}

fn chrono_micros(text: &str) -> u64 {
    chrono::DateTime::parse_from_rfc3339(text).expect("a timestamp").timestamp_micros() as u64
}

fn millrace_micros() -> u64 {
    millrace::types::Clock::starting_after(0).mint()
}

#[test]
fn a_bad_record_is_set_aside_or_stops_the_source() {
    let broker = Broker::shared();
    let topic = broker.topic("bad", 1, &[]);
    let values = [&record(0), "{\"id\":", "{\"id\":1.5}", "{\"name\":\"no id\"}", &record(4)];
    for value in values {
        broker.send(&topic, 0, Some("key"), Some(value));
    }
    broker.send(&topic, 0, None, None);
    broker.send(&topic, 0, None, Some(&record(6)));
    let mut declared = declaration(broker, &topic);
    let source = open(&declared);
    let mut live = Live::from_start(&source);
    live.wait("three rows and four errors", |live| live.rows.len() == 3 && live.errors.len() == 4);
    assert_eq!(live.rows, ["0|n0", "4|n4", "6|n6"]);
    assert_eq!(live.errors.iter().map(|error| error.offset).collect::<Vec<_>>(), [1, 2, 3, 5]);
    assert_eq!(live.errors[0].key.as_deref(), Some(&b"key"[..]));
    assert_eq!(live.errors[0].value.as_deref(), Some(&b"{\"id\":"[..]));
    assert!(live.errors[1].message.contains("1.5"), "{}", live.errors[1].message);
    assert_eq!(live.errors[3].message, "the record has no value");
    assert_eq!(live.positions, positions(&[(0, 7)]));
    assert_eq!(rows_between(&source, &positions(&[]), &positions(&[(0, 7)])).unwrap(), ["0|n0", "4|n4", "6|n6"]);

    declared.with = BTreeMap::from([("on_error".into(), "stop".into())]);
    let source = open(&declared);
    let mut live = Live::from_start(&source);
    live.wait("the end", |live| live.failure.is_some());
    assert_eq!((live.rows.clone(), live.positions.clone()), (vec!["0|n0".to_string()], positions(&[(0, 1)])));
    let failure = live.failure.unwrap();
    assert_eq!((failure.state().code(), failure.detail()), ("22P02", Some("Partition 0, offset 1.")));
    assert!(rows_between(&source, &positions(&[]), &positions(&[(0, 7)])).is_err());
}

#[test]
fn upserts_are_told_by_key_and_tombstone() {
    let broker = Broker::shared();
    let topic = broker.topic("upsert", 1, &[]);
    broker.send(&topic, 0, Some("1"), Some(r#"{"id":99,"name":"a"}"#));
    broker.send(&topic, 0, Some(r#"{"id":2}"#), Some(r#"{"name":"b"}"#));
    broker.send(&topic, 0, Some("1"), None);
    broker.send(&topic, 0, None, Some(r#"{"name":"nobody"}"#));
    broker.send(&topic, 0, Some("\"x\""), Some(r#"{"name":"no number"}"#));
    broker.send(&topic, 0, Some("2"), Some(r#"{"name":"c"}"#));
    let source = open(&upsert(broker, &topic));
    assert_eq!(source.relations()[0].relation.key, Some(vec![0]));
    let mut live = Live::from_start(&source);
    live.wait("four rows and two errors", |live| live.rows.len() == 4 && live.errors.len() == 2);
    assert_eq!(live.rows, ["1|a|false|0", "2|b|false|1", "1|NULL|true|2", "2|c|false|5"]);
    assert_eq!(live.errors[0].message, "the record has no key");
    assert_eq!(rows_between(&source, &positions(&[(0, 1)]), &positions(&[(0, 3)])).unwrap(), live.rows[1..3]);
}

#[test]
fn new_partitions_are_read_from_their_beginning() {
    let broker = Broker::shared();
    let topic = broker.topic("grow", 1, &[]);
    broker.send(&topic, 0, None, Some(&record(0)));
    let mut declared = declaration(broker, &topic);
    declared.options.insert("start".into(), "latest".into());
    let source = open(&declared);
    let mut live = Live::from_start(&source);
    broker.grow(&topic, 3);
    for partition in 0..3 {
        broker.send(&topic, partition, None, Some(&record(partition as usize + 1)));
    }
    live.wait("a row of each partition", |live| live.rows.len() == 3);
    live.rows.sort();
    assert_eq!(live.rows, ["1|n1", "2|n2", "3|n3"]);
    assert_eq!(live.positions, positions(&[(0, 2), (1, 1), (2, 1)]));
    assert_eq!(rows_between(&source, &positions(&[(0, 1)]), &live.positions).unwrap().len(), 3);
}

#[test]
fn only_committed_transactions_are_seen() {
    let broker = Broker::shared();
    let topic = broker.topic("transactions", 1, &[]);
    broker.transaction(&topic, &[&record(0), &record(1)], true);
    broker.transaction(&topic, &[&record(2), &record(3)], false);
    broker.transaction(&topic, &[&record(4)], true);
    let source = open(&declaration(broker, &topic));
    let mut live = Live::from_start(&source);
    live.wait("three rows", |live| live.rows.len() == 3);
    assert_eq!(live.rows, ["0|n0", "1|n1", "4|n4"]);
    // Two records and a marker, the same again, one record and its marker, which is no row but is at the end.
    live.wait("the last marker", |live| live.positions == positions(&[(0, 8)]));
    for (to, expected) in [(1, 1), (2, 2), (3, 2), (5, 2), (6, 2), (7, 3), (8, 3)] {
        let rows = rows_between(&source, &positions(&[(0, 0)]), &positions(&[(0, to)])).unwrap();
        assert_eq!(rows.len(), expected, "up to {to}");
    }
    live.wait("no lag", |live| live.follower.lag() == Some(0));
}

#[test]
fn compaction_leaves_gaps_that_are_no_loss() {
    let broker = Broker::shared();
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("max.compaction.lag.ms", "100"),
    ];
    let topic = broker.topic("compacted", 1, &settings);
    let source = open(&upsert(broker, &topic));
    let all = 600;
    for round in 0..all / 3 {
        for key in 0..3 {
            broker.send(&topic, 0, Some(&key.to_string()), Some(&format!(r#"{{"name":"r{round}"}}"#)));
        }
    }
    // Another record closes the segment; the cleaner comes by every few seconds.
    let compacted = || {
        std::thread::sleep(Duration::from_secs(1));
        broker.send(&topic, 0, Some("3"), Some(r#"{"name":"last"}"#));
        let end = open(&latest(broker, &topic)).start().unwrap();
        (rows_between(&source, &positions(&[(0, 0)]), &end).unwrap(), end)
    };
    let gone = |rows: &Vec<String>, end: &Positions| (rows.len() as i64) < end.0[&0] - 300;
    let (rows, end) = (0..90).map(|_| compacted()).find(|(rows, end)| gone(rows, end)).expect("the topic is compacted");
    let newest: BTreeMap<&str, &str> = rows.iter().map(|row| row.split_once('|').unwrap()).collect();
    for key in ["0", "1", "2"] {
        let row = newest[key];
        assert!(row.starts_with(&format!("r{}|false|", all / 3 - 1)), "{key}: {row}");
    }
    let mut live = Live::from(&source, positions(&[(0, 0)]));
    live.wait("the end", |live| live.positions.0.get(&0) >= end.0.get(&0));
}

fn latest(broker: &Broker, topic: &str) -> SourceDeclaration {
    let mut declared = declaration(broker, topic);
    declared.options.insert("start".into(), "latest".into());
    declared
}

#[test]
fn what_retention_removed_is_an_error() {
    let broker = Broker::shared();
    let topic = broker.topic("retention", 1, &[]);
    for id in 0..10 {
        broker.send(&topic, 0, None, Some(&record(id)));
    }
    broker.delete_records(&topic, 0, 6);
    let source = open(&declaration(broker, &topic));
    assert_eq!(source.start().unwrap(), positions(&[(0, 6)]));
    let lost = rows_between(&source, &positions(&[(0, 5)]), &positions(&[(0, 8)])).unwrap_err();
    assert_eq!(lost.message(), format!("topic \"{topic}\" has no offset 5 in partition 0"));
    assert_eq!(lost.detail(), Some("The broker has the offsets 6 to 10 there."));
    let mut live = Live::from(&source, positions(&[(0, 5)]));
    live.wait("the error", |live| live.failure.is_some());
    assert_eq!(live.failure.unwrap().message(), lost.message());
    assert!(live.rows.is_empty());
    assert_eq!(rows_between(&source, &positions(&[(0, 6)]), &positions(&[(0, 8)])).unwrap(), ["6|n6", "7|n7"]);
}

#[test]
fn a_topic_that_is_removed_ends_its_source() {
    let broker = Broker::shared();
    let topic = broker.topic("removed", 1, &[]);
    broker.send(&topic, 0, None, Some(&record(0)));
    let mut live = Live::from_start(&open(&declaration(broker, &topic)));
    live.wait("the row", |live| live.rows.len() == 1);
    broker.remove(&topic);
    live.wait("the error", |live| live.failure.is_some());
    assert_eq!(live.failure.unwrap().message(), format!("topic \"{topic}\" does not exist"));
}

#[test]
fn a_huge_record_is_set_aside() {
    let broker = Broker::shared();
    let topic = broker.topic("huge", 1, &[("max.message.bytes", "60000000"), ("segment.bytes", "60000000")]);
    broker.send(&topic, 0, None, Some(&record(0)));
    let name = "x".repeat(40 << 20);
    broker.send(&topic, 0, None, Some(&format!(r#"{{"id":1,"name":"{name}"}}"#)));
    broker.send(&topic, 0, None, Some(&format!(r#"{{"id":2,"name":"{}"}}"#, &name[..20 << 20])));
    let mut live = Live::from_start(&open(&declaration(broker, &topic)));
    live.wait("two rows", |live| live.rows.len() == 2);
    assert_eq!((live.rows[0].as_str(), live.rows[1].len()), ("0|n0", 2 + (20 << 20)));
    assert!(live.errors[0].message.ends_with("more than the limit of 33554432"), "{}", live.errors[0].message);
    assert!(live.errors[0].value.as_ref().unwrap().len() < 1 << 20);
}

#[test]
fn a_broker_that_goes_away_is_waited_for() {
    let broker = Broker::own();
    let topic = broker.topic("restart", 2, &[]);
    broker.send(&topic, 0, None, Some(&record(0)));
    let mut live = Live::from_start(&open(&declaration(&broker, &topic)));
    live.wait("the first row", |live| live.rows.len() == 1);
    assert_eq!(live.follower.trouble(), None);
    broker.kill();
    live.wait("trouble", |live| live.follower.trouble().is_some());
    broker.start();
    broker.send(&topic, 0, None, Some(&record(1)));
    broker.send(&topic, 1, None, Some(&record(2)));
    live.wait("the rows after the restart", |live| live.rows.len() == 3);
    live.wait("no trouble", |live| live.follower.trouble().is_none());
    assert!(live.failure.is_none());
}

#[test]
fn a_reader_that_is_held_back_keeps_little_in_memory() {
    let broker = Broker::shared();
    let topic = broker.topic("lag", 1, &[]);
    let (count, filling) = (60_000, "y".repeat(4_000));
    broker.send_many(&topic, (0..count).map(|id| format!(r#"{{"id":{id},"name":"{filling}"}}"#)));
    let source = open(&declaration(broker, &topic));
    let before = resident_bytes();
    let mut live = Live::from_start(&source);
    std::thread::sleep(Duration::from_secs(5));
    assert!(live.follower.lag() >= Some(count as u64 - 20_000), "{:?}", live.follower.lag());
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 150 << 20, "{} MiB more while held back", grown >> 20);
    live.forget_rows = true;
    live.wait("all rows", |live| live.taken == count);
    assert_eq!(live.positions, positions(&[(0, count as i64)]));
    live.wait("no lag", |live| live.follower.lag() == Some(0));
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: usize = statm.split_whitespace().nth(1).expect("the second number").parse().expect("a number");
    pages * 4096
}
