//! Casts among dates, times and timestamps; between wall clock and instant lies the session's time zone.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Date32Array, IntervalMonthDayNanoArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{
    Date32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};

use super::kernel::cannot_cast;
use crate::types::text::{MICROS_PER_DAY, TextStyle, Zone};
use crate::types::{Error, Result, SqlState, SqlType};

pub fn cast_moment(array: &ArrayRef, from: &SqlType, to: &SqlType, style: &TextStyle) -> Result<ArrayRef> {
    use SqlType::*;
    let zone = Zone::of_name(&style.time_zone)?;
    let with_zone = |array: TimestampMicrosecondArray| Arc::new(array.with_timezone("UTC")) as ArrayRef;
    Ok(match (from, to) {
        (Date, Timestamp) => Arc::new(dates(array, |micros| micros)?),
        (Date, Timestamptz) => with_zone(dates(array, |micros| zone.instant_of_local(micros))?),
        (Timestamp, Timestamptz) => with_zone(moments(array, |micros| zone.instant_of_local(micros))),
        (Timestamptz, Timestamp) => Arc::new(moments(array, |micros| zone.local_of_instant(micros))),
        (Timestamp, Date) => Arc::new(days(array, |micros| micros)),
        (Timestamptz, Date) => Arc::new(days(array, |micros| zone.local_of_instant(micros))),
        (Timestamp, Time) => Arc::new(times(array, |micros| micros)),
        (Timestamptz, Time) => Arc::new(times(array, |micros| zone.local_of_instant(micros))),
        (Time, Interval) => {
            let values = array.as_primitive::<Time64MicrosecondType>();
            let cast: IntervalMonthDayNanoArray = values.unary(|micros| IntervalMonthDayNano::new(0, 0, micros * 1000));
            Arc::new(cast)
        }
        (Interval, Time) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>();
            let time = |value: IntervalMonthDayNano| (value.nanoseconds / 1000).rem_euclid(MICROS_PER_DAY);
            let cast: Time64MicrosecondArray = values.unary(time);
            Arc::new(cast)
        }
        (a, b) if a == b => array.clone(),
        _ => return Err(cannot_cast(from, to)),
    })
}

fn is_infinite(micros: i64) -> bool {
    micros == i64::MAX || micros == i64::MIN
}

fn dates(array: &ArrayRef, shift: impl Fn(i64) -> i64) -> Result<TimestampMicrosecondArray> {
    let micros = |days: i32| match days {
        i32::MAX => Ok(i64::MAX),
        i32::MIN => Ok(i64::MIN),
        _ => i64::from(days)
            .checked_mul(MICROS_PER_DAY)
            .map(&shift)
            .ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range for timestamp")),
    };
    array.as_primitive::<Date32Type>().try_unary::<_, TimestampMicrosecondType, Error>(micros)
}

fn moments(array: &ArrayRef, shift: impl Fn(i64) -> i64) -> TimestampMicrosecondArray {
    let shifted = |micros| if is_infinite(micros) { micros } else { shift(micros) };
    array.as_primitive::<TimestampMicrosecondType>().unary(shifted)
}

fn days(array: &ArrayRef, shift: impl Fn(i64) -> i64) -> Date32Array {
    array.as_primitive::<TimestampMicrosecondType>().unary(|micros| match micros {
        i64::MAX => i32::MAX,
        i64::MIN => i32::MIN,
        _ => shift(micros).div_euclid(MICROS_PER_DAY) as i32,
    })
}

fn times(array: &ArrayRef, shift: impl Fn(i64) -> i64) -> Time64MicrosecondArray {
    array.as_primitive::<TimestampMicrosecondType>().unary(|micros| shift(micros).rem_euclid(MICROS_PER_DAY))
}
