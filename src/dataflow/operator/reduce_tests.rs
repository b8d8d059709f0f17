//! Reductions against naive recomputation from the multiset at every time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::harness::{Build, check, run, schema};
use super::reduce;
use crate::dataflow::plan::{Aggregate, AggregateFunction};
use crate::dataflow::test_data::{Row, multiset_at};
use crate::types::{Delta, Stamps};

fn aggregate(function: AggregateFunction, argument: Option<usize>, data_type: DataType) -> Aggregate {
    let arguments = argument.into_iter().collect();
    Aggregate { function, arguments, distinct: false, filter: None, order_by: vec![], data_type }
}

fn count(argument: Option<usize>) -> Aggregate {
    aggregate(AggregateFunction::Count, argument, DataType::Int64)
}

fn sum_of_b() -> Aggregate {
    aggregate(AggregateFunction::Sum, Some(2), DataType::Decimal128(38, 0))
}

fn of_b(function: AggregateFunction) -> Aggregate {
    aggregate(function, Some(2), DataType::Int64)
}

fn distinct(aggregate: Aggregate) -> Aggregate {
    Aggregate { distinct: true, ..aggregate }
}

fn filtered(aggregate: Aggregate) -> Aggregate {
    Aggregate { filter: Some(5), ..aggregate }
}

fn output_schema(keys: &[usize], aggregates: &[Aggregate]) -> SchemaRef {
    let keys = keys.iter().map(|&key| schema().field(key).clone());
    let values = aggregates.iter().map(|aggregate| Field::new("value", aggregate.data_type.clone(), true));
    Arc::new(Schema::new(keys.chain(values).collect::<Vec<_>>()))
}

fn build(keys: Vec<usize>, aggregates: Vec<Aggregate>) -> Build {
    let schema = output_schema(&keys, &aggregates);
    Arc::new(move |input, context| reduce(input, &keys, &aggregates, &schema, context))
}

/// Computes what the operator should give, from the rows' texts.
fn naive(keys: &[usize], aggregates: &[Aggregate], rows: &[Row]) -> Vec<Row> {
    let mut groups: BTreeMap<Row, Vec<&Row>> = BTreeMap::new();
    if keys.is_empty() {
        groups.insert(vec![], vec![]);
    }
    for row in rows {
        groups.entry(keys.iter().map(|&key| row[key].clone()).collect()).or_default().push(row);
    }
    let result = |(key, rows): (Row, Vec<&Row>)| {
        let values = aggregates.iter().map(|aggregate| naive_value(aggregate, &rows));
        key.into_iter().chain(values).collect()
    };
    groups.into_iter().map(result).collect()
}

fn naive_value(aggregate: &Aggregate, rows: &[&Row]) -> Option<String> {
    let counted =
        rows.iter().filter(|row| aggregate.filter.is_none_or(|filter| row[filter].as_deref() == Some("true")));
    let Some(&argument) = aggregate.arguments.first() else {
        return Some(counted.count().to_string());
    };
    let mut values: Vec<String> = counted.filter_map(|row| row[argument].clone()).collect();
    if aggregate.distinct {
        values = values.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    }
    if matches!(aggregate.function, AggregateFunction::Count) {
        return Some(values.len().to_string());
    }
    if values.is_empty() {
        return None;
    }
    if matches!(aggregate.function, AggregateFunction::Other(_)) {
        values.sort();
        return Some(values.join(","));
    }
    let hundredths = |text: &String| (text.parse::<f64>().unwrap() * 100.0).round() as i128;
    let numbers = || values.iter().map(hundredths);
    let total: i128 = numbers().sum();
    let number = match aggregate.function {
        AggregateFunction::Sum => total,
        AggregateFunction::Avg => return Some(naive_mean(total, values.len() as i128, &aggregate.data_type)),
        AggregateFunction::Min => numbers().min().unwrap(),
        AggregateFunction::Max => numbers().max().unwrap(),
        AggregateFunction::Count | AggregateFunction::Other(_) => unreachable!("computed above"),
    };
    Some(match aggregate.data_type {
        DataType::Float64 => format!("{:?}", number as f64 / 100.0),
        DataType::Decimal128(_, 2) => format!("{}.{:02}", number / 100, number % 100),
        _ => (number / 100).to_string(),
    })
}

/// With sixteen digits after the point, rounded half up, as all numbers here are positive.
fn naive_mean(hundredths: i128, count: i128, data_type: &DataType) -> String {
    match data_type {
        DataType::Float64 => format!("{:?}", hundredths as f64 / 100.0 / count as f64),
        _ => {
            let unit = 10i128.pow(16);
            let scaled = (hundredths * (unit / 100) * 2 + count) / (2 * count);
            format!("{}.{:016}", scaled / unit, scaled % unit)
        }
    }
}

fn check_reduce(name: &str, keys: &[usize], aggregates: Vec<Aggregate>) {
    let naive = |rows: &[Row]| naive(keys, &aggregates, rows);
    check(name, build(keys.to_vec(), aggregates.clone()), naive);
}

#[test]
fn distinct_rows() {
    check_reduce("distinct", &[0, 1], vec![]);
    check_reduce("distinct without columns to spare", &[0, 1, 2, 3, 4, 5], vec![]);
}

#[test]
fn counts_sums_and_means() {
    let mean = DataType::Decimal128(38, 16);
    let aggregates = vec![
        count(None),
        count(Some(2)),
        filtered(count(None)),
        sum_of_b(),
        filtered(sum_of_b()),
        of_b(AggregateFunction::Sum),
        aggregate(AggregateFunction::Sum, Some(3), DataType::Float64),
        aggregate(AggregateFunction::Sum, Some(4), DataType::Decimal128(38, 2)),
        aggregate(AggregateFunction::Avg, Some(2), mean.clone()),
        aggregate(AggregateFunction::Avg, Some(4), mean),
        aggregate(AggregateFunction::Avg, Some(3), DataType::Float64),
    ];
    check_reduce("accumulators by key", &[0], aggregates.clone());
    check_reduce("accumulators by text and number", &[1, 0], aggregates.clone());
    check_reduce("accumulators without keys", &[], aggregates);
}

#[test]
fn least_and_greatest() {
    let (least, greatest) = (of_b(AggregateFunction::Min), of_b(AggregateFunction::Max));
    check_reduce("min", &[0], vec![least.clone()]);
    check_reduce("max", &[0], vec![greatest.clone()]);
    let both = vec![greatest.clone(), count(None), least.clone(), filtered(least), filtered(greatest)];
    check_reduce("min and max", &[0], both.clone());
    check_reduce("min and max without keys", &[], both);
}

#[test]
fn distinct_values() {
    let aggregates = vec![
        distinct(count(Some(2))),
        filtered(distinct(count(Some(2)))),
        distinct(count(Some(1))),
        distinct(sum_of_b()),
        count(Some(1)),
        distinct(of_b(AggregateFunction::Max)),
    ];
    check_reduce("distinct values", &[0], aggregates.clone());
    check_reduce("distinct values without keys", &[], aggregates);
}

#[test]
fn generic_aggregates() {
    let text = || {
        let function = AggregateFunction::Other(datafusion::functions_aggregate::string_agg::string_agg_udaf());
        Aggregate { arguments: vec![1, 6], ..aggregate(function, Some(1), DataType::Utf8) }
    };
    let aggregates = vec![text(), distinct(text()), count(None), filtered(text()), of_b(AggregateFunction::Max)];
    let with_delimiter = |keys: Vec<usize>, aggregates: Vec<Aggregate>| -> Build {
        let schema = output_schema(&keys, &aggregates);
        Arc::new(move |input, context| reduce(comma_added(input), &keys, &aggregates, &schema, context))
    };
    for keys in [vec![0], vec![]] {
        let naive = |rows: &[Row]| naive(&keys, &aggregates, rows);
        check("generic", with_delimiter(keys.clone(), aggregates.clone()), naive);
    }
}

/// Column 6: what stands between the texts.
fn comma_added(input: crate::dataflow::collection::Collection<'_>) -> crate::dataflow::collection::Collection<'_> {
    let fields = input.schema.fields().iter().map(|field| Field::clone(field));
    let comma = Field::new("comma", DataType::Utf8, false);
    let schema: SchemaRef = Arc::new(Schema::new(fields.chain([comma]).collect::<Vec<_>>()));
    let wider = schema.clone();
    let rows = super::stateless::each(input.rows, "comma", move |delta| {
        let commas = arrow::array::StringArray::from_iter_values(std::iter::repeat_n(",", delta.len()));
        let columns = delta.rows.columns().iter().cloned().chain([Arc::new(commas) as _]).collect();
        Delta { rows: arrow::array::RecordBatch::try_new(wider.clone(), columns).unwrap(), ..delta }
    });
    crate::dataflow::collection::Collection { rows, errors: input.errors, schema }
}

#[test]
fn without_rows_there_is_one_group_or_none() {
    let (rows, _) = run(2, 1, &[], build(vec![], vec![count(None), sum_of_b(), of_b(AggregateFunction::Max)]));
    let expected: Row = vec![Some("0".to_string()), None, None];
    assert_eq!(multiset_at(&rows, 0), BTreeMap::from([(expected, 1)]));
    let (rows, _) = run(2, 1, &[], build(vec![0], vec![count(None)]));
    assert!(multiset_at(&rows, 0).is_empty());
}

#[test]
fn a_sum_that_does_not_fit_is_an_error_while_it_does_not() {
    let narrow = aggregate(AggregateFunction::Sum, Some(2), DataType::Int16);
    let row = |b: i64, time: u64, diff: i64| {
        let rows = crate::dataflow::test_data::rows(&[(Some(1), Some("x"), Some(b))]);
        let wide = super::harness::widened(&rows);
        vec![Delta { rows: wide, times: Stamps::Same(time), diffs: Stamps::Same(diff) }]
    };
    let rounds = [row(30_000, 0, 1), row(10_000, 4, 1), row(30_000, 8, -1)];
    let (rows, errors) = run(1, 1, &rounds, build(vec![0], vec![narrow]));
    let at = |deltas: &[Delta], time| multiset_at(deltas, time).into_keys().collect::<Vec<Row>>();
    let texts = |texts: &[&str]| texts.iter().map(|text| Some(text.to_string())).collect::<Row>();
    assert_eq!(at(&rows, 0), [texts(&["1", "30000"])]);
    assert!(at(&rows, 4).is_empty() && at(&errors, 0).is_empty());
    assert_eq!(at(&errors, 4)[0][..2], texts(&["22003", "smallint out of range"]));
    assert_eq!(at(&rows, 8), [texts(&["1", "10000"])]);
    assert!(at(&errors, 8).is_empty());
}
