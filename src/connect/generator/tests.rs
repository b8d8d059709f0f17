//! How generators are declared, paced and ended.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::*;

fn open(kind: &str, options: &[(&str, &str)]) -> Result<Arc<dyn Source>> {
    let options = options.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    crate::connect::open(&SourceDeclaration { kind: kind.into(), options, ..SourceDeclaration::default() })
}

fn follow(source: &dyn Source, from: u64, room: usize) -> (Box<dyn Follower>, Receiver<Result<SourceBatch>>) {
    let (sender, batches) = sync_channel(room);
    (source.follow(position(from), sender, Arc::new(|| {})).unwrap(), batches)
}

#[test]
fn options_are_checked() {
    for (kind, options) in [
        ("counter", ("tick_interval", "soon")),
        ("counter", ("rate", "1")),
        ("nexmark", ("events", "-1")),
        ("nexmark", ("events", "2000000000000")),
        ("nexmark", ("events_per_event_second", "0")),
    ] {
        assert!(open(kind, &[options]).is_err(), "{options:?}");
    }
    let declared =
        SourceDeclaration { kind: "nexmark".into(), format: Some("json".into()), ..SourceDeclaration::default() };
    let error = crate::connect::open(&declared).unwrap_err();
    assert_eq!(error.message(), "a load generator can't have a FORMAT");
    assert_eq!(open("sequence", &[]).unwrap_err().state(), SqlState::FEATURE_NOT_SUPPORTED);
}

#[test]
fn a_counter_ticks_up_to_its_end_and_is_then_quiet() {
    let source = open("counter", &[("tick_interval", "2ms"), ("events", "5")]).unwrap();
    let began = Instant::now();
    let (follower, batches) = follow(&*source, 2, 1);
    let mut numbers = vec![];
    while numbers.len() < 3 {
        let batch = batches.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        numbers.extend(batch.rows[0].1.column(0).as_primitive::<Int64Type>().values().to_vec());
        assert_eq!(batch.positions, position(2 + numbers.len() as u64));
    }
    assert_eq!(numbers, [3, 4, 5]);
    assert!(began.elapsed() >= Duration::from_millis(6));
    assert_eq!(batches.recv_timeout(Duration::from_millis(20)).unwrap_err(), RecvTimeoutError::Timeout);
    assert_eq!(follower.lag(), Some(0));
    drop(follower);
    assert_eq!(batches.recv_timeout(Duration::from_secs(10)).unwrap_err(), RecvTimeoutError::Disconnected);
}

#[test]
fn what_is_followed_is_what_is_read() {
    let source = open("nexmark", &[("events", "25000"), ("rate", "0")]).unwrap();
    assert_eq!(source.start().unwrap(), position(0));
    let (_follower, batches) = follow(&*source, 100, 1);
    let mut followed: Vec<Vec<RecordBatch>> = vec![vec![]; 3];
    let mut until = 0;
    while until < 25_000 {
        let batch = batches.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        until = event_number(&batch.positions).unwrap();
        batch.rows.into_iter().for_each(|(relation, rows)| followed[relation].push(rows));
    }
    for (relation, followed) in followed.iter().enumerate() {
        let read: Result<Vec<RecordBatch>> = source
            .read(relation, &position(100), &position(25_000))
            .unwrap()
            .map(|read| read.map(|read| read.rows))
            .collect();
        let schema = source.relations()[relation].batch_schema();
        let whole = |batches: &[RecordBatch]| arrow::compute::concat_batches(&schema, batches).unwrap();
        assert_eq!(whole(&read.unwrap()), whole(followed));
    }
}

#[test]
fn a_rate_is_kept() {
    let source = open("nexmark", &[("rate", "100000")]).unwrap();
    let (_follower, batches) = follow(&*source, 0, 1_000);
    std::thread::sleep(Duration::from_millis(300));
    let mut until = 0;
    loop {
        match batches.try_recv() {
            Ok(batch) => until = event_number(&batch.unwrap().positions).unwrap(),
            Err(TryRecvError::Empty) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // Not ahead of the rate, whatever the machine is busy with.
    assert!((1..=200_000).contains(&until), "{until} events");
}

#[test]
fn a_follower_that_waits_for_room_stops_when_it_is_dropped() {
    let source = open("nexmark", &[]).unwrap();
    let (follower, batches) = follow(&*source, 0, 1);
    std::thread::sleep(Duration::from_millis(20));
    drop(follower);
    let delivered = std::iter::from_fn(|| batches.recv_timeout(Duration::from_secs(10)).ok()).count();
    assert!(delivered <= 2, "{delivered} batches");
}
