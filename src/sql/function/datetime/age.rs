//! age and justify_*: spans of time in years, months and days, as people count them.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use crate::sql::function::arithmetic::{checked_interval, out_of_range};
use crate::sql::function::definition::{Function, Overload};
use crate::sql::function::value::{Timestamp, map1, map2};
use crate::types::Result;
use crate::types::SqlType::{self, Interval, Timestamptz};
use crate::types::text::{Clock, MICROS_PER_DAY, days_in_month};

const NANOS_PER_DAY: i64 = MICROS_PER_DAY * 1000;
const DAYS_PER_MONTH: i32 = 30;

pub fn functions() -> Vec<Function> {
    let justify = |name, kernel| Function::new(name, vec![Overload::of([Interval], Interval, kernel)]);
    vec![
        Function::new(
            "age",
            vec![
                Overload::of([SqlType::Timestamp, SqlType::Timestamp], Interval, |call| {
                    map2(call, |later: Timestamp, earlier: Timestamp| age(later.0, earlier.0))
                }),
                Overload::of([Timestamptz, Timestamptz], Interval, |call| {
                    let zone = call.zone()?;
                    map2(call, |later: Timestamp, earlier: Timestamp| {
                        age(zone.local_of_instant(later.0), zone.local_of_instant(earlier.0))
                    })
                }),
            ],
        ),
        justify("justify_hours", |call| map1(call, justify_hours)),
        justify("justify_days", |call| map1(call, justify_days)),
        justify("justify_interval", |call| map1(call, justify_interval)),
    ]
}

/// Full years, months and days between two wall clocks; a day that is borrowed has the length of the earlier one's month.
fn age(later: i64, earlier: i64) -> Result<IntervalMonthDayNano> {
    if later < earlier {
        let IntervalMonthDayNano { months, days, nanoseconds } = age(earlier, later)?;
        return Ok(IntervalMonthDayNano::new(-months, -days, -nanoseconds));
    }
    if later == i64::MAX || earlier == i64::MIN {
        return Err(out_of_range("interval"));
    }
    let (to, from) = (Clock::of_micros(later), Clock::of_micros(earlier));
    let mut months = (to.year - from.year) * 12 + i64::from(to.month) - i64::from(from.month);
    let mut days = i64::from(to.day) - i64::from(from.day);
    let mut micros = to.micros - from.micros;
    if micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        days += i64::from(days_in_month(from.year, from.month));
        months -= 1;
    }
    checked_interval(i32::try_from(months).ok(), i32::try_from(days).ok(), micros.checked_mul(1000))
}

fn justify_hours(span: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    let carried = i32::try_from(span.nanoseconds / NANOS_PER_DAY).ok();
    let mut days = carried.and_then(|carried| span.days.checked_add(carried));
    let mut nanoseconds = span.nanoseconds % NANOS_PER_DAY;
    match days {
        Some(whole) if whole > 0 && nanoseconds < 0 => {
            nanoseconds += NANOS_PER_DAY;
            days = Some(whole - 1);
        }
        Some(whole) if whole < 0 && nanoseconds > 0 => {
            nanoseconds -= NANOS_PER_DAY;
            days = Some(whole + 1);
        }
        _ => {}
    }
    checked_interval(Some(span.months), days, Some(nanoseconds))
}

fn justify_days(span: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    let mut months = span.months.checked_add(span.days / DAYS_PER_MONTH);
    let mut days = span.days % DAYS_PER_MONTH;
    match months {
        Some(whole) if whole > 0 && days < 0 => {
            days += DAYS_PER_MONTH;
            months = Some(whole - 1);
        }
        Some(whole) if whole < 0 && days > 0 => {
            days -= DAYS_PER_MONTH;
            months = Some(whole + 1);
        }
        _ => {}
    }
    checked_interval(months, Some(days), Some(span.nanoseconds))
}

/// Both, and then all fields get one sign.
fn justify_interval(span: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    let IntervalMonthDayNano { mut months, mut days, mut nanoseconds } = justify_days(justify_hours(span)?)?;
    if months > 0 && (days < 0 || days == 0 && nanoseconds < 0) {
        days += DAYS_PER_MONTH;
        months -= 1;
    } else if months < 0 && (days > 0 || days == 0 && nanoseconds > 0) {
        days -= DAYS_PER_MONTH;
        months += 1;
    }
    if days > 0 && nanoseconds < 0 {
        nanoseconds += NANOS_PER_DAY;
        days -= 1;
    } else if days < 0 && nanoseconds > 0 {
        nanoseconds -= NANOS_PER_DAY;
        days += 1;
    }
    Ok(IntervalMonthDayNano::new(months, days, nanoseconds))
}
