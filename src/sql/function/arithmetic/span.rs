//! Intervals: months, days and microseconds are kept apart, and fractions flow downwards.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

use crate::sql::function::arithmetic::float::division_by_zero;
use crate::sql::function::definition::Call;
use crate::sql::function::value::{map1, map2};
use crate::types::{Error, Result, SqlState};

const DAYS_PER_MONTH: f64 = 30.0;
const SECONDS_PER_DAY: f64 = 86_400.0;

pub fn checked_interval(
    months: Option<i32>,
    days: Option<i32>,
    nanoseconds: Option<i64>,
) -> Result<IntervalMonthDayNano> {
    match (months, days, nanoseconds) {
        (Some(months), Some(days), Some(nanoseconds)) => Ok(IntervalMonthDayNano::new(months, days, nanoseconds)),
        _ => Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")),
    }
}

pub fn add(call: &Call) -> Result<ArrayRef> {
    map2(call, |a: IntervalMonthDayNano, b: IntervalMonthDayNano| {
        checked_interval(
            a.months.checked_add(b.months),
            a.days.checked_add(b.days),
            a.nanoseconds.checked_add(b.nanoseconds),
        )
    })
}

pub fn subtract(call: &Call) -> Result<ArrayRef> {
    map2(call, |a: IntervalMonthDayNano, b: IntervalMonthDayNano| {
        checked_interval(
            a.months.checked_sub(b.months),
            a.days.checked_sub(b.days),
            a.nanoseconds.checked_sub(b.nanoseconds),
        )
    })
}

pub fn negate(call: &Call) -> Result<ArrayRef> {
    map1(call, |a: IntervalMonthDayNano| {
        checked_interval(a.months.checked_neg(), a.days.checked_neg(), a.nanoseconds.checked_neg())
    })
}

pub fn times(call: &Call) -> Result<ArrayRef> {
    map2(call, |span: IntervalMonthDayNano, factor: f64| multiply_interval(span, |part| part * factor))
}

pub fn times_swapped(call: &Call) -> Result<ArrayRef> {
    map2(call, |factor: f64, span: IntervalMonthDayNano| multiply_interval(span, |part| part * factor))
}

pub fn divided(call: &Call) -> Result<ArrayRef> {
    map2(call, |span: IntervalMonthDayNano, divisor: f64| match divisor {
        0.0 => Err(division_by_zero()),
        _ => multiply_interval(span, |part| part / divisor),
    })
}

/// Microseconds are all that is meant of a second.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round_ties_even() / 1e6
}

/// Scales each field; what is left of a month becomes days (of thirty), what is left of a day becomes time.
pub fn multiply_interval(span: IntervalMonthDayNano, scaled: impl Fn(f64) -> f64) -> Result<IntervalMonthDayNano> {
    let (months, days) = (scaled(f64::from(span.months)), scaled(f64::from(span.days)));
    let month_days = rounded((months - months.trunc()) * DAYS_PER_MONTH);
    let mut seconds = rounded((days - days.trunc() + month_days - month_days.trunc()) * SECONDS_PER_DAY);
    let mut whole_days = days.trunc() + month_days.trunc();
    if seconds.abs() >= SECONDS_PER_DAY {
        let carried = (seconds / SECONDS_PER_DAY).trunc();
        whole_days += carried;
        seconds -= carried * SECONDS_PER_DAY;
    }
    let micros = (scaled((span.nanoseconds / 1000) as f64) + seconds * 1e6).round_ties_even();
    let fits = |value: f64, limit: f64| value.is_finite() && value.abs() < limit;
    let field = |value: f64| fits(value, 2_147_483_648.0).then_some(value as i32);
    let nanoseconds = fits(micros, 9.2e15).then_some(micros as i64 * 1000);
    checked_interval(field(months.trunc()), field(whole_days), nanoseconds)
}
