//! date_trunc and date_bin: the start of the span of time that a moment is in.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::extract::day_of_week;
use crate::sql::function::arithmetic::out_of_range;
use crate::sql::function::definition::{Call, Function, Overload};
use crate::sql::function::value::{Timestamp, map2, map3};
use crate::types::SqlType::{self, Interval, Text, Timestamptz};
use crate::types::text::{Clock, MICROS_PER_DAY, Zone, days_of_date};
use crate::types::{Error, Result, SqlState};

pub fn functions() -> Vec<Function> {
    let stamp = SqlType::Timestamp;
    vec![
        Function::new(
            "date_trunc",
            vec![
                Overload::of([Text, stamp.clone()], stamp.clone(), |call| {
                    map2(call, |unit: &str, moment: Timestamp| {
                        truncate(unit, moment.0, "timestamp without time zone").map(Timestamp)
                    })
                }),
                Overload::of([Text, Timestamptz], Timestamptz, |call| {
                    let zone = call.zone()?;
                    map2(call, |unit: &str, moment: Timestamp| truncate_in_zone(unit, moment.0, &zone).map(Timestamp))
                }),
                Overload::of([Text, Timestamptz, Text], Timestamptz, |call| {
                    map3(call, |unit: &str, moment: Timestamp, zone: &str| {
                        truncate_in_zone(unit, moment.0, &Zone::of_posix(zone)?).map(Timestamp)
                    })
                }),
                Overload::of([Text, Interval], Interval, |call| map2(call, truncate_interval)),
            ],
        ),
        Function::new(
            "date_bin",
            [stamp, Timestamptz].map(|t| Overload::of([Interval, t.clone(), t.clone()], t, bin)).to_vec(),
        ),
    ]
}

fn is_infinite(micros: i64) -> bool {
    micros == i64::MAX || micros == i64::MIN
}

fn truncate_in_zone(unit: &str, instant: i64, zone: &Zone) -> Result<i64> {
    if is_infinite(instant) {
        return Ok(instant);
    }
    Ok(zone.instant_of_local(truncate(unit, zone.local_of_instant(instant), "timestamp with time zone")?))
}

fn unknown_unit(unit: &str, type_name: &str) -> Error {
    let message = format!("unit \"{unit}\" not recognized for type {type_name}");
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// The last multiple of some microseconds.
fn multiple(micros: i64, unit: i64) -> i64 {
    micros - micros.rem_euclid(unit)
}

fn truncate(unit: &str, micros: i64, type_name: &str) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    let clock = Clock::of_micros(micros);
    let start = |year: i64, month: u32| Ok(days_of_date(year, month, 1) * MICROS_PER_DAY);
    let year = clock.year;
    match unit.to_ascii_lowercase().as_str() {
        "microseconds" | "microsecond" => Ok(micros),
        "milliseconds" | "millisecond" => Ok(multiple(micros, 1000)),
        "second" | "seconds" => Ok(multiple(micros, 1_000_000)),
        "minute" | "minutes" => Ok(multiple(micros, 60_000_000)),
        "hour" | "hours" => Ok(multiple(micros, 3_600_000_000)),
        "day" | "days" => Ok(clock.days * MICROS_PER_DAY),
        "week" | "weeks" => Ok((clock.days - (day_of_week(clock.days) + 6) % 7) * MICROS_PER_DAY),
        "month" | "months" => start(year, clock.month),
        "quarter" => start(year, (clock.month - 1) / 3 * 3 + 1),
        "year" | "years" => start(year, 1),
        "decade" | "decades" => start(year.div_euclid(10) * 10, 1),
        "century" | "centuries" => start((year - 1).div_euclid(100) * 100 + 1, 1),
        "millennium" | "millennia" => start((year - 1).div_euclid(1000) * 1000 + 1, 1),
        _ => Err(unknown_unit(unit, type_name)),
    }
}

fn truncate_interval(unit: &str, interval: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    let time = |unit: i64| Ok(IntervalMonthDayNano::new(months, days, nanoseconds / unit * unit));
    let date = |unit: i32| Ok(IntervalMonthDayNano::new(months / unit * unit, 0, 0));
    match unit.to_ascii_lowercase().as_str() {
        "microseconds" | "microsecond" => time(1000),
        "milliseconds" | "millisecond" => time(1_000_000),
        "second" | "seconds" => time(1_000_000_000),
        "minute" | "minutes" => time(60_000_000_000),
        "hour" | "hours" => time(3_600_000_000_000),
        "day" | "days" => Ok(IntervalMonthDayNano::new(months, days, 0)),
        "month" | "months" => date(1),
        "quarter" => date(3),
        "year" | "years" => date(12),
        "decade" | "decades" => date(120),
        "century" | "centuries" => date(1200),
        "millennium" | "millennia" => date(12_000),
        "week" | "weeks" => Err(Error::unsupported("unit \"week\" not supported for type interval")
            .with_detail("Months usually have fractional weeks.")),
        _ => Err(unknown_unit(unit, "interval")),
    }
}

fn bin(call: &Call) -> Result<ArrayRef> {
    map3(call, |stride: IntervalMonthDayNano, moment: Timestamp, origin: Timestamp| {
        if stride.months != 0 {
            let message = "timestamps cannot be binned into intervals containing months or years";
            return Err(Error::unsupported(message));
        }
        let micros = i64::from(stride.days) * MICROS_PER_DAY + stride.nanoseconds / 1000;
        if micros <= 0 {
            let message = "stride must be greater than zero";
            return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message));
        }
        if is_infinite(moment.0) {
            return Ok(moment);
        }
        let since = moment.0.checked_sub(origin.0).ok_or_else(|| out_of_range("interval"))?;
        Ok(Timestamp(moment.0 - since.rem_euclid(micros)))
    })
}
