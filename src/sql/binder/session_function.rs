//! Functions whose value the session or the moment decides: they are constants of a plan.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};

use super::Binder;
use super::cast::explicit;
use super::function::Call;
use super::literal::string;
use crate::catalog::DATABASE;
use crate::sql::function::clock::clock_value;
use crate::sql::planned::SettingChange;
use crate::types::text::Zone;
use crate::types::{Error, Result, SqlState, SqlType};

/// What `server_version` says too: clients choose their catalog queries by it.
const VERSION: &str = "15.0";

impl Binder<'_> {
    /// The value of a function of the session, None for any other function.
    pub(super) fn session_function(&mut self, call: &Call) -> Result<Option<Expr>> {
        if call.arguments.is_empty()
            && let Some(value) = self.clock(call)?
        {
            return Ok(Some(value));
        }
        let value = match (call.name.as_str(), call.arguments.as_slice()) {
            ("current_user" | "session_user" | "user" | "current_role", []) => self.name(&self.context.user),
            ("current_database" | "current_catalog", []) => self.name(DATABASE),
            ("current_schema", []) => self.current_schema(),
            ("current_schemas", [Expr::Literal(ScalarValue::Boolean(Some(implicit)), _)]) => {
                let mut schemas = self.existing_schemas();
                if *implicit && !schemas.iter().any(|schema| schema == "pg_catalog") {
                    schemas.insert(0, "pg_catalog".into());
                }
                let array = format!("{{{}}}", schemas.join(","));
                explicit(string(&array), &SqlType::Array(Box::new(SqlType::Name)))
            }
            ("version", []) => explicit(
                string(&format!("PostgreSQL {VERSION} (Millrace {})", env!("CARGO_PKG_VERSION"))),
                &SqlType::Text,
            ),
            ("set_config", [name, value, Expr::Literal(ScalarValue::Boolean(Some(is_local)), _)]) => {
                self.set_config(name, value, *is_local)?
            }
            ("current_setting", [Expr::Literal(ScalarValue::Utf8(Some(name)), _)]) => {
                self.current_setting(name, false)?
            }
            (
                "current_setting",
                [
                    Expr::Literal(ScalarValue::Utf8(Some(name)), _),
                    Expr::Literal(ScalarValue::Boolean(Some(missing)), _),
                ],
            ) => self.current_setting(name, *missing)?,
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    pub(super) fn current_schema(&self) -> Expr {
        match self.existing_schemas().first() {
            Some(schema) => self.name(schema),
            None => explicit(Expr::Literal(ScalarValue::Null, None), &SqlType::Name),
        }
    }

    fn name(&self, value: &str) -> Expr {
        explicit(string(value), &SqlType::Name)
    }

    /// now() and its kin; None for any other function.
    fn clock(&mut self, call: &Call) -> Result<Option<Expr>> {
        let zone = Zone::of_name(&self.context.time_zone)?;
        // Any time serves to ask whether it is a clock.
        let Some(value) = clock_value(&call.name, self.context.now.unwrap_or(0), &zone) else {
            return Ok(None);
        };
        self.volatile.insert(call.name.clone());
        match self.context.now {
            Some(_) => Ok(Some(lit(value))),
            None => Err(Error::unsupported(format!("{}() is not supported in a view yet", call.name))
                .with_detail("The view's rows would have to change as time goes by.")
                .at(call.position)),
        }
    }

    fn existing_schemas(&self) -> Vec<String> {
        let known =
            |schema: &&String| self.catalog.schema(schema).is_some() || crate::catalog::is_system_schema(schema);
        self.search_path.iter().filter(known).cloned().collect()
    }

    /// Notes what is to be set when the query runs; its value is what is set.
    fn set_config(&mut self, name: &Expr, value: &Expr, is_local: bool) -> Result<Expr> {
        let [name, value] = [name, value].map(|text| self.parameters.decide(text.clone(), &SqlType::Text));
        let is_constant = |text: &Expr| match text {
            Expr::Cast(cast) => matches!(*cast.expr, Expr::Literal(..)),
            other => matches!(other, Expr::Literal(..) | Expr::Placeholder(_)),
        };
        if !is_constant(&name) || !is_constant(&value) {
            return Err(Error::unsupported("set_config() of what is no constant is not supported"));
        }
        self.volatile.insert("set_config".into());
        let [name, written] = [name, value.clone()].map(|text| match text {
            Expr::Cast(cast) => *cast.expr,
            other => other,
        });
        self.settings.push(SettingChange { name, value: written, is_local });
        Ok(explicit(value, &SqlType::Text))
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
