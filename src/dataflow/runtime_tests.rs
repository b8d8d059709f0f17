//! Whole runtimes against the naive truth: tables and append inputs, every kind of join, one to three workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_expr::execution_props::ExecutionProps;

use super::layout::colliding;
use super::plan::{JoinKind, Plan, Scalar};
use super::read::least_error;
use super::runtime::{Command, InputKind, Options, Runtime, Start};
use super::subscription::Change;
use super::test_data::*;
use crate::types::{Delta, ObjectId, SqlState, Stamps, Time};

const LEFT: ObjectId = ObjectId(1);
const RIGHT: ObjectId = ObjectId(2);
const VIEW: ObjectId = ObjectId(3);

fn start(workers: usize, hash_seed: u64) -> Runtime {
    Runtime::start(Options { workers, hash_seed }, Arc::new(|| {})).unwrap()
}

fn table(runtime: &Runtime, id: ObjectId, key: Vec<usize>) {
    runtime.execute(Command::CreateInput {
        id,
        kind: InputKind::Table { key },
        schema: schema(),
        from: 0,
        start: Start::default(),
    });
}

fn view(runtime: &Runtime, id: ObjectId, plan: Plan, as_of: Time) {
    runtime.execute(Command::CreateView { id, plan: Arc::new(plan), as_of, key: vec![], saved: None });
}

/// What is in an object at a time, once it is complete.
fn read(runtime: &Runtime, id: ObjectId, time: Time) -> Multiset {
    wait(runtime, id, time);
    let mut multiset = Multiset::new();
    for batch in runtime.snapshots(id).unwrap().parts().flat_map(|part| part.scan(time)) {
        for row in 0..batch.num_rows() {
            *multiset.entry(row_of(&batch, row)).or_default() += 1;
        }
    }
    multiset
}

fn wait(runtime: &Runtime, id: ObjectId, time: Time) {
    let started = Instant::now();
    while runtime.frontier(id).unwrap() <= time {
        assert!(started.elapsed() < Duration::from_secs(60), "{id} is not complete to {time}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn get(object: ObjectId) -> Plan {
    Plan::Get { object, schema: schema() }
}

fn scalar(expression: Expr, schema: &SchemaRef) -> Scalar {
    let resolved = DFSchema::try_from(schema.as_ref().clone()).unwrap();
    let physical = create_physical_expr(&expression, &resolved, &ExecutionProps::new()).unwrap();
    let data_type = physical.data_type(schema).unwrap();
    Scalar { logical: expression, physical, data_type, nullable: true }
}

/// Left ++ right columns with names of their own.
fn both() -> SchemaRef {
    let renamed = |side: &'static str| {
        schema()
            .fields()
            .iter()
            .map(move |field| field.as_ref().clone().with_name(format!("{side}_{}", field.name())))
            .collect::<Vec<Field>>()
    };
    Arc::new(Schema::new([renamed("l"), renamed("r")].concat()))
}

struct JoinCase {
    kind: JoinKind,
    keys: Vec<(usize, usize)>,
    nulls_equal: bool,
    /// `l_b < r_b`
    filtered: bool,
}

impl JoinCase {
    fn plan(&self) -> Plan {
        let semi = matches!(self.kind, JoinKind::LeftSemi | JoinKind::LeftAnti);
        Plan::Join {
            left: Box::new(get(LEFT)),
            right: Box::new(get(RIGHT)),
            kind: self.kind,
            keys: self.keys.clone(),
            nulls_equal: self.nulls_equal,
            filter: self.filtered.then(|| scalar(col("l_b").lt(col("r_b")), &both())),
            schema: if semi { schema() } else { both() },
        }
    }

    fn matches(&self, left: &Row, right: &Row) -> bool {
        let equal = |&(l, r): &(usize, usize)| left[l] == right[r] && (self.nulls_equal || left[l].is_some());
        let number = |value: &Option<String>| value.as_ref().map(|text| text.parse::<i64>().unwrap());
        let passes = match (number(&left[2]), number(&right[2])) {
            (Some(l), Some(r)) => l < r,
            _ => false,
        };
        self.keys.iter().all(equal) && (!self.filtered || passes)
    }

    fn naive(&self, left: &Multiset, right: &Multiset) -> Multiset {
        use JoinKind::*;
        let mut output = Multiset::new();
        let mut add = |row: Row, count: i64| *output.entry(row).or_default() += count;
        let nulls = || vec![None; 3];
        for (l, &count) in left {
            let matched: Vec<(&Row, i64)> =
                right.iter().filter(|(r, _)| self.matches(l, r)).map(|(r, &n)| (r, n)).collect();
            match self.kind {
                LeftSemi if !matched.is_empty() => add(l.clone(), count),
                LeftAnti if matched.is_empty() => add(l.clone(), count),
                LeftSemi | LeftAnti => {}
                Left | Full if matched.is_empty() => add([l.clone(), nulls()].concat(), count),
                _ => matched.iter().for_each(|(r, n)| add([l.clone(), r.to_vec()].concat(), count * n)),
            }
        }
        if matches!(self.kind, Right | Full) {
            for (r, &count) in right.iter().filter(|(r, _)| !left.keys().any(|l| self.matches(l, r))) {
                add([nulls(), r.clone()].concat(), count);
            }
        }
        output
    }
}

fn check_join(case: &JoinCase, workers: usize, seed: u64, table_key: Vec<usize>) {
    let mut random = Random(seed + workers as u64);
    let runtime = start(workers, if seed.is_multiple_of(2) { colliding::SEED } else { seed });
    table(&runtime, LEFT, table_key.clone());
    table(&runtime, RIGHT, table_key);
    let (mut present, mut fed) = ([vec![], vec![]], [vec![], vec![]]);
    let mut feed = |random: &mut Random, time: Time, len: usize| {
        for (side, id) in [LEFT, RIGHT].into_iter().enumerate() {
            let delta = random_changes(random, &mut present[side], len, 6, time);
            fed[side].push(delta.clone());
            runtime.feed(id, delta);
        }
        runtime.execute(Command::Advance { to: time + 1 });
        fed.clone()
    };
    for time in 1..6 {
        feed(&mut random, time, 12);
    }
    let late = ObjectId(4);
    view(&runtime, VIEW, case.plan(), 3);
    for time in 6..12 {
        let fed = feed(&mut random, time, 7);
        if time == 8 {
            view(&runtime, late, case.plan(), 8);
        }
        let at = |side: usize, time: Time| multiset_at(&fed[side], time);
        for (id, time) in [(VIEW, time), (VIEW, time.saturating_sub(2).max(3)), (late, time)] {
            if id == late && time < 8 {
                continue;
            }
            assert_eq!(read(&runtime, id, time), case.naive(&at(0, time), &at(1, time)), "{:?} at {time}", case.kind);
        }
        runtime.execute(Command::Compact { to: time - 2 });
    }
}

#[test]
fn inner_joins_equal_the_truth() {
    for (round, keys) in [vec![(0, 0)], vec![(0, 0), (1, 1)], vec![(2, 0)], vec![]].into_iter().enumerate() {
        for (nulls_equal, filtered) in [(false, false), (true, false), (false, true)] {
            let case = JoinCase { kind: JoinKind::Inner, keys: keys.clone(), nulls_equal, filtered };
            for workers in 1..4 {
                check_join(&case, workers, round as u64, if round % 2 == 0 { vec![0] } else { vec![] });
            }
        }
    }
}

#[test]
fn outer_and_semi_joins_equal_the_truth() {
    use JoinKind::*;
    for kind in [Left, Right, Full, LeftSemi, LeftAnti] {
        for (keys, nulls_equal, filtered) in [
            (vec![(0, 0)], false, false),
            (vec![(0, 0), (1, 1)], true, false),
            (vec![(0, 0)], false, true),
            (vec![], false, true),
        ] {
            let case = JoinCase { kind, keys, nulls_equal, filtered };
            for workers in 1..4 {
                check_join(&case, workers, workers as u64, vec![0]);
            }
        }
    }
}

/// A key with many rows on both sides is worked off in steps and gives all pairs.
#[test]
fn skewed_keys_give_all_pairs() {
    let runtime = start(2, 5);
    table(&runtime, LEFT, vec![0]);
    table(&runtime, RIGHT, vec![0]);
    let values: Vec<_> = (0..250).map(|i| (Some(1), None, Some(i))).collect();
    for id in [LEFT, RIGHT] {
        runtime.feed(id, Delta::insert(rows(&values), 1));
    }
    runtime.execute(Command::Advance { to: 2 });
    let case = JoinCase { kind: JoinKind::Inner, keys: vec![(0, 0)], nulls_equal: false, filtered: false };
    view(&runtime, VIEW, case.plan(), 1);
    let got = read(&runtime, VIEW, 1);
    assert_eq!((got.len(), got.values().all(|&count| count == 1)), (250 * 250, true));
}

/// An append input's view: history first, live rows after it, none twice.
#[test]
fn history_and_live_rows_join_up() {
    for workers in 1..4 {
        let runtime = start(workers, 5);
        runtime.execute(Command::CreateInput {
            id: LEFT,
            kind: InputKind::Append,
            schema: schema(),
            from: 0,
            start: Start::default(),
        });
        let plan = Plan::Filter { input: Box::new(get(LEFT)), predicate: scalar(col("b").gt(lit(0i64)), &schema()) };
        runtime.execute(Command::Advance { to: 11 });
        view(&runtime, VIEW, plan, 10);
        let mut random = Random(9);
        let mut fed = vec![];
        let history: Vec<Delta> =
            (0..20).map(|step| Delta::insert(random_delta(&mut random, 50, 9, 0..1).rows, step / 2)).collect();
        for time in 11..15 {
            let delta = Delta::insert(random_delta(&mut random, 20, 9, 0..1).rows, time);
            runtime.feed(LEFT, delta.clone());
            fed.push(delta);
            runtime.execute(Command::Advance { to: time + 1 });
        }
        // What the history holds comes in the live feed, too.
        runtime.feed(LEFT, Delta::insert(history[3].rows.clone(), 10));
        for delta in history {
            assert!(runtime.frontier(VIEW).unwrap() <= 10);
            runtime.feed_history(VIEW, LEFT, delta.clone());
            fed.push(delta);
        }
        assert!(runtime.backlog() > 0);
        runtime.close_history(VIEW, LEFT);
        for time in [10, 12, 14] {
            let mut truth = multiset_at(&fed, time);
            truth.retain(|row, _| row[2].as_ref().is_some_and(|b| b.parse::<i64>().unwrap() > 0));
            assert_eq!(read(&runtime, VIEW, time), truth);
        }
        assert_eq!(runtime.backlog(), 0);
    }
}

/// A row that fails is an error while it is there, and the other rows are right.
#[test]
fn errors_come_and_go_with_their_rows() {
    let runtime = start(2, 5);
    table(&runtime, LEFT, vec![0]);
    let quotient = scalar(lit(10i64) / col("b"), &schema());
    let output = Arc::new(Schema::new(vec![Field::new("q", DataType::Int64, true)]));
    let plan = Plan::Map { input: Box::new(get(LEFT)), expressions: vec![quotient], schema: output };
    view(&runtime, VIEW, plan, 0);
    let bad = rows(&[(Some(2), None, Some(0))]);
    let good = rows(&[(Some(1), None, Some(5)), (Some(3), None, None)]);
    let all = rows(&[(Some(1), None, Some(5)), (Some(2), None, Some(0)), (Some(3), None, None)]);
    runtime.feed(LEFT, Delta::insert(all, 1));
    runtime.execute(Command::Advance { to: 2 });
    let quotients = Multiset::from([(vec![Some("2".to_string())], 1), (vec![None], 1)]);
    assert_eq!(read(&runtime, VIEW, 1), quotients);
    let error = least_error(&runtime.errors(VIEW).unwrap(), 1).unwrap();
    assert_eq!(error.state(), SqlState::DIVISION_BY_ZERO);
    runtime.feed(LEFT, Delta::delete(bad, 2));
    runtime.feed(LEFT, Delta::delete(good, 2));
    runtime.execute(Command::Advance { to: 3 });
    assert_eq!(read(&runtime, VIEW, 2), Multiset::new());
    assert_eq!(least_error(&runtime.errors(VIEW).unwrap(), 2), None);
    assert!(least_error(&runtime.errors(VIEW).unwrap(), 1).is_some());
}

#[test]
fn keys_are_found_and_changes_followed() {
    for (workers, seed) in [(1, 5), (3, colliding::SEED), (2, 7)] {
        let runtime = start(workers, seed);
        table(&runtime, LEFT, vec![0]);
        runtime.execute(Command::CreateIndex { id: RIGHT, on: LEFT, key: vec![2, 1], saved: None });
        let told = Arc::new(std::sync::Mutex::new((Vec::<Delta>::new(), 0)));
        let teller = told.clone();
        let subscription = runtime.subscribe(LEFT, 0, move |change| {
            let mut told = teller.lock().unwrap();
            match change {
                Change::Rows(delta) => told.0.push(delta),
                Change::Progress(time) => told.1 = time,
            }
            true
        });
        let (mut random, mut present, mut fed) = (Random(4), vec![], vec![]);
        for time in 1..20 {
            let delta = random_changes(&mut random, &mut present, 30, 20, time);
            runtime.feed(LEFT, delta.clone());
            fed.push(delta);
            runtime.execute(Command::Advance { to: time + 1 });
            runtime.execute(Command::Compact { to: time - 1 });
            let truth = multiset_at(&fed, time);
            wait(&runtime, LEFT, time);
            wait(&runtime, RIGHT, time);
            let keys: ArrayRef = Arc::new(Int64Array::from_iter([Some(3), Some(99), Some(7), None]));
            let found = runtime.snapshots(LEFT).unwrap().find(std::slice::from_ref(&keys), time);
            for (probe, key) in [(0u32, Some("3")), (1, Some("99")), (2, Some("7")), (3, None)] {
                let mut wanted = truth.clone();
                wanted.retain(|row, _| row[0].as_deref() == key);
                assert_eq!(of_found(&found.rows, &found.probes, &found.counts, probe), wanted);
            }
            let texts: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![Some("x")]));
            let ones: ArrayRef = Arc::new(Int64Array::from(vec![1]));
            let found = runtime.snapshots(RIGHT).unwrap().find(&[ones, texts], time);
            let mut wanted = truth.clone();
            wanted.retain(|row, _| (row[2].as_deref(), row[1].as_deref()) == (Some("1"), Some("x")));
            assert_eq!(of_found(&found.rows, &found.probes, &found.counts, 0), wanted);
        }
        let started = Instant::now();
        while told.lock().unwrap().1 < 20 {
            assert!(started.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }
        for time in 1..20 {
            assert_eq!(multiset_at(&told.lock().unwrap().0, time), multiset_at(&fed, time));
        }
        drop(subscription);
        runtime.execute(Command::Compact { to: 19 });
        let distinct = multiset_at(&fed, 19).len();
        let kept = || -> usize {
            let own = runtime.arrangements().into_iter().filter(|kept| kept.object == LEFT && kept.operator == "rows");
            own.map(|kept| kept.rows).sum()
        };
        // Runs beside the largest hold up to half as much, and the largest may have been made before the last compaction.
        let fed_lately = 3 * 50;
        while distinct * 2 + fed_lately < kept() {
            assert!(started.elapsed() < Duration::from_secs(20), "{distinct} rows are kept as {}", kept());
            std::thread::sleep(Duration::from_millis(5));
        }
        let writes = [Delta::delete(present[0].clone(), 0), Delta::insert(rows(&[(Some(3), Some("new"), None)]), 0)];
        let snapshots = runtime.snapshots(LEFT).unwrap();
        let layout = super::layout::Layout::hashed(schema(), vec![0], seed);
        let written = snapshots.with_writes(&layout, &writes, 19);
        let scanned: Vec<Delta> =
            written.parts().flat_map(|part| part.scan(19)).map(|batch| Delta::insert(batch, 0)).collect();
        assert_eq!(multiset_at(&scanned, 0), multiset_at(fed.iter().chain(&writes), 19));
    }
}

fn of_found(rows: &RecordBatch, probes: &[u32], counts: &[i64], probe: u32) -> Multiset {
    let hits = (0..rows.num_rows()).filter(|&row| probes[row] == probe);
    hits.fold(BTreeMap::new(), |mut multiset, row| {
        *multiset.entry(row_of(rows, row)).or_default() += counts[row];
        multiset
    })
}

/// Views come and go in milliseconds and leave nothing behind.
#[test]
fn views_come_and_go() {
    let runtime = start(2, 5);
    table(&runtime, LEFT, vec![0]);
    runtime.feed(LEFT, random_delta(&mut Random(1), 1000, 50, 1..2));
    runtime.execute(Command::Advance { to: 2 });
    wait(&runtime, LEFT, 1);
    let case = JoinCase { kind: JoinKind::Inner, keys: vec![(0, 0)], nulls_equal: false, filtered: false };
    let Plan::Join { left, keys, nulls_equal, filter, kind, .. } = case.plan() else { unreachable!() };
    let own = Plan::Join { right: left.clone(), left, kind, keys, nulls_equal, filter, schema: both() };
    let started = Instant::now();
    for round in 0..200 {
        let id = ObjectId(10 + round);
        view(&runtime, id, own.clone(), 1);
        if round % 3 > 0 {
            wait(&runtime, id, 1);
        }
        runtime.execute(Command::Drop { id });
        assert!(runtime.frontier(id).is_none());
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    let kept = runtime.arrangements();
    assert!(kept.iter().all(|arrangement| arrangement.object == LEFT) && kept.len() == 2);
    assert!(kept.iter().map(|arrangement| arrangement.rows).sum::<usize>() > 0);
}

/// A constant, its union with a table, and repetition.
#[test]
fn stateless_operators_equal_the_truth() {
    let runtime = start(2, 5);
    table(&runtime, LEFT, vec![]);
    let constant = Plan::Constant { rows: rows(&[(Some(1), Some("c"), Some(2))]) };
    let union = Plan::Union { inputs: vec![get(LEFT), constant.clone(), constant], schema: schema() };
    let output = Arc::new(schema().project(&[0, 1]).unwrap());
    let counted = Plan::Filter {
        input: Box::new(union),
        predicate: scalar(
            col("b").is_not_null().and(col("k").not_eq(Expr::Literal(ScalarValue::Int64(Some(2)), None))),
            &schema(),
        ),
    };
    view(&runtime, VIEW, Plan::Repeat { input: Box::new(counted), count: 2, schema: output }, 0);
    let mut present = vec![];
    let mut random = Random(3);
    let delta = random_changes(&mut random, &mut present, 60, 4, 1);
    runtime.feed(LEFT, Delta { times: Stamps::Same(1), ..delta.clone() });
    runtime.execute(Command::Advance { to: 2 });
    let mut truth = Multiset::from([(vec![Some("1".to_string()), Some("c".to_string())], 4)]);
    for (row, count) in multiset_at([&delta], 1) {
        let times: i64 = row[2].as_ref().map_or(0, |b| b.parse().unwrap());
        if times > 0 && row[0].as_deref().is_some_and(|k| k != "2") {
            *truth.entry(row[..2].to_vec()).or_default() += times * count;
        }
    }
    assert_eq!(read(&runtime, VIEW, 1), truth);
}
