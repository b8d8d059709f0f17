//! Arrangements that were written to a file and begin again from it: with another number of workers, over and over, and
//! always equal to those that never stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{BatchFile, BatchFileWriter, Files, Store, keep_within};
use crate::dataflow::chunk::ArrowChunk;
use crate::dataflow::page::Page;
use crate::dataflow::plan::{Aggregate, AggregateFunction, JoinKind, Plan, SortKey};
use crate::dataflow::runtime::{Captured, Command, InputKind, Options, Runtime, Start};
use crate::dataflow::saved::{Saved, SavedArrangement, SavedAt};
use crate::dataflow::test_data::{Multiset, Random, random_changes, row_of, schema};
use crate::types::{Delta, ObjectId, Time};

const LEFT: ObjectId = ObjectId(1);
const RIGHT: ObjectId = ObjectId(2);
const INDEX: ObjectId = ObjectId(3);
const FIRST_VIEW: u64 = 10;

fn get(object: ObjectId) -> Box<Plan> {
    Box::new(Plan::Get { object, schema: schema() })
}

fn named(types: &[DataType]) -> SchemaRef {
    let fields =
        types.iter().enumerate().map(|(number, data_type)| Field::new(format!("c{number}"), data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn join(kind: JoinKind) -> Plan {
    let types: Vec<DataType> = schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let both = [types.clone(), types.clone()].concat();
    let semi = matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti);
    let schema = if semi { schema() } else { named(&both) };
    Plan::Join {
        left: get(LEFT),
        right: get(RIGHT),
        kind,
        keys: vec![(0, 0)],
        nulls_equal: false,
        filter: None,
        schema,
    }
}

fn aggregate(function: AggregateFunction, argument: Option<usize>, distinct: bool) -> Aggregate {
    let arguments = argument.into_iter().collect();
    let data_type = DataType::Int64;
    Aggregate { function, arguments, distinct, filter: None, order_by: vec![], data_type }
}

fn reduce(keys: Vec<usize>, aggregates: Vec<Aggregate>) -> Plan {
    let fields = schema();
    let mut types: Vec<DataType> = keys.iter().map(|&key| fields.field(key).data_type().clone()).collect();
    types.extend(aggregates.iter().map(|aggregate| aggregate.data_type.clone()));
    Plan::Reduce { input: get(LEFT), keys, aggregates, schema: named(&types) }
}

fn plans() -> Vec<Plan> {
    use AggregateFunction::{Count, Max, Min, Sum};
    let every = || vec![aggregate(Count, None, false), aggregate(Min, Some(2), false), aggregate(Max, Some(2), false)];
    let order = vec![SortKey { column: 2, descending: true, nulls_first: false }];
    let top = |keys: Vec<usize>| Plan::TopK {
        input: get(LEFT),
        keys,
        order: order.clone(),
        offset: 0,
        limit: Some(2),
        row_number: false,
        schema: schema(),
    };
    vec![
        join(JoinKind::Inner),
        join(JoinKind::Full),
        join(JoinKind::LeftSemi),
        join(JoinKind::LeftAnti),
        reduce(vec![0], every()),
        reduce(vec![], every()),
        reduce(vec![1], vec![aggregate(Count, Some(2), true), aggregate(Sum, Some(0), false)]),
        reduce(vec![0, 1], vec![]),
        top(vec![0]),
        top(vec![]),
        Plan::Union { inputs: vec![*get(LEFT), *get(RIGHT)], schema: schema() },
        // A view of a view.
        Plan::Get { object: ObjectId(FIRST_VIEW), schema: join(JoinKind::Inner).schema() },
    ]
}

/// A runtime with all of it, from what was saved if there is something.
fn begin(workers: usize, saved: &HashMap<ObjectId, Arc<Saved>>) -> Runtime {
    let runtime = Runtime::start(Options { workers, hash_seed: 5 }, Arc::new(|| {})).unwrap();
    let of = |id: ObjectId| saved.get(&id).cloned();
    for id in [LEFT, RIGHT] {
        let kind = InputKind::Table { key: vec![0] };
        let start = Start { saved: of(id), history_to: None };
        runtime.execute(Command::CreateInput { id, kind, schema: schema(), from: 0, start });
    }
    runtime.execute(Command::CreateIndex { id: INDEX, on: RIGHT, key: vec![2], saved: of(INDEX) });
    for (number, plan) in plans().into_iter().enumerate() {
        let id = ObjectId(FIRST_VIEW + number as u64);
        runtime.execute(Command::CreateView { id, plan: Arc::new(plan), as_of: 0, key: vec![], saved: of(id) });
    }
    runtime
}

fn objects() -> impl Iterator<Item = ObjectId> {
    let views = (0..plans().len() as u64).map(|number| ObjectId(FIRST_VIEW + number));
    [LEFT, RIGHT, INDEX].into_iter().chain(views)
}

fn read(runtime: &Runtime, id: ObjectId, time: Time) -> Multiset {
    let started = Instant::now();
    while runtime.frontier(id).unwrap() <= time {
        assert!(started.elapsed() < Duration::from_secs(60), "{id} is not complete to {time}");
        std::thread::sleep(Duration::from_micros(200));
    }
    let mut multiset = Multiset::new();
    for batch in runtime.snapshots(id).unwrap().parts().flat_map(|part| part.scan(time)) {
        (0..batch.num_rows()).for_each(|row| *multiset.entry(row_of(&batch, row)).or_default() += 1);
    }
    multiset
}

/// Writes what was captured to a file, and reads it from there. What was written before is referred to.
fn through_a_file(files: &Files, captured: &[Captured], time: Time) -> HashMap<ObjectId, Arc<Saved>> {
    let mut writer = BatchFileWriter::create(files).unwrap();
    let mut places = HashMap::new();
    for Captured { object, arrangements, .. } in captured {
        let kept: &mut Vec<(String, Vec<_>)> = places.entry(*object).or_default();
        for (number, (name, runs)) in arrangements.iter().enumerate() {
            let chunks: Vec<ArrowChunk> = runs.iter().flatten().map(Page::chunk).collect();
            let mut written = writer.add(&chunks).unwrap().into_iter();
            let runs = runs.iter().map(|run| written.by_ref().take(run.len()).collect::<Vec<_>>());
            match kept.get_mut(number) {
                Some((_, others)) => others.extend(runs),
                None => kept.push((name.clone(), runs.collect())),
            }
        }
    }
    let saved = writer.finish().unwrap().expect("something was written");
    let file = BatchFile::open(files, &saved).unwrap();
    let chunks: Vec<_> = (0..saved.segments().len()).map(|segment| file.chunks(segment).unwrap()).collect();
    let saved = places.into_iter().map(|(object, arrangements)| {
        let arrangements = arrangements.into_iter().map(|(name, runs)| {
            let chunk = |at: &SavedAt| chunks[at.place.segment as usize][at.place.chunk as usize].clone();
            let runs = runs.iter().map(|run| run.iter().map(chunk).collect());
            SavedArrangement { name, runs: runs.collect() }
        });
        (object, Arc::new(Saved { time, since: time, arrangements: arrangements.collect() }))
    });
    saved.collect()
}

#[test]
fn arrangements_go_on_from_a_file_as_if_they_had_never_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(directory.path()).unwrap();
    let (mut random, mut present) = (Random(3), [vec![], vec![]]);
    let whole = begin(2, &HashMap::new());
    let mut runtime = begin(1, &HashMap::new());
    let mut time = 100;
    for workers in [2, 3, 1, 3, 2] {
        let mut feed = |runtime: &Runtime, time: Time| {
            let deltas: Vec<Delta> =
                present.iter_mut().map(|present| random_changes(&mut random, present, 25, 8, time)).collect();
            for to in [runtime, &whole] {
                [LEFT, RIGHT].into_iter().zip(&deltas).for_each(|(id, delta)| to.feed(id, delta.clone()));
                to.execute(Command::Advance { to: time + 1 });
            }
            deltas
        };
        for _ in 0..6 {
            time += 1;
            feed(&runtime, time);
            runtime.execute(Command::Compact { to: time - 2 });
        }
        // Nothing happens at the time of the checkpoint, and what happens after it must not be in there.
        runtime.execute(Command::Pin);
        time += 1;
        let checkpoint = time;
        runtime.execute(Command::Advance { to: time + 1 });
        let after: Vec<_> = (0..3)
            .map(|_| {
                time += 1;
                (time, feed(&runtime, time))
            })
            .collect();
        objects().for_each(|id| drop(read(&runtime, id, time)));
        let saved = through_a_file(&files, &runtime.capture(), checkpoint);
        runtime = begin(workers, &saved);
        runtime.execute(Command::Advance { to: checkpoint + 1 });
        for id in objects() {
            assert_eq!(read(&runtime, id, checkpoint), read(&whole, id, checkpoint), "{id} at {checkpoint}, {workers}");
        }
        for (time, deltas) in after {
            [LEFT, RIGHT].into_iter().zip(deltas).for_each(|(id, delta)| runtime.feed(id, delta));
            runtime.execute(Command::Advance { to: time + 1 });
        }
        for id in objects() {
            assert_eq!(read(&runtime, id, time), read(&whole, id, time), "{id} at {time}, {workers} workers");
        }
    }
}

/// With no memory at all, everything that is kept lies in files, and each read opens them.
#[test]
fn pages_that_leave_memory_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), 0).unwrap();
    for workers in [1, 2] {
        let (mut random, mut present) = (Random(workers as u64), [vec![], vec![]]);
        let (whole, paged) = (begin(1, &HashMap::new()), begin(workers, &HashMap::new()));
        let mut written = 0;
        for time in 101..160 {
            let deltas = present.each_mut().map(|present| random_changes(&mut random, present, 40, 8, time));
            for runtime in [&whole, &paged] {
                [LEFT, RIGHT].into_iter().zip(&deltas).for_each(|(id, delta)| runtime.feed(id, delta.clone()));
                runtime.execute(Command::Advance { to: time + 1 });
                runtime.execute(Command::Compact { to: time - 3 });
            }
            written += keep_within(&store, paged.memory(), 0).unwrap().bytes_written;
            if time % 7 == 0 {
                objects().for_each(|id| assert_eq!(read(&paged, id, time), read(&whole, id, time), "{id} at {time}"));
                // Twice: what was in use the first time is not the second.
                for _ in 0..2 {
                    written += keep_within(&store, paged.memory(), 0).unwrap().bytes_written;
                }
                store.files().remove_unused(|_| false).unwrap();
                let captured = paged.capture();
                let pages = || captured.iter().flat_map(|of| &of.arrangements).flat_map(|(_, runs)| runs.concat());
                assert!(pages().filter(|page| page.chunk().is_mapped()).count() * 2 > pages().count());
                objects().for_each(|id| assert_eq!(read(&paged, id, time), read(&whole, id, time), "{id} at {time}"));
            }
        }
        assert!(written > 0);
        let memory = paged.memory().clone();
        drop(paged);
        assert_eq!(memory.used(), 0, "what counted is gone with what it counted for");
    }
}

#[test]
fn a_flipped_byte_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(directory.path()).unwrap();
    let runtime = begin(1, &HashMap::new());
    runtime.feed(LEFT, random_changes(&mut Random(1), &mut vec![], 100, 50, 101));
    runtime.execute(Command::Advance { to: 102 });
    drop(read(&runtime, LEFT, 101));
    let captured = runtime.capture();
    let chunks: Vec<ArrowChunk> = captured
        .iter()
        .filter(|of| of.object == LEFT)
        .flat_map(|of| of.arrangements[0].1.concat())
        .map(|page| page.chunk())
        .collect();
    let mut writer = BatchFileWriter::create(&files).unwrap();
    writer.add(&chunks).unwrap();
    let saved = writer.finish().unwrap().unwrap();
    let verified = || BatchFile::open(&files, &saved).and_then(|file| file.verify(0));
    verified().unwrap();
    let path = files.path(saved.id);
    let whole = std::fs::read(&path).unwrap();
    for place in (0..saved.segments()[0].bytes as usize).step_by(97) {
        let mut bytes = whole.clone();
        bytes[place] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        assert!(verified().is_err(), "byte {place}");
    }
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(verified().is_err());
}
