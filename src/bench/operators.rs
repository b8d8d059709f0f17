//! Arrange, join and count against hand-written differential dataflow on typed tuples with `String`s, for the same rows
//! in the same rounds, in one process. The ratio of CPU times is the figure; below 1 is cheaper than typed tuples.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use differential_dataflow::input::{Input as _, InputSession};
use differential_dataflow::operators::CountTotal;
use differential_dataflow::trace::TraceReader;
use serde_json::json;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::{Input as _, Probe, probe};
use timely::progress::Antichain;
use timely::worker::Worker;

use super::harness::Stopwatch;
use super::report::Report;
use crate::dataflow::collection::Collection;
use crate::dataflow::context::{Context, Source};
use crate::dataflow::operator::stateless;
use crate::dataflow::plan::{Aggregate, AggregateFunction, JoinKind, Plan};
use crate::dataflow::render::render;
use crate::types::{Delta, Error, ObjectId, Result, Time};

/// Rows that share a timestamp, over all workers.
const ROWS_PER_TIME: usize = 100_000;
/// Rows per batch that is fed.
const ROWS_PER_BATCH: usize = 10_000;
const SEED: u64 = 42;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 2_000_000)]
    rows: usize,
    #[arg(long, default_value_t = 200_000)]
    keys: u64,
    /// Each side runs this often, in turns; the cheapest run counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Arrange,
    Join,
    Count,
}

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    for (name, work) in [("arrange", Work::Arrange), ("join", Work::Join), ("count", Work::Count)] {
        let (mut ours, mut typed) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..options.runs {
            typed = typed.min(measure(options, workers, move |worker, rows| typed_side(worker, work, rows))?);
            ours = ours.min(measure(options, workers, move |worker, rows| our_side(worker, work, rows))?);
        }
        report.row(vec![
            ("work", json!(name)),
            ("rows", json!(options.rows)),
            ("typed_cpu_s", json!(typed)),
            ("millrace_cpu_s", json!(ours)),
            ("ratio", json!(ours / typed)),
        ]);
    }
    Ok(())
}

/// The rounds of both inputs that one worker feeds; a round is what it has of one timestamp.
type Rounds = Vec<[Vec<RecordBatch>; 2]>;

/// CPU seconds of all workers from the first row to the last result.
fn measure(
    options: &Options,
    workers: usize,
    side: impl Fn(&mut Worker, Rounds) + Send + Sync + 'static,
) -> Result<f64> {
    let rounds: Vec<Rounds> = (0..workers).map(|worker| rounds(options, workers, worker)).collect();
    let rounds = Arc::new(std::sync::Mutex::new(rounds));
    let watch = Stopwatch::start();
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let own = std::mem::take(&mut rounds.lock().expect("no panic while taking")[worker.index()]);
        side(worker, own);
    });
    let guards = guards.map_err(Error::internal)?;
    guards.join().into_iter().collect::<std::result::Result<Vec<()>, _>>().map_err(Error::internal)?;
    Ok(watch.cpu_s())
}

fn our_side(worker: &mut Worker, work: Work, rounds: Rounds) {
    let mut probe = probe::Handle::new();
    let ids = [ObjectId(1), ObjectId(2)];
    let (mut inputs, mut traces, _pace) = worker.dataflow::<Time, _, _>(|scope| {
        let mut inputs = Vec::new();
        let mut sources = BTreeMap::new();
        for (id, side) in ids.iter().zip(["a", "b"]) {
            let (input, rows) = scope.new_input_with_builder::<CapacityContainerBuilder<Delta>>();
            let errors = stateless::empty(scope);
            sources.insert(*id, Source::Stream(Collection { rows, errors, schema: schema(side) }));
            inputs.push(input);
        }
        let mut context = Context::new(scope, 0, SEED, sources);
        let mut traces = Vec::new();
        let get = |place: usize| Plan::Get { object: ids[place], schema: schema(["a", "b"][place]) };
        match work {
            Work::Arrange => {
                let rows = render(&get(0), &mut context).rows;
                let layout = context.layout(schema("a"), vec![0, 1]);
                let arranged = context.arrange(rows, &layout, "arrange");
                arranged.stream.probe_with(&mut probe);
                traces.push(arranged.trace);
            }
            Work::Join => {
                let plan = join(get(0), get(1));
                render(&plan, &mut context).rows.probe_with(&mut probe);
            }
            Work::Count => {
                let plan = count(get(0));
                render(&plan, &mut context).rows.probe_with(&mut probe);
            }
        }
        (inputs, traces, context.finish())
    });
    for (time, round) in rounds.into_iter().enumerate() {
        let (time, next) = (time as Time, time as Time + 1);
        for (input, batches) in inputs.iter_mut().zip(round) {
            batches.into_iter().for_each(|rows| input.send_batch(&mut Delta::insert(rows, time)));
            input.advance_to(next);
        }
        let frontier = Antichain::from_elem(next);
        for trace in &mut traces {
            trace.set_logical_compaction(frontier.borrow());
            trace.set_physical_compaction(frontier.borrow());
        }
        worker.step_while(|| probe.less_than(&next));
    }
}

type Key = (i64, String);
type Value = (i64, i64, String);

fn typed_side(worker: &mut Worker, work: Work, rounds: Rounds) {
    let mut probe = probe::Handle::new();
    let (mut inputs, mut traces) = worker.dataflow::<Time, _, _>(|scope| {
        let (a, left) = scope.new_collection::<(Key, Value), isize>();
        let (b, right) = scope.new_collection::<(Key, Value), isize>();
        let mut traces = Vec::new();
        match work {
            Work::Arrange => {
                let arranged = left.arrange_by_key();
                arranged.stream.probe_with(&mut probe);
                traces.push(arranged.trace);
            }
            Work::Join => {
                let pair = |key: &Key, left: &Value, right: &Value| Some((key.clone(), left.clone(), right.clone()));
                let (left, right) = (left.arrange_by_key(), right.arrange_by_key());
                left.join_core(right, pair).inner.probe_with(&mut probe);
            }
            Work::Count => {
                left.map(|(key, _)| key).count_total().inner.probe_with(&mut probe);
            }
        }
        ([a, b], traces)
    });
    for (time, round) in rounds.into_iter().enumerate() {
        let next = time as Time + 1;
        for (input, batches) in inputs.iter_mut().zip(round) {
            batches.iter().for_each(|rows| feed_typed(input, rows));
            input.advance_to(next);
            input.flush();
        }
        let frontier = Antichain::from_elem(next);
        for trace in &mut traces {
            trace.set_logical_compaction(frontier.borrow());
            trace.set_physical_compaction(frontier.borrow());
        }
        worker.step_while(|| probe.less_than(&next));
    }
}

fn feed_typed(input: &mut InputSession<Time, (Key, Value), isize>, rows: &RecordBatch) {
    let number = |column: usize| rows.column(column).as_primitive::<Int64Type>();
    let text = |column: usize| rows.column(column).as_string::<i32>();
    let (k1, k2, v1, v2, v3) = (number(0), text(1), number(2), number(3), text(4));
    for row in 0..rows.num_rows() {
        let key = (k1.value(row), k2.value(row).to_string());
        input.update((key, (v1.value(row), v2.value(row), v3.value(row).to_string())), 1);
    }
}

fn join(left: Plan, right: Plan) -> Plan {
    let fields = left.schema().fields().iter().chain(right.schema().fields()).cloned().collect::<Vec<_>>();
    Plan::Join {
        left: Box::new(left),
        right: Box::new(right),
        kind: JoinKind::Inner,
        keys: vec![(0, 0), (1, 1)],
        nulls_equal: false,
        filter: None,
        schema: Arc::new(Schema::new(fields)),
    }
}

fn count(input: Plan) -> Plan {
    let schema = input.schema();
    let counted = Field::new("count", DataType::Int64, false);
    let fields = schema.fields()[..2].iter().map(|field| field.as_ref().clone()).chain([counted]);
    let aggregate = Aggregate {
        function: AggregateFunction::Count,
        arguments: vec![],
        distinct: false,
        filter: None,
        order_by: vec![],
        data_type: DataType::Int64,
    };
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Plan::Reduce { input: Box::new(input), keys: vec![0, 1], aggregates: vec![aggregate], schema }
}

fn schema(side: &str) -> SchemaRef {
    let field = |name: String, data_type| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        field(format!("{side}_k1"), DataType::Int64),
        field(format!("{side}_k2"), DataType::Utf8),
        field(format!("{side}_v1"), DataType::Int64),
        field(format!("{side}_v2"), DataType::Int64),
        field(format!("{side}_v3"), DataType::Utf8),
    ]))
}

/// One worker's share of the rows, the same in every run.
fn rounds(options: &Options, workers: usize, worker: usize) -> Rounds {
    let per_round = ROWS_PER_TIME / workers;
    let mut random = 88_172_645_463_325_252_u64 ^ ((worker as u64 + 1) << 32);
    let count = options.rows.div_ceil(ROWS_PER_TIME);
    let mut input = |side: &str| -> Vec<RecordBatch> {
        let batches = 0..per_round.div_ceil(ROWS_PER_BATCH);
        batches
            .map(|batch| rows(side, ROWS_PER_BATCH.min(per_round - batch * ROWS_PER_BATCH), options.keys, &mut random))
            .collect()
    };
    (0..count).map(|_| [input("a"), input("b")]).collect()
}

fn rows(side: &str, count: usize, keys: u64, random: &mut u64) -> RecordBatch {
    let mut next = || {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random
    };
    let numbers: Vec<(i64, i64, i64)> =
        (0..count).map(|_| (((next() >> 11) % keys) as i64, next() as i64 >> 40, next() as i64)).collect();
    let text = |make: &dyn Fn(&(i64, i64, i64)) -> String| StringArray::from_iter_values(numbers.iter().map(make));
    let number = |pick: fn(&(i64, i64, i64)) -> i64| Int64Array::from_iter_values(numbers.iter().map(pick));
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(number(|row| row.0)),
        Arc::new(text(&|row| format!("key{}", row.0))),
        Arc::new(number(|row| row.1)),
        Arc::new(number(|row| row.2)),
        Arc::new(text(&|row| format!("value-{}", row.2 & 0xffff))),
    ];
    RecordBatch::try_new(schema(side), columns).expect("the columns are those of the schema")
}
