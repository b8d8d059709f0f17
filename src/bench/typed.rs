//! The other side of the comparison of operators: differential dataflow as one writes it by hand, on tuples with
//! `String`s.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::operators::CountTotal;
use differential_dataflow::trace::BatchReader;
use timely::dataflow::operators::{Probe, probe};
use timely::worker::Worker;

use super::operators::{Gate, Rounds, Work, counted, finish_round};
use crate::types::Time;

type Key = (i64, String);
type Value = (i64, i64, String);
type Update<D> = (D, Time, isize);

pub fn side(worker: &mut Worker, work: Work, rounds: Rounds, gate: &Arc<Gate>) {
    let probe = probe::Handle::new();
    let counter = gate.clone();
    let (inputs, mut traces) = worker.dataflow::<Time, _, _>(|scope| {
        let (a, left) = scope.new_collection::<(Key, Value), isize>();
        let (b, right) = scope.new_collection::<(Key, Value), isize>();
        let mut traces = Vec::new();
        match work {
            Work::Arrange => {
                let arranged = left.arrange_by_key();
                let count = |batches: &Vec<_>| batches.iter().map(|batch| BatchReader::len(batch) as i64).sum();
                counted(arranged.stream, &counter, count).probe_with(&probe);
                traces.push(arranged.trace);
            }
            Work::Join => {
                let pair = |key: &Key, left: &Value, right: &Value| Some((key.clone(), left.clone(), right.clone()));
                let joined = left.arrange_by_key().join_core(right.arrange_by_key(), pair).inner;
                counted(joined, &counter, |updates: &Vec<_>| differences(updates)).probe_with(&probe);
            }
            Work::Count => {
                let counts = left.map(|(key, _)| key).count_total().inner;
                counted(counts, &counter, |updates: &Vec<_>| differences(updates)).probe_with(&probe);
            }
        }
        ([a, b], traces)
    });
    let mut inputs: Vec<_> = inputs.into_iter().take(work.inputs()).collect();
    let rounds: Vec<Vec<Vec<(Key, Value)>>> =
        rounds.iter().map(|round| round.iter().map(|batches| tuples(batches)).collect()).collect();
    gate.meet();
    for (time, round) in rounds.into_iter().enumerate() {
        let next = time as Time + 1;
        for (input, rows) in inputs.iter_mut().zip(round) {
            feed(input, rows, next);
        }
        finish_round(worker, &mut traces, &probe, next);
    }
    gate.meet();
    gate.meet();
}

fn feed(input: &mut InputSession<Time, (Key, Value), isize>, rows: Vec<(Key, Value)>, next: Time) {
    rows.into_iter().for_each(|row| input.update(row, 1));
    input.advance_to(next);
    input.flush();
}

fn differences<D>(updates: &[Update<D>]) -> i64 {
    updates.iter().map(|(_, _, diff)| *diff as i64).sum()
}

fn tuples(batches: &[RecordBatch]) -> Vec<(Key, Value)> {
    let of = |rows: &RecordBatch| {
        let number = |column: usize| rows.column(column).as_primitive::<Int64Type>().clone();
        let text = |column: usize| rows.column(column).as_string::<i32>().clone();
        let (k1, k2, v1, v2, v3) = (number(0), text(1), number(2), number(3), text(4));
        let tuple = move |row: usize| {
            let key = (k1.value(row), k2.value(row).to_string());
            (key, (v1.value(row), v2.value(row), v3.value(row).to_string()))
        };
        (0..rows.num_rows()).map(tuple).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}
