//! AT TIME ZONE, which PostgreSQL plans as timezone(zone, moment).

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

use crate::sql::function::definition::{Call, Function, Overload};
use crate::sql::function::value::{Timestamp, map2};
use crate::types::SqlType::{self, Interval, Text, Timestamptz};
use crate::types::text::Zone;
use crate::types::{Error, Result, SqlState};

pub fn functions() -> Vec<Function> {
    let stamp = SqlType::Timestamp;
    vec![Function::new(
        "timezone",
        vec![
            Overload::of([Text, Timestamptz], stamp.clone(), |call| {
                by_name(call, |zone, micros| zone.local_of_instant(micros))
            }),
            Overload::of([Text, stamp.clone()], Timestamptz, |call| {
                by_name(call, |zone, micros| zone.instant_of_local(micros))
            }),
            Overload::of([Interval, Timestamptz], stamp.clone(), |call| {
                by_offset(call, |zone, micros| zone.local_of_instant(micros))
            }),
            Overload::of([Interval, stamp], Timestamptz, |call| {
                by_offset(call, |zone, micros| zone.instant_of_local(micros))
            }),
        ],
    )]
}

fn shifted(zone: &Zone, moment: Timestamp, shift: fn(&Zone, i64) -> i64) -> Timestamp {
    match moment.0 {
        i64::MAX | i64::MIN => moment,
        micros => Timestamp(shift(zone, micros)),
    }
}

fn by_name(call: &Call, shift: fn(&Zone, i64) -> i64) -> Result<ArrayRef> {
    let last = std::cell::RefCell::new(None::<(String, Zone)>);
    map2(call, |name: &str, moment: Timestamp| {
        let known = last.borrow().as_ref().filter(|(known, _)| known == name).map(|(_, zone)| *zone);
        let zone = match known {
            Some(zone) => zone,
            None => Zone::of_posix(name)?,
        };
        if known.is_none() {
            last.replace(Some((name.to_string(), zone)));
        }
        Ok(shifted(&zone, moment, shift))
    })
}

fn by_offset(call: &Call, shift: fn(&Zone, i64) -> i64) -> Result<ArrayRef> {
    map2(call, |offset: IntervalMonthDayNano, moment: Timestamp| {
        if offset.months != 0 || offset.days != 0 {
            let message = "interval time zone must not include months or days";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        Ok(shifted(&Zone::fixed((offset.nanoseconds / 1_000_000_000) as i32), moment, shift))
    })
}
