//! make_date, make_time, make_timestamp, make_interval, and timestamps from seconds.

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::IntervalMonthDayNano;

use crate::sql::function::arithmetic::checked_interval;
use crate::sql::function::definition::{Call, Function, Gives, Overload, Parameter};
use crate::sql::function::value::{Date, Input, Output, Time, Timestamp, map1, map3};
use crate::types::SqlType::{self, Float8, Int4, Interval, Text, Timestamptz};
use crate::types::text::{MICROS_PER_DAY, Zone, days_in_month, days_of_date};
use crate::types::{Error, Result, SqlState};

pub fn functions() -> Vec<Function> {
    let six = || [Int4, Int4, Int4, Int4, Int4, Float8];
    let fields = [Int4, Int4, Int4, Int4, Int4, Int4, Float8];
    // Fields that are not given count 0.
    let spans = (0..=fields.len()).map(|given| {
        Overload::new(fields[..given].iter().cloned().map(Parameter::Is), Gives::Is(Interval), make_interval)
    });
    let spans = spans.collect();
    vec![
        Function::new("make_date", vec![Overload::of([Int4, Int4, Int4], SqlType::Date, |call| map3(call, make_date))]),
        Function::new(
            "make_time",
            vec![Overload::of([Int4, Int4, Float8], SqlType::Time, |call| map3(call, make_time))],
        ),
        Function::new(
            "make_timestamp",
            vec![Overload::of(six(), SqlType::Timestamp, |call| make_timestamp(call, None))],
        ),
        Function::new(
            "make_timestamptz",
            vec![
                Overload::of(six(), Timestamptz, |call| make_timestamp(call, Some(call.zone()?))),
                Overload::of([Int4, Int4, Int4, Int4, Int4, Float8, Text], Timestamptz, |call| {
                    make_timestamp(call, None)
                }),
            ],
        ),
        Function::new("make_interval", spans),
        Function::new(
            "to_timestamp",
            [
                vec![Overload::of([Float8], Timestamptz, |call| map1(call, of_seconds))],
                super::pattern::to_timestamp_overloads(),
            ]
            .concat(),
        ),
    ]
}

/// A negative year is BC; there is no year 0.
fn make_date(year: i32, month: i32, day: i32) -> Result<Date> {
    let message = format!("date field value out of range: {year}-{month:02}-{day:02}");
    let astronomical = if year < 0 { i64::from(year) + 1 } else { i64::from(year) };
    let month = u32::try_from(month).ok().filter(|month| (1..=12).contains(month));
    let found = month.and_then(|month| {
        let day = u32::try_from(day).ok().filter(|day| (1..=days_in_month(astronomical, month)).contains(day))?;
        (year != 0).then(|| days_of_date(astronomical, month, day))
    });
    let days = found.and_then(|days| i32::try_from(days).ok());
    days.map(Date).ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message))
}

fn make_time(hour: i32, minute: i32, second: f64) -> Result<Time> {
    let valid = (0..=23).contains(&hour) && (0..=59).contains(&minute) && (0.0..=60.0).contains(&second);
    let error = || {
        let message = format!("time field value out of range: {hour}:{minute:02}:{second}");
        Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
    };
    let micros = i64::from(hour * 60 + minute) * 60_000_000 + (second * 1e6).round_ties_even() as i64;
    Some(Time(micros)).filter(|time| valid && time.0 <= MICROS_PER_DAY).ok_or_else(error)
}

fn make_timestamp(call: &Call, session: Option<Zone>) -> Result<ArrayRef> {
    let integer = |place: usize, row: usize| i32::of(call.array(place), row);
    let rows = (0..call.rows).map(|row| {
        if call.arrays().iter().any(|array| array.is_null(row)) {
            return Ok(None);
        }
        let Date(days) = make_date(integer(0, row), integer(1, row), integer(2, row))?;
        let Time(micros) = make_time(integer(3, row), integer(4, row), f64::of(call.array(5), row))?;
        let local = i64::from(days) * MICROS_PER_DAY + micros;
        let zone = match call.arrays().get(6) {
            Some(names) => Some(Zone::of_name(<&str>::of(names, row))?),
            None => session,
        };
        Ok(Some(Timestamp(zone.map_or(local, |zone| zone.instant_of_local(local)))))
    });
    Ok(Timestamp::column(rows.collect::<Result<Vec<_>>>()?, call.result))
}

/// Years, months, weeks, days, hours, minutes, seconds; what is not given is 0.
fn make_interval(call: &Call) -> Result<ArrayRef> {
    let rows = (0..call.rows).map(|row| {
        if call.arrays().iter().any(|array| array.is_null(row)) {
            return Ok(None);
        }
        let integer = |place: usize| match call.arrays().get(place) {
            Some(values) if place < 6 => i32::of(values, row),
            _ => 0,
        };
        let seconds = call.arrays().get(6).map_or(0.0, |seconds| f64::of(seconds, row));
        let months = integer(0).checked_mul(12).and_then(|months| months.checked_add(integer(1)));
        let days = integer(2).checked_mul(7).and_then(|days| days.checked_add(integer(3)));
        let minutes = i64::from(integer(4)) * 60 + i64::from(integer(5));
        let micros = (seconds * 1e6).round_ties_even() as i64;
        let nanoseconds =
            minutes.checked_mul(60_000_000).and_then(|m| m.checked_add(micros)).and_then(|m| m.checked_mul(1000));
        checked_interval(months, days, nanoseconds).map(Some)
    });
    Ok(IntervalMonthDayNano::column(rows.collect::<Result<Vec<_>>>()?, call.result))
}

fn of_seconds(seconds: f64) -> Result<Timestamp> {
    match seconds {
        f64::INFINITY => Ok(Timestamp(i64::MAX)),
        f64::NEG_INFINITY => Ok(Timestamp(i64::MIN)),
        _ if seconds.is_nan() => Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp cannot be NaN")),
        _ if !(-210_866_803_200.0..9_223_372_036_854.0).contains(&seconds) => {
            let message = format!("timestamp out of range: \"{seconds}\"");
            Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message))
        }
        _ => Ok(Timestamp((seconds * 1e6).round_ties_even() as i64)),
    }
}
