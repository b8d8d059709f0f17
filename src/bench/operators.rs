//! Arrange, join and count against hand-written differential dataflow on typed tuples with `String`s, for the same rows
//! in the same rounds, in one process. The ratio of CPU times is the figure; below 1 is cheaper than typed tuples.
//!
//! Both sides begin with rows in memory, each in its own form, and end with the last result; making and dropping the
//! rows is not counted. Both exchange rows between the workers, and what comes out is counted and compared.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use differential_dataflow::trace::{BatchReader, TraceReader};
use serde_json::json;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::{Input as _, InspectCore, Probe, probe};
use timely::progress::Antichain;
use timely::worker::Worker;

use super::harness::{Stopwatch, expect, median, range};
use super::report::Report;
use super::typed;
use crate::dataflow::collection::{Batch, Collection};
use crate::dataflow::context::{Context, Source};
use crate::dataflow::operator::stateless;
use crate::dataflow::plan::{Aggregate, AggregateFunction, JoinKind, Plan};
use crate::dataflow::render::render;
use crate::types::{Delta, Error, ObjectId, Result, Stamps, Time};

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
    /// Each side runs this often, in turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
}

/// What both sides do.
#[derive(Clone, Copy, PartialEq)]
pub enum Work {
    Arrange,
    Join,
    Count,
}

impl Work {
    /// How many inputs it has.
    pub fn inputs(self) -> usize {
        if self == Work::Join { 2 } else { 1 }
    }
}

pub fn run(options: &Options, workers: usize, report: &mut Report) -> Result<()> {
    for (name, work) in [("arrange", Work::Arrange), ("join", Work::Join), ("count", Work::Count)] {
        let typed = || measure(options, workers, work, typed::side);
        let ours = || measure(options, workers, work, our_side);
        // The first round warms the allocator up, and is where the results are compared.
        let (expected, found) = (typed()?, ours()?);
        expect(&format!("updates of {name}"), expected.updates, found.updates)?;
        let (mut typed_s, mut ours_s) = (Vec::new(), Vec::new());
        for round in 0..options.runs {
            // Who comes first finds the machine in another state than who comes second.
            if round % 2 == 0 {
                typed_s.push(typed()?.cpu_s);
                ours_s.push(ours()?.cpu_s);
            } else {
                ours_s.push(ours()?.cpu_s);
                typed_s.push(typed()?.cpu_s);
            }
        }
        let ratios: Vec<f64> = ours_s.iter().zip(&typed_s).map(|(ours, typed)| ours / typed).collect();
        report.row(vec![
            ("work", json!(name)),
            ("rows", json!(options.rows * work.inputs())),
            ("updates", json!(found.updates)),
            ("rounds", json!(options.runs)),
            ("typed_cpu_s", json!(median(&typed_s))),
            ("millrace_cpu_s", json!(median(&ours_s))),
            ("ratio", json!(median(&ratios))),
            ("ratio_min", json!(range(&ratios).0)),
            ("ratio_max", json!(range(&ratios).1)),
        ]);
    }
    Ok(())
}

/// The rounds of the inputs that one worker feeds; a round is what it has of one timestamp.
pub type Rounds = Vec<Vec<Vec<RecordBatch>>>;

/// Where all workers meet, and what they have found.
pub struct Gate {
    barrier: Barrier,
    /// Differences of all updates that came out, added up.
    pub updates: AtomicI64,
}

impl Gate {
    /// Everything is prepared, or done: waits for the others.
    pub fn meet(&self) {
        self.barrier.wait();
    }
}

struct Measured {
    cpu_s: f64,
    updates: i64,
}

/// One side of the comparison, on one worker. It meets the others three times: prepared, done, and before it lets go
/// of what it has, so that neither making nor dropping rows is measured.
type Side = fn(&mut Worker, Work, Rounds, &Arc<Gate>);

/// CPU seconds of all workers from the first row to the last result.
fn measure(options: &Options, workers: usize, work: Work, side: Side) -> Result<Measured> {
    let rounds: Vec<Rounds> = (0..workers).map(|worker| rounds(options, work, workers, worker)).collect();
    let rounds = Arc::new(Mutex::new(rounds));
    let gate = Arc::new(Gate { barrier: Barrier::new(workers + 1), updates: AtomicI64::new(0) });
    let inside = gate.clone();
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let own = std::mem::take(&mut rounds.lock().expect("no panic while taking")[worker.index()]);
        side(worker, work, own, &inside);
    });
    let guards = guards.map_err(Error::internal)?;
    gate.meet();
    let watch = Stopwatch::start();
    gate.meet();
    let cpu_s = watch.cpu_s();
    gate.meet();
    guards.join().into_iter().collect::<std::result::Result<Vec<()>, _>>().map_err(Error::internal)?;
    Ok(Measured { cpu_s, updates: gate.updates.load(Ordering::Relaxed) })
}

fn our_side(worker: &mut Worker, work: Work, rounds: Rounds, gate: &Arc<Gate>) {
    let probe = probe::Handle::new();
    let ids = &[ObjectId(1), ObjectId(2)][..work.inputs()];
    let counter = gate.clone();
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
                let count = move |batches: &Vec<Batch>| batches.iter().map(|batch| batch.len() as i64).sum();
                counted(arranged.stream, &counter, count).probe_with(&probe);
                traces.push(arranged.trace);
            }
            Work::Join => {
                let plan = join(get(0), get(1));
                counted(render(&plan, &mut context).rows, &counter, differences).probe_with(&probe);
            }
            Work::Count => {
                let plan = count(get(0));
                counted(render(&plan, &mut context).rows, &counter, differences).probe_with(&probe);
            }
        }
        (inputs, traces, context.finish())
    });
    gate.meet();
    for (time, round) in rounds.into_iter().enumerate() {
        let (time, next) = (time as Time, time as Time + 1);
        for (input, batches) in inputs.iter_mut().zip(round) {
            batches.into_iter().for_each(|rows| input.send_batch(&mut Delta::insert(rows, time)));
            input.advance_to(next);
        }
        finish_round(worker, &mut traces, &probe, next);
    }
    gate.meet();
    gate.meet();
}

/// Works until everything before `next` is done; nobody asks for earlier times after that.
pub fn finish_round(
    worker: &mut Worker,
    traces: &mut [impl TraceReader<Time = Time>],
    probe: &probe::Handle<Time>,
    next: Time,
) {
    let frontier = Antichain::from_elem(next);
    for trace in traces {
        trace.set_logical_compaction(frontier.borrow());
        trace.set_physical_compaction(frontier.borrow());
    }
    worker.step_while(|| probe.less_than(&next));
}

/// Adds up what comes by.
pub fn counted<'s, C: timely::Container>(
    stream: timely::dataflow::Stream<'s, Time, C>,
    gate: &Arc<Gate>,
    count: impl Fn(&C) -> i64 + 'static,
) -> timely::dataflow::Stream<'s, Time, C> {
    let gate = gate.clone();
    stream.inspect_container(move |event| {
        if let Ok((_, container)) = event {
            gate.updates.fetch_add(count(container), Ordering::Relaxed);
        }
    })
}

fn differences(delta: &Delta) -> i64 {
    match &delta.diffs {
        Stamps::Same(diff) => diff * delta.len() as i64,
        Stamps::Each(diffs) => diffs.iter().sum(),
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
fn rounds(options: &Options, work: Work, workers: usize, worker: usize) -> Rounds {
    let mut random = 88_172_645_463_325_252_u64 ^ ((worker as u64 + 1) << 32);
    let mut input = |side: &str, rows_now: usize| -> Vec<RecordBatch> {
        let per_round = rows_now / workers;
        (0..per_round)
            .step_by(ROWS_PER_BATCH)
            .map(|from| rows(side, ROWS_PER_BATCH.min(per_round - from), options.keys, &mut random))
            .collect()
    };
    let starts = (0..options.rows).step_by(ROWS_PER_TIME);
    starts
        .map(|start| {
            let rows_now = ROWS_PER_TIME.min(options.rows - start);
            ["a", "b"][..work.inputs()].iter().map(|side| input(side, rows_now)).collect()
        })
        .collect()
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
