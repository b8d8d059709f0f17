//! now() and its kin: the time of the query, which the planner puts in their place before anything is evaluated.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Volatility;

use super::definition::{Call, Function, Gives, Overload};
use crate::types::SqlType::{self, Date, Time, Timestamp, Timestamptz};
use crate::types::text::{MICROS_PER_DAY, Zone};
use crate::types::{Error, Result};

/// Every function of the kind, and its type.
const CLOCKS: &[(&str, SqlType)] = &[
    ("now", Timestamptz),
    ("current_timestamp", Timestamptz),
    ("transaction_timestamp", Timestamptz),
    ("statement_timestamp", Timestamptz),
    ("clock_timestamp", Timestamptz),
    ("localtimestamp", Timestamp),
    ("current_date", Date),
    ("localtime", Time),
    ("current_time", Time),
];

pub fn functions() -> Vec<Function> {
    let function = |(name, gives): &(&'static str, SqlType)| {
        let overload = Overload::new([], Gives::Is(gives.clone()), not_substituted);
        Function::new(name, vec![overload]).volatility(Volatility::Stable)
    };
    CLOCKS.iter().map(function).collect()
}

/// What a function of this name gives when it is `now` (microseconds since the epoch); None if it is no clock.
pub fn clock_value(name: &str, now: u64, zone: &Zone) -> Option<ScalarValue> {
    let (_, gives) = CLOCKS.iter().find(|(clock, _)| *clock == name)?;
    let instant = now as i64;
    let local = zone.local_of_instant(instant);
    Some(match gives {
        Timestamptz => ScalarValue::TimestampMicrosecond(Some(instant), Some(Arc::from("UTC"))),
        Timestamp => ScalarValue::TimestampMicrosecond(Some(local), None),
        Date => ScalarValue::Date32(Some(local.div_euclid(MICROS_PER_DAY) as i32)),
        _ => ScalarValue::Time64Microsecond(Some(local.rem_euclid(MICROS_PER_DAY))),
    })
}

fn not_substituted(_: &Call) -> Result<ArrayRef> {
    Err(Error::unsupported("the current time is not known here")
        .with_hint("now() and its kin are allowed where a query has one time, as in a plain SELECT."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_the_zones() {
        let tokyo = Zone::of_name("Asia/Tokyo").expect("a zone");
        let late = 20 * 3_600_000_000;
        assert_eq!(clock_value("current_date", late, &tokyo), Some(ScalarValue::Date32(Some(1))));
        assert_eq!(clock_value("current_date", late, &Zone::UTC), Some(ScalarValue::Date32(Some(0))));
        assert_eq!(clock_value("lower", late, &Zone::UTC), None);
    }
}
