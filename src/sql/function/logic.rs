//! Functions that only our own rules call: lazy AND and OR (see [`crate::sql::coerce::guard`]), and what comparisons need.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::compute::{and_kleene, cast, or_kleene};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano};

use super::definition::{Call, Function, Overload};
use super::value::{Unscaled, map1};
use crate::types::SqlType::{Bool, Char, Int2, Interval, Text};
use crate::types::{Result, SqlType};

/// PostgreSQL compares intervals with months of 30 days and days of 24 hours.
const DAYS_PER_MONTH: i128 = 30;
const NANOS_PER_DAY: i128 = 86_400_000_000_000;

pub fn internal() -> Vec<Function> {
    let length = SqlType::Numeric(Some((38, 0)));
    vec![
        Function::new("both", vec![Overload::of([Bool, Bool], Int2, both).not_strict()]).infallible(),
        Function::new("either", vec![Overload::of([Bool, Bool], Int2, either).not_strict()]).infallible(),
        Function::new("truth", vec![Overload::of([Int2], Bool, truth)]).infallible(),
        Function::new("interval_length", vec![Overload::of([Interval], length, interval_length)]).infallible(),
        Function::new("unpadded", vec![Overload::of([Char(1)], Text, unpadded), Overload::of([Text], Text, unpadded)])
            .infallible(),
    ]
}

fn both(call: &Call) -> Result<ArrayRef> {
    Ok(cast(&and_kleene(call.array(0).as_boolean(), call.array(1).as_boolean())?, &DataType::Int16)?)
}

fn either(call: &Call) -> Result<ArrayRef> {
    Ok(cast(&or_kleene(call.array(0).as_boolean(), call.array(1).as_boolean())?, &DataType::Int16)?)
}

fn truth(call: &Call) -> Result<ArrayRef> {
    let numbers = call.array(0).as_primitive::<datafusion::arrow::datatypes::Int16Type>();
    Ok(Arc::new(BooleanArray::from_unary(numbers, |number| number != 0)))
}

/// The whole length in nanoseconds.
pub fn length_of(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * DAYS_PER_MONTH + i128::from(interval.days);
    days * NANOS_PER_DAY + i128::from(interval.nanoseconds)
}

fn interval_length(call: &Call) -> Result<ArrayRef> {
    map1(call, |interval: IntervalMonthDayNano| Ok(Unscaled(length_of(interval))))
}

fn unpadded(call: &Call) -> Result<ArrayRef> {
    map1(call, |text: &str| Ok(text.trim_end_matches(' ').to_string()))
}
