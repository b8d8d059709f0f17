//! Dates, times and timestamps, with days and intervals added to them.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

use crate::sql::function::definition::Call;
use crate::sql::function::value::{Date, Time, Timestamp, map2};
use crate::types::text::{Clock, MICROS_PER_DAY, Zone, days_in_month, days_of_date};
use crate::types::{Error, Result, SqlState};

type Interval = IntervalMonthDayNano;

/// The last microsecond of 64 bits since 1970 stands for infinity. (PostgreSQL counts from 2000, so it ends 30 years later.)
const TIMESTAMP_END: i64 = i64::MAX;
/// 4714-11-24 BC, the first that it knows.
const TIMESTAMP_START: i64 = -210_866_803_200_000_000;

pub fn out_of_range(what: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

/// A timestamp within PostgreSQL's calendar.
pub fn checked_micros(micros: Option<i64>) -> Result<i64> {
    let known = micros.filter(|micros| (TIMESTAMP_START..TIMESTAMP_END).contains(micros));
    known.ok_or_else(|| out_of_range("timestamp"))
}

fn is_infinite(micros: i64) -> bool {
    micros == i64::MAX || micros == i64::MIN
}

/// The same time of day months later, on the month's last day if it has no such day.
pub fn add_months(micros: i64, months: i32) -> Result<i64> {
    if months == 0 {
        return Ok(micros);
    }
    let clock = Clock::of_micros(micros);
    let total = clock.year * 12 + i64::from(clock.month) - 1 + i64::from(months);
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    let day = clock.day.min(days_in_month(year, month));
    checked_micros(
        days_of_date(year, month, day).checked_mul(MICROS_PER_DAY).and_then(|date| date.checked_add(clock.micros)),
    )
}

/// Months first, then days, then time.
pub fn add_interval(micros: i64, interval: Interval) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    let later = add_months(micros, interval.months)?;
    let days = i64::from(interval.days) * MICROS_PER_DAY;
    checked_micros(later.checked_add(days).and_then(|later| later.checked_add(interval.nanoseconds / 1000)))
}

/// The same on a zone's wall clock: a day may have 23 or 25 hours.
pub fn add_interval_in_zone(instant: i64, interval: Interval, zone: &Zone) -> Result<i64> {
    if is_infinite(instant) {
        return Ok(instant);
    }
    let mut later = instant;
    if interval.months != 0 || interval.days != 0 {
        let date = Interval::new(interval.months, interval.days, 0);
        later = zone.instant_of_local(add_interval(zone.local_of_instant(instant), date)?);
    }
    checked_micros(later.checked_add(interval.nanoseconds / 1000))
}

fn negated(interval: Interval) -> Result<Interval> {
    let Interval { months, days, nanoseconds } = interval;
    super::checked_interval(months.checked_neg(), days.checked_neg(), nanoseconds.checked_neg())
}

fn date_micros(date: Date) -> Result<i64> {
    match date.0 {
        i32::MAX => Ok(i64::MAX),
        i32::MIN => Ok(i64::MIN),
        days => checked_micros(i64::from(days).checked_mul(MICROS_PER_DAY))
            .map_err(|_| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range for timestamp")),
    }
}

fn plus_days(date: Date, days: i32, sign: i64) -> Result<Date> {
    if date.0 == i32::MAX || date.0 == i32::MIN {
        return Ok(date);
    }
    let later = i64::from(date.0) + sign * i64::from(days);
    let known = i32::try_from(later).ok().filter(|days| (-2_440_588..2_145_042_541).contains(days));
    known.map(Date).ok_or_else(|| out_of_range("date"))
}

pub fn date_plus_days(call: &Call) -> Result<ArrayRef> {
    map2(call, |date: Date, days: i32| plus_days(date, days, 1))
}

pub fn days_plus_date(call: &Call) -> Result<ArrayRef> {
    map2(call, |days: i32, date: Date| plus_days(date, days, 1))
}

pub fn date_minus_days(call: &Call) -> Result<ArrayRef> {
    map2(call, |date: Date, days: i32| plus_days(date, days, -1))
}

pub fn date_minus_date(call: &Call) -> Result<ArrayRef> {
    map2(call, |left: Date, right: Date| {
        if [left.0, right.0].iter().any(|days| *days == i32::MAX || *days == i32::MIN) {
            return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite dates"));
        }
        left.0.checked_sub(right.0).ok_or_else(|| out_of_range("date"))
    })
}

pub fn date_plus_interval(call: &Call) -> Result<ArrayRef> {
    map2(call, |date: Date, interval: Interval| add_interval(date_micros(date)?, interval).map(Timestamp))
}

pub fn interval_plus_date(call: &Call) -> Result<ArrayRef> {
    map2(call, |interval: Interval, date: Date| add_interval(date_micros(date)?, interval).map(Timestamp))
}

pub fn date_minus_interval(call: &Call) -> Result<ArrayRef> {
    map2(call, |date: Date, interval: Interval| add_interval(date_micros(date)?, negated(interval)?).map(Timestamp))
}

pub fn date_plus_time(call: &Call) -> Result<ArrayRef> {
    map2(call, |date: Date, time: Time| checked_micros(date_micros(date)?.checked_add(time.0)).map(Timestamp))
}

pub fn time_plus_date(call: &Call) -> Result<ArrayRef> {
    map2(call, |time: Time, date: Date| checked_micros(date_micros(date)?.checked_add(time.0)).map(Timestamp))
}

pub fn timestamp_plus_interval(call: &Call) -> Result<ArrayRef> {
    map2(call, |moment: Timestamp, interval: Interval| add_interval(moment.0, interval).map(Timestamp))
}

pub fn interval_plus_timestamp(call: &Call) -> Result<ArrayRef> {
    map2(call, |interval: Interval, moment: Timestamp| add_interval(moment.0, interval).map(Timestamp))
}

pub fn timestamp_minus_interval(call: &Call) -> Result<ArrayRef> {
    map2(call, |moment: Timestamp, interval: Interval| add_interval(moment.0, negated(interval)?).map(Timestamp))
}

pub fn timestamptz_plus_interval(call: &Call) -> Result<ArrayRef> {
    let zone = call.zone()?;
    map2(call, |moment: Timestamp, interval: Interval| add_interval_in_zone(moment.0, interval, &zone).map(Timestamp))
}

pub fn interval_plus_timestamptz(call: &Call) -> Result<ArrayRef> {
    let zone = call.zone()?;
    map2(call, |interval: Interval, moment: Timestamp| add_interval_in_zone(moment.0, interval, &zone).map(Timestamp))
}

pub fn timestamptz_minus_interval(call: &Call) -> Result<ArrayRef> {
    let zone = call.zone()?;
    map2(call, |moment: Timestamp, interval: Interval| {
        add_interval_in_zone(moment.0, negated(interval)?, &zone).map(Timestamp)
    })
}

/// Days and time; months are never made of a difference.
pub fn subtract_moments(left: i64, right: i64) -> Result<Interval> {
    if is_infinite(left) || is_infinite(right) {
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite timestamps"));
    }
    let micros = left.checked_sub(right).ok_or_else(|| out_of_range("interval"))?;
    let days = i32::try_from(micros / MICROS_PER_DAY).ok();
    super::checked_interval(Some(0), days, Some(micros % MICROS_PER_DAY * 1000))
}

pub fn timestamp_minus_timestamp(call: &Call) -> Result<ArrayRef> {
    map2(call, |left: Timestamp, right: Timestamp| subtract_moments(left.0, right.0))
}

/// The clock goes round at midnight.
fn turned(time: Time, micros: i64) -> Time {
    Time((time.0 + micros % MICROS_PER_DAY).rem_euclid(MICROS_PER_DAY))
}

pub fn time_plus_interval(call: &Call) -> Result<ArrayRef> {
    map2(call, |time: Time, interval: Interval| Ok(turned(time, interval.nanoseconds / 1000)))
}

pub fn interval_plus_time(call: &Call) -> Result<ArrayRef> {
    map2(call, |interval: Interval, time: Time| Ok(turned(time, interval.nanoseconds / 1000)))
}

pub fn time_minus_interval(call: &Call) -> Result<ArrayRef> {
    map2(call, |time: Time, interval: Interval| Ok(turned(time, -(interval.nanoseconds / 1000))))
}

pub fn time_minus_time(call: &Call) -> Result<ArrayRef> {
    map2(call, |left: Time, right: Time| Ok(Interval::new(0, 0, (left.0 - right.0) * 1000)))
}
