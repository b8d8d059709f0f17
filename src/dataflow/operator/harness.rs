//! Runs an operator over random updates, with several workers, for the tests of this folder.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::{Input, InspectCore, Probe, probe};

use crate::dataflow::collection::Collection;
use crate::dataflow::context::Context;
use crate::dataflow::operator::stateless;
use crate::dataflow::test_data::{Multiset, Random, Row, multiset_at, random_changes};
use crate::types::{Delta, Stamps, Time};

/// Builds what is tested, on every worker.
pub type Build = Arc<dyn for<'s> Fn(Collection<'s>, &mut Context<'s>) -> Collection<'s> + Send + Sync>;

/// `k bigint, a text, b bigint, f double, d numeric(10,2), ok boolean`, all nullable.
pub fn schema() -> SchemaRef {
    let narrow = crate::dataflow::test_data::schema();
    let more = [
        Field::new("f", DataType::Float64, true),
        Field::new("d", DataType::Decimal128(10, 2), true),
        Field::new("ok", DataType::Boolean, true),
    ];
    Arc::new(Schema::new(narrow.fields().iter().map(|field| Field::clone(field)).chain(more).collect::<Vec<_>>()))
}

/// Adds columns that follow from the others: half of `b`, a quarter of it, and whether `a` is `x`.
pub fn widened(rows: &RecordBatch) -> RecordBatch {
    let b = rows.column(2).as_primitive::<Int64Type>();
    let a = rows.column(1).as_string::<i32>();
    let f: Float64Array = b.iter().map(|b| b.map(|b| b as f64 / 2.0)).collect();
    let d: Decimal128Array = b.iter().map(|b| b.map(|b| b as i128 * 25)).collect();
    let ok: BooleanArray = a.iter().map(|a| a.map(|a| a == "x")).collect();
    let more: [ArrayRef; 3] = [Arc::new(f), Arc::new(d.with_data_type(DataType::Decimal128(10, 2))), Arc::new(ok)];
    RecordBatch::try_new(schema(), rows.columns().iter().cloned().chain(more).collect()).expect("a test may fail here")
}

/// Rounds of deltas; those of one round have times between its number times [`ROUND`] and the next, and arrive in any order.
pub fn updates(random: &mut Random, rounds: u64, rows: usize, keys: u64) -> Vec<Vec<Delta>> {
    let mut present = vec![];
    let round = |round: u64| {
        let mut deltas = vec![];
        for time in round * ROUND..(round + 1) * ROUND {
            // Now and then everything goes.
            if random.below(6) == 0 {
                let leaving: Vec<RecordBatch> = std::mem::take(&mut present);
                deltas.extend(leaving.iter().map(|rows| Delta::delete(rows.clone(), time)));
            }
            let delta = random_changes(random, &mut present, rows, keys, time);
            // Rows that leave and come back at once.
            deltas.push(Delta { diffs: Stamps::Same(-1), ..delta.clone() });
            deltas.push(Delta { diffs: Stamps::Same(1), ..delta.clone() });
            deltas.push(delta);
        }
        for last in (1..deltas.len()).rev() {
            deltas.swap(last, random.below(last as u64 + 1) as usize);
        }
        deltas.into_iter().map(|delta| Delta { rows: widened(&delta.rows), ..delta }).collect()
    };
    (0..rounds).map(round).collect()
}

pub const ROUND: Time = 4;

/// Rows and errors that the operator gives. The workers keep up only every third round.
pub fn run(workers: usize, hash_seed: u64, rounds: &[Vec<Delta>], build: Build) -> (Vec<Delta>, Vec<Delta>) {
    let rounds = rounds.to_vec();
    let given: Arc<Mutex<(Vec<Delta>, Vec<Delta>)>> = Arc::default();
    let shared = given.clone();
    let panicked: Arc<AtomicBool> = Arc::default();
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let alarm = Alarm(panicked.clone());
        let moment = Some(Duration::from_millis(1));
        let probe = probe::Handle::new();
        let (rows_given, errors_given) = (shared.clone(), shared.clone());
        let (mut input, pace) = worker.dataflow::<Time, _, _>(|scope| {
            let (input, rows) = scope.new_input_with_builder::<CapacityContainerBuilder<Delta>>();
            let mut context = Context::new(scope, 0, hash_seed, Default::default());
            let collection = Collection { rows, errors: stateless::empty(scope), schema: schema() };
            let result = build(collection, &mut context);
            let rows = result.rows.inspect_container(move |event| {
                if let Ok((time, delta)) = event {
                    assert!((0..delta.len()).all(|row| delta.times.get(row) >= *time));
                    rows_given.lock().expect("a test may fail here").0.push(delta.clone());
                }
            });
            let errors = result.errors.inspect_container(move |event| {
                if let Ok((_, delta)) = event {
                    errors_given.lock().expect("a test may fail here").1.push(delta.clone());
                }
            });
            rows.probe_with(&probe);
            errors.probe_with(&probe);
            (input, context.finish())
        });
        for (round, deltas) in rounds.iter().enumerate() {
            for delta in deltas.iter().skip(index).step_by(peers) {
                input.send_batch(&mut delta.clone());
            }
            let next = (round as u64 + 1) * ROUND;
            input.advance_to(next);
            if round % 3 == 2 {
                worker.step_or_park_while(moment, || alarm.quiet() && probe.less_than(&next));
            }
        }
        drop((input, pace));
        worker.step_or_park_while(moment, || alarm.quiet() && !probe.done());
    });
    guards.expect("a test may fail here").join().into_iter().for_each(|worker| worker.expect("a test may fail here"));
    Arc::try_unwrap(given)
        .unwrap_or_else(|_| panic!("the workers are gone"))
        .into_inner()
        .expect("a test may fail here")
}

/// Tells the other workers that one has panicked: they would wait for it for ever.
struct Alarm(Arc<AtomicBool>);

impl Alarm {
    fn quiet(&self) -> bool {
        assert!(!self.0.load(Ordering::Relaxed), "another worker panicked");
        true
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Compares what an operator gives at every time with what `expected` makes of the input then.
pub fn check(name: &str, build: Build, expected: impl Fn(&[Row]) -> Vec<Row>) {
    for workers in 1..=3 {
        for (seed, keys) in [(7, 5), (8, 1), (9, 40)] {
            for hash_seed in [1, crate::dataflow::layout::colliding::SEED] {
                let rounds = updates(&mut Random(seed), 9, 12, keys);
                let (rows, _) = run(workers, hash_seed, &rounds, build.clone());
                let input: Vec<Delta> = rounds.into_iter().flatten().collect();
                for time in 0..9 * ROUND {
                    let wanted = multiset(expected(&bag(&multiset_at(&input, time))));
                    let given = multiset_at(&rows, time);
                    assert_eq!(given, wanted, "{name} at {time}, {workers} workers, seed {seed}, hashes {hash_seed}");
                }
            }
        }
    }
}

/// Every row as often as it is there.
pub fn bag(rows: &Multiset) -> Vec<Row> {
    rows.iter().flat_map(|(row, &copies)| std::iter::repeat_n(row.clone(), copies as usize)).collect()
}

pub fn multiset(rows: Vec<Row>) -> Multiset {
    let mut multiset = Multiset::new();
    rows.into_iter().for_each(|row| *multiset.entry(row).or_default() += 1);
    multiset
}
