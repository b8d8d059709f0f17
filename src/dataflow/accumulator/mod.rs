//! What count, sum and avg remember about a group: numbers that can be added up and taken away again without residue.
//!
//! Nothing here knows of time, traces or threads, so the batch engine's aggregate functions are made of the same parts
//! as the maintained ones. An [`Accumulator`] holds one state per group, in columns: `update` it with values, `merge`
//! states that another wrote, write them with `state` (as Arrow columns, which may be kept), and let [`total`] and
//! [`mean`] compute results from states. States form a group: the state of a multiset is the sum of the states of its
//! rows, and a row that leaves is added with the weight -1. What does not fit its result type is an error of the result
//! alone (22003), never of the state, so it goes when its cause does.

mod exact_sum;
mod interval_sum;
mod result;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Decimal128Array, Decimal256Array, Int64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, IntervalMonthDayNanoType};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Float64Type, Int64Type, IntervalUnit, i256};

use crate::types::{Diff, Error, Result, Stamps};

pub use exact_sum::ExactSum;
pub use interval_sum::IntervalSum;
pub use result::{Outcome, mean, total};

/// Decimals of up to this many digits are summed in 128 bits: 2^63 of them fit.
const NARROW_DIGITS: u8 = 18;

/// What an accumulator adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accumulates {
    /// How many there are.
    Count,
    /// Integers, and decimals of few digits: exact in 128 bits. `scale` counts the digits after the point.
    Integer {
        scale: i8,
    },
    /// Decimals, in 256 bits.
    Decimal {
        scale: i8,
    },
    Float,
    Interval,
}

impl Accumulates {
    /// How values of a type are summed, if they are.
    pub fn sum_of(values: &DataType) -> Result<Accumulates> {
        match values {
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => Ok(Accumulates::Integer { scale: *scale }),
            DataType::Decimal128(digits, scale) if *digits <= NARROW_DIGITS => {
                Ok(Accumulates::Integer { scale: *scale })
            }
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
                Ok(Accumulates::Decimal { scale: *scale })
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Ok(Accumulates::Float),
            DataType::Interval(IntervalUnit::MonthDayNano) => Ok(Accumulates::Interval),
            integer if integer.is_integer() => Ok(Accumulates::Integer { scale: 0 }),
            other => Err(Error::unsupported(format!("values of type {other} have no sum"))),
        }
    }

    /// The columns of a state.
    pub fn state_types(&self) -> Vec<DataType> {
        match self {
            Accumulates::Count => vec![DataType::Int64],
            Accumulates::Integer { scale } => vec![DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale)],
            Accumulates::Decimal { scale } => vec![DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale)],
            Accumulates::Float => vec![DataType::Binary],
            Accumulates::Interval => {
                vec![DataType::Int64, DataType::Int64, DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0)]
            }
        }
    }
}

/// One state per group.
#[derive(Clone, Debug)]
pub struct Accumulator {
    accumulates: Accumulates,
    states: States,
}

#[derive(Clone, Debug)]
enum States {
    Count(Vec<i64>),
    Integer(Vec<i128>),
    Decimal(Vec<i256>),
    Float(Vec<ExactSum>),
    Interval(Vec<IntervalSum>),
}

impl Accumulator {
    pub fn new(accumulates: Accumulates) -> Self {
        let states = match accumulates {
            Accumulates::Count => States::Count(vec![]),
            Accumulates::Integer { .. } => States::Integer(vec![]),
            Accumulates::Decimal { .. } => States::Decimal(vec![]),
            Accumulates::Float => States::Float(vec![]),
            Accumulates::Interval => States::Interval(vec![]),
        };
        Accumulator { accumulates, states }
    }

    pub fn accumulates(&self) -> Accumulates {
        self.accumulates
    }

    /// Makes room for groups `0..groups`; new ones have accumulated nothing.
    pub fn resize(&mut self, groups: usize) {
        match &mut self.states {
            States::Count(states) => states.resize(groups, 0),
            States::Integer(states) => states.resize(groups, 0),
            States::Decimal(states) => states.resize(groups, i256::ZERO),
            States::Float(states) => states.resize(groups, ExactSum::default()),
            States::Interval(states) => states.resize(groups, IntervalSum::default()),
        }
    }

    /// Adds `values[row]`, `weights.get(row)` times, to group `groups[row]`. The weight of a NULL must be 0. A count needs
    /// no values.
    pub fn update(&mut self, groups: &[u32], values: Option<&ArrayRef>, weights: &Stamps<Diff>) -> Result<()> {
        let values = || values.ok_or_else(|| Error::internal("a sum without an argument"));
        match &mut self.states {
            States::Count(states) => each(groups, weights, |group, _, weight| states[group] += weight),
            States::Integer(states) => match values()?.data_type() {
                DataType::Decimal128(_, _) => {
                    let values = values()?.as_primitive::<Decimal128Type>().values();
                    each(groups, weights, |group, row, weight| states[group] += values[row] * weight as i128)
                }
                DataType::UInt64 | DataType::Decimal32(_, _) | DataType::Decimal64(_, _) => {
                    let values = cast(values()?, &self.accumulates.state_types()[0])?;
                    let values = values.as_primitive::<Decimal128Type>().values();
                    each(groups, weights, |group, row, weight| states[group] += values[row] * weight as i128)
                }
                _ => {
                    let values = cast(values()?, &DataType::Int64)?;
                    let values = values.as_primitive::<Int64Type>().values();
                    each(groups, weights, |group, row, weight| states[group] += values[row] as i128 * weight as i128)
                }
            },
            States::Decimal(states) => match values()?.data_type() {
                DataType::Decimal128(_, _) => {
                    let values = values()?.as_primitive::<Decimal128Type>().values();
                    each(groups, weights, |group, row, weight| {
                        states[group] = plus(states[group], i256::from_i128(values[row]), weight)
                    })
                }
                _ => {
                    let values = values()?.as_primitive::<Decimal256Type>().values();
                    each(groups, weights, |group, row, weight| states[group] = plus(states[group], values[row], weight))
                }
            },
            States::Float(states) => {
                let values = cast(values()?, &DataType::Float64)?;
                let values = values.as_primitive::<Float64Type>().values();
                each(groups, weights, |group, row, weight| states[group].add_times(values[row], weight))
            }
            States::Interval(states) => {
                let values = values()?.as_primitive::<IntervalMonthDayNanoType>().values();
                each(groups, weights, |group, row, weight| states[group].add_times(values[row], weight))
            }
        }
        Ok(())
    }

    /// Adds the state in row `row` of `columns` to group `groups[row]`.
    pub fn merge(&mut self, groups: &[u32], columns: &[ArrayRef]) {
        let groups = groups.iter().map(|&group| group as usize).enumerate();
        match &mut self.states {
            States::Count(states) => {
                let more = columns[0].as_primitive::<Int64Type>().values();
                groups.for_each(|(row, group)| states[group] += more[row]);
            }
            States::Integer(states) => {
                let more = columns[0].as_primitive::<Decimal128Type>().values();
                groups.for_each(|(row, group)| states[group] += more[row]);
            }
            States::Decimal(states) => {
                let more = columns[0].as_primitive::<Decimal256Type>().values();
                groups.for_each(|(row, group)| states[group] = states[group].wrapping_add(more[row]));
            }
            States::Float(states) => {
                let more = columns[0].as_binary::<i32>();
                groups.for_each(|(row, group)| states[group].merge(&ExactSum::from_bytes(more.value(row))));
            }
            States::Interval(states) => {
                let more = interval_states(columns);
                groups.for_each(|(row, group)| states[group].merge(&more(row)));
            }
        }
    }

    /// The states as columns, one row per group; the same states write the same bytes.
    pub fn state(&self) -> Vec<ArrayRef> {
        match &self.states {
            States::Count(states) => vec![Arc::new(Int64Array::from_iter_values(states.iter().copied()))],
            States::Integer(states) => {
                let array = Decimal128Array::from_iter_values(states.iter().copied());
                vec![Arc::new(array.with_data_type(self.accumulates.state_types().remove(0)))]
            }
            States::Decimal(states) => {
                let array = Decimal256Array::from_iter_values(states.iter().copied());
                vec![Arc::new(array.with_data_type(self.accumulates.state_types().remove(0)))]
            }
            States::Float(states) => vec![Arc::new(float_states(states))],
            States::Interval(states) => vec![
                Arc::new(Int64Array::from_iter_values(states.iter().map(|state| state.months))),
                Arc::new(Int64Array::from_iter_values(states.iter().map(|state| state.days))),
                Arc::new(
                    Decimal128Array::from_iter_values(states.iter().map(|state| state.nanoseconds))
                        .with_data_type(self.accumulates.state_types().remove(2)),
                ),
            ],
        }
    }

    /// Sets `nonzero[group]` for every group whose state is not that of no rows.
    pub fn mark_nonzero(&self, nonzero: &mut [bool]) {
        let marks = nonzero.iter_mut();
        match &self.states {
            States::Count(states) => marks.zip(states).for_each(|(mark, state)| *mark |= *state != 0),
            States::Integer(states) => marks.zip(states).for_each(|(mark, state)| *mark |= *state != 0),
            States::Decimal(states) => marks.zip(states).for_each(|(mark, state)| *mark |= *state != i256::ZERO),
            States::Float(states) => marks.zip(states).for_each(|(mark, state)| *mark |= !state.is_zero()),
            States::Interval(states) => {
                marks.zip(states).for_each(|(mark, state)| *mark |= *state != IntervalSum::default())
            }
        }
    }
}

/// Calls `f(group, row, weight)` for every row that counts.
#[inline]
pub fn each(groups: &[u32], weights: &Stamps<Diff>, mut f: impl FnMut(usize, usize, Diff)) {
    match weights {
        Stamps::Same(0) => {}
        // Nearly always: the compiler leaves the multiplication out.
        Stamps::Same(1) => groups.iter().enumerate().for_each(|(row, &group)| f(group as usize, row, 1)),
        Stamps::Same(weight) => groups.iter().enumerate().for_each(|(row, &group)| f(group as usize, row, *weight)),
        Stamps::Each(weights) => {
            for (row, (&group, &weight)) in groups.iter().zip(weights.iter()).enumerate() {
                if weight != 0 {
                    f(group as usize, row, weight);
                }
            }
        }
    }
}

/// Sums of 256 bits wrap around: wrong while they do, right again when the cause is gone.
fn plus(sum: i256, value: i256, times: Diff) -> i256 {
    match times {
        1 => sum.wrapping_add(value),
        -1 => sum.wrapping_sub(value),
        _ => sum.wrapping_add(value.wrapping_mul(i256::from_i128(times as i128))),
    }
}

fn float_states(states: &[ExactSum]) -> BinaryArray {
    let mut builder = BinaryBuilder::with_capacity(states.len(), states.len() * 20);
    let mut bytes = vec![];
    for state in states {
        bytes.clear();
        state.to_bytes(&mut bytes);
        builder.append_value(&bytes);
    }
    builder.finish()
}

/// Reads the three columns of interval states.
fn interval_states(columns: &[ArrayRef]) -> impl Fn(usize) -> IntervalSum {
    let months = columns[0].as_primitive::<Int64Type>().values();
    let days = columns[1].as_primitive::<Int64Type>().values();
    let nanoseconds = columns[2].as_primitive::<Decimal128Type>().values();
    move |row| IntervalSum { months: months[row], days: days[row], nanoseconds: nanoseconds[row] }
}

/// How often each row counts: its diff, and nothing where the argument is NULL or the filter is not true.
pub fn weights(
    rows: usize,
    diffs: &Stamps<Diff>,
    argument: Option<&ArrayRef>,
    filter: Option<&ArrayRef>,
) -> Stamps<Diff> {
    let argument = argument.filter(|argument| argument.is_nullable());
    if argument.is_none() && filter.is_none() {
        return diffs.clone();
    }
    let nulls = argument.and_then(|argument| argument.logical_nulls());
    let filter = filter.map(|filter| filter.as_boolean());
    let counts = |row: usize| {
        let present = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        present && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
    };
    Stamps::Each((0..rows).map(|row| if counts(row) { diffs.get(row) } else { 0 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array};

    #[test]
    fn states_are_added_and_taken_away() {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(5), None, Some(7), Some(i32::MAX)]));
        let weights = weights(4, &Stamps::Each(vec![1, 1, 2, 1].into()), Some(&values), None);
        let mut sums = Accumulator::new(Accumulates::sum_of(values.data_type()).unwrap());
        sums.resize(2);
        sums.update(&[0, 0, 1, 1], Some(&values), &weights).unwrap();
        let state = sums.state();
        assert_eq!(state[0].as_primitive::<Decimal128Type>().values(), &[5, 14 + i32::MAX as i128]);
        sums.update(&[0, 0, 1, 1], Some(&values), &weights.map(|weight| -weight)).unwrap();
        let mut nonzero = [false; 2];
        sums.mark_nonzero(&mut nonzero);
        assert_eq!(nonzero, [false; 2]);
        sums.merge(&[1, 0], &state);
        assert_eq!(sums.state()[0].as_primitive::<Decimal128Type>().values(), &[14 + i32::MAX as i128, 5]);
    }

    #[test]
    fn float_states_survive_as_columns() {
        let values: ArrayRef = Arc::new(Float64Array::from(vec![0.1, 0.2, 1e300]));
        let mut sums = Accumulator::new(Accumulates::Float);
        sums.resize(1);
        sums.update(&[0, 0, 0], Some(&values), &Stamps::Same(1)).unwrap();
        let mut copy = Accumulator::new(Accumulates::Float);
        copy.resize(1);
        copy.merge(&[0], &sums.state());
        copy.update(&[0], Some(&values.slice(2, 1)), &Stamps::Same(-1)).unwrap();
        let result = total(Accumulates::Float, &copy.state(), &Int64Array::from(vec![2]), &DataType::Float64);
        assert_eq!(result.values.as_primitive::<Float64Type>().value(0), 0.1 + 0.2);
    }

    #[test]
    fn rows_count_unless_null_or_filtered() {
        let argument: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
        let filter: ArrayRef = Arc::new(arrow::array::BooleanArray::from(vec![Some(true), Some(true), None]));
        let rows = weights(3, &Stamps::Same(2), Some(&argument), Some(&filter));
        assert_eq!(rows, Stamps::Each(vec![2, 0, 0].into()));
        assert_eq!(weights(3, &Stamps::Same(2), None, None), Stamps::Same(2));
    }
}
