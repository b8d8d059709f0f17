//! Functions whose value the session or the moment decides: they are constants of a plan.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use chrono::{DateTime, Offset, TimeZone};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};

use super::Binder;
use super::cast::explicit;
use super::function::Call;
use super::literal::string;
use crate::catalog::DATABASE;
use crate::types::{Error, Result, SqlState, SqlType};

/// What `server_version` says too: clients choose their catalog queries by it.
const VERSION: &str = "15.0";

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

impl Binder<'_> {
    /// The value of a function of the session, None for any other function.
    pub(super) fn session_function(&mut self, call: &Call) -> Result<Option<Expr>> {
        let value = match (call.name.as_str(), call.arguments.as_slice()) {
            (
                "now" | "current_timestamp" | "transaction_timestamp" | "statement_timestamp" | "clock_timestamp",
                [],
            ) => moment(self.now(call)?, &SqlType::Timestamptz),
            ("localtimestamp", []) => moment(self.local_now(call)?, &SqlType::Timestamp),
            ("current_date" | "today", []) => {
                let days = self.local_now(call)?.div_euclid(MICROS_PER_DAY);
                lit(ScalarValue::Date32(Some(days as i32)))
            }
            ("localtime" | "current_time", []) => {
                let micros = self.local_now(call)?.rem_euclid(MICROS_PER_DAY);
                lit(ScalarValue::Time64Microsecond(Some(micros)))
            }
            ("current_user" | "session_user" | "user" | "current_role", []) => self.name(&self.context.user),
            ("current_database" | "current_catalog", []) => self.name(DATABASE),
            ("current_schema", []) => match self.existing_schemas().first() {
                Some(schema) => self.name(schema),
                None => explicit(Expr::Literal(ScalarValue::Null, None), &SqlType::Name),
            },
            ("current_schemas", [Expr::Literal(ScalarValue::Boolean(Some(implicit)), _)]) => {
                let mut schemas = self.existing_schemas();
                if *implicit && !schemas.iter().any(|schema| schema == "pg_catalog") {
                    schemas.insert(0, "pg_catalog".into());
                }
                let array = format!("{{{}}}", schemas.join(","));
                explicit(string(&array), &SqlType::Array(Box::new(SqlType::Name)))
            }
            ("version", []) => {
                explicit(string(&format!("PostgreSQL {VERSION} (Millrace {})", env!("CARGO_PKG_VERSION"))), &SqlType::Text)
            }
            ("current_setting", [Expr::Literal(ScalarValue::Utf8(Some(name)), _)]) => self.current_setting(name, false)?,
            (
                "current_setting",
                [Expr::Literal(ScalarValue::Utf8(Some(name)), _), Expr::Literal(ScalarValue::Boolean(Some(missing)), _)],
            ) => self.current_setting(name, *missing)?,
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn name(&self, value: &str) -> Expr {
        explicit(string(value), &SqlType::Name)
    }

    /// Microseconds since the epoch, UTC.
    fn now(&mut self, call: &Call) -> Result<i64> {
        self.volatile.insert(call.name.clone());
        match self.context.now {
            Some(now) => Ok(now as i64),
            None => Err(Error::unsupported(format!("{}() is not supported in a view yet", call.name))
                .with_detail("The view's rows would have to change as time goes by.")
                .at(call.position)),
        }
    }

    /// The same on a clock in the session's time zone.
    fn local_now(&mut self, call: &Call) -> Result<i64> {
        let now = self.now(call)?;
        let zone = Tz::from_str(&self.context.time_zone).map_err(|_| {
            let message = format!("time zone \"{}\" not recognized", self.context.time_zone);
            Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        })?;
        let utc = DateTime::from_timestamp_micros(now).expect("a clock's time is a date").naive_utc();
        let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
        Ok(now + i64::from(offset) * MICROS_PER_SECOND)
    }

    fn existing_schemas(&self) -> Vec<String> {
        let known = |schema: &&String| {
            self.catalog.schema(schema).is_some() || crate::catalog::is_system_schema(schema)
        };
        self.search_path.iter().filter(known).cloned().collect()
    }

    fn current_setting(&self, name: &str, missing_ok: bool) -> Result<Expr> {
        let found = self.context.settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match found {
            Some((_, value)) => Ok(explicit(string(value), &SqlType::Text)),
            None if missing_ok => Ok(explicit(Expr::Literal(ScalarValue::Null, None), &SqlType::Text)),
            None => {
                let message = format!("unrecognized configuration parameter \"{name}\"");
                Err(Error::new(SqlState::UNDEFINED_OBJECT, message))
            }
        }
    }
}

fn moment(micros: i64, sql_type: &SqlType) -> Expr {
    let zone = match sql_type {
        SqlType::Timestamptz => Some("UTC".into()),
        _ => None,
    };
    lit(ScalarValue::TimestampMicrosecond(Some(micros), zone))
}
