//! Session settings: what SET, SHOW and startup parameters name.

use std::collections::BTreeMap;

use crate::catalog::is_system_schema;
use crate::types::{Error, Result, SqlState};

/// Whether a setting can be changed, and what values it takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bool,
    Integer,
    /// Milliseconds, or a number with a unit.
    Duration,
    TimeZone,
    Isolation,
    SynchronousCommit,
    /// Only this value is taken (in any case), since nothing else would be true.
    Only(&'static str),
    /// What the server is; can't be set.
    Fixed,
}

/// One setting.
struct Setting {
    name: &'static str,
    kind: Kind,
    default: &'static str,
    /// Clients are told its value at the start and when it changes (ParameterStatus).
    reported: bool,
}

const fn setting(name: &'static str, kind: Kind, default: &'static str) -> Setting {
    Setting { name, kind, default, reported: false }
}

const fn reported(name: &'static str, kind: Kind, default: &'static str) -> Setting {
    Setting { name, kind, default, reported: true }
}

/// The version of PostgreSQL whose catalogs clients may expect, and whose SQL we mean.
pub const SERVER_VERSION: &str = concat!("15.0 (Millrace ", env!("CARGO_PKG_VERSION"), ")");

/// Every setting there is. Names are matched without regard to case, and shown as written here.
const SETTINGS: &[Setting] = &[
    reported("application_name", Kind::Text, ""),
    setting("bytea_output", Kind::Only("hex"), "hex"),
    setting("check_function_bodies", Kind::Bool, "on"),
    reported("client_encoding", Kind::Only("UTF8"), "UTF8"),
    setting("client_min_messages", Kind::Text, "notice"),
    reported("DateStyle", Kind::Only("ISO, MDY"), "ISO, MDY"),
    setting("default_transaction_isolation", Kind::Isolation, "strict serializable"),
    setting("default_transaction_read_only", Kind::Bool, "off"),
    setting("escape_string_warning", Kind::Bool, "on"),
    setting("extra_float_digits", Kind::Integer, "1"),
    setting("idle_in_transaction_session_timeout", Kind::Duration, "0"),
    reported("in_hot_standby", Kind::Fixed, "off"),
    reported("integer_datetimes", Kind::Fixed, "on"),
    reported("IntervalStyle", Kind::Only("postgres"), "postgres"),
    reported("is_superuser", Kind::Fixed, "on"),
    setting("jit", Kind::Bool, "off"),
    setting("lc_collate", Kind::Fixed, "C"),
    setting("lc_ctype", Kind::Fixed, "C"),
    setting("lc_messages", Kind::Text, "C"),
    setting("lock_timeout", Kind::Duration, "0"),
    setting("max_identifier_length", Kind::Fixed, "63"),
    setting("max_index_keys", Kind::Fixed, "32"),
    setting("row_security", Kind::Bool, "on"),
    setting("search_path", Kind::Text, "\"$user\", public"),
    reported("server_encoding", Kind::Fixed, "UTF8"),
    reported("server_version", Kind::Fixed, SERVER_VERSION),
    setting("server_version_num", Kind::Fixed, "150000"),
    reported("session_authorization", Kind::Text, "millrace"),
    reported("standard_conforming_strings", Kind::Only("on"), "on"),
    setting("statement_timeout", Kind::Duration, "0"),
    setting("synchronous_commit", Kind::SynchronousCommit, "on"),
    reported("TimeZone", Kind::TimeZone, "UTC"),
    setting("transaction_isolation", Kind::Isolation, "strict serializable"),
    setting("transaction_read_only", Kind::Bool, "off"),
    setting("xmloption", Kind::Text, "content"),
];

/// The settings of one session.
#[derive(Clone)]
pub struct Settings {
    /// By the setting's own name; only what differs from the default.
    values: BTreeMap<&'static str, String>,
    /// What RESET goes back to: the startup parameters.
    initial: BTreeMap<&'static str, String>,
    unreported: Vec<&'static str>,
    /// What SET LOCAL has covered until the transaction ends.
    covered: BTreeMap<&'static str, Option<String>>,
}

impl Settings {
    /// The defaults, then what the client asked for when it connected.
    pub fn new(startup: &[(String, String)]) -> Result<Self> {
        let unreported = SETTINGS.iter().filter(|setting| setting.reported).map(|setting| setting.name).collect();
        let mut settings =
            Settings { values: BTreeMap::new(), initial: BTreeMap::new(), unreported, covered: BTreeMap::new() };
        for (name, value) in startup {
            settings.set(name, value)?;
        }
        settings.initial = settings.values.clone();
        Ok(settings)
    }

    /// The value as SHOW prints it.
    pub fn show(&self, name: &str) -> Result<&str> {
        let setting = find(name)?;
        match self.values.get(setting.name) {
            Some(value) => Ok(value),
            // A transaction that does not say gets the session's.
            None if setting.name == "transaction_isolation" => self.show("default_transaction_isolation"),
            None => Ok(setting.default),
        }
    }

    /// A setting that is known to exist.
    fn get(&self, name: &str) -> &str {
        self.show(name).expect("a name from the table above")
    }

    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let setting = find(name)?;
        let value = setting.check(value)?;
        self.put(setting, Some(value));
        Ok(())
    }

    /// SET LOCAL: the value comes back when the transaction ends.
    pub fn set_local(&mut self, name: &str, value: &str) -> Result<()> {
        let setting = find(name)?;
        let before = self.values.get(setting.name).cloned();
        self.set(name, value)?;
        self.covered.entry(setting.name).or_insert(before);
        Ok(())
    }

    /// Undoes SET LOCAL, and after a rollback everything that was set since `before`.
    pub fn end_transaction(&mut self, before: Settings, committed: bool) {
        let restored = match committed {
            true => std::mem::take(&mut self.covered),
            false => SETTINGS.iter().map(|setting| (setting.name, before.values.get(setting.name).cloned())).collect(),
        };
        self.covered.clear();
        for (name, value) in restored {
            let setting = find(name).expect("a name from the table above");
            self.put(setting, value);
        }
    }

    /// Back to what it was when the client connected.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        let setting = find(name)?;
        let initial = self.initial.get(setting.name).cloned();
        self.put(setting, initial);
        Ok(())
    }

    pub fn reset_all(&mut self) {
        for setting in SETTINGS.iter().filter(|setting| setting.kind != Kind::Fixed) {
            let initial = self.initial.get(setting.name).cloned();
            self.put(setting, initial);
        }
    }

    fn put(&mut self, setting: &Setting, value: Option<String>) {
        let before = self.get(setting.name).to_string();
        match value {
            Some(value) => self.values.insert(setting.name, value),
            None => self.values.remove(setting.name),
        };
        if setting.reported && self.get(setting.name) != before && !self.unreported.contains(&setting.name) {
            self.unreported.push(setting.name);
        }
    }

    /// What clients must be told since the last call.
    pub fn take_unreported(&mut self) -> Vec<(String, String)> {
        let names = std::mem::take(&mut self.unreported);
        names.into_iter().map(|name| (name.to_string(), self.get(name).to_string())).collect()
    }

    /// Every setting with its value, in order of name.
    pub fn all(&self) -> Vec<(String, String)> {
        SETTINGS.iter().map(|setting| (setting.name.to_string(), self.get(setting.name).to_string())).collect()
    }

    /// The schemas in which unqualified names are looked for.
    pub fn search_path(&self, user: &str) -> Vec<String> {
        let parts = self.get("search_path").split(',').map(|part| part.trim());
        // The default role has the name of a system schema, which is not meant.
        let own = if is_system_schema(user) { "" } else { user };
        let schemas = parts.map(|part| match part.strip_prefix('"').and_then(|part| part.strip_suffix('"')) {
            Some("$user") => own.to_string(),
            Some(quoted) => quoted.replace("\"\"", "\""),
            None if part == "$user" => own.to_string(),
            None => part.to_lowercase(),
        });
        schemas.filter(|schema| !schema.is_empty()).collect()
    }

    pub fn time_zone(&self) -> &str {
        self.get("TimeZone")
    }

    /// Whether a commit is acknowledged only when it is on the disk.
    pub fn waits_for_disk(&self) -> bool {
        self.get("synchronous_commit") != "off"
    }

    /// Whether reads see everything that was acknowledged, or what is complete without waiting.
    pub fn strict(&self) -> bool {
        self.get("transaction_isolation") != "serializable"
    }
}

impl Setting {
    /// The value as it will be shown, or why it can't be.
    fn check(&self, value: &str) -> Result<String> {
        let invalid = || {
            let message = format!("invalid value for parameter \"{}\": \"{value}\"", self.name);
            Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        };
        match self.kind {
            Kind::Text => Ok(value.to_string()),
            Kind::Bool => parse_bool(value).map(|on| if on { "on" } else { "off" }.to_string()).ok_or_else(invalid),
            Kind::Integer => value.trim().parse::<i64>().map(|number| number.to_string()).map_err(|_| invalid()),
            Kind::Duration => parse_millis(value).map(|millis| millis.to_string()).ok_or_else(invalid),
            Kind::TimeZone => parse_time_zone(value).ok_or_else(invalid),
            Kind::Isolation => parse_isolation(value).map(str::to_string).ok_or_else(invalid),
            Kind::SynchronousCommit => parse_synchronous_commit(value).ok_or_else(invalid),
            Kind::Only(only) => accepts_only(only, value).then(|| only.to_string()).ok_or_else(|| {
                let hint = format!("Only \"{only}\" is supported.");
                Error::unsupported(format!("parameter \"{}\" cannot be set to \"{value}\"", self.name)).with_hint(hint)
            }),
            Kind::Fixed => {
                let message = format!("parameter \"{}\" cannot be changed", self.name);
                Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message))
            }
        }
    }
}

fn find(name: &str) -> Result<&'static Setting> {
    let setting = SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name));
    setting.ok_or_else(|| {
        let message = format!("unrecognized configuration parameter \"{name}\"");
        Error::new(SqlState::UNDEFINED_OBJECT, message)
    })
}

fn parse_bool(value: &str) -> Option<bool> {
    match value.to_lowercase().as_str() {
        "on" | "true" | "t" | "yes" | "y" | "1" => Some(true),
        "off" | "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// `1500`, `'1500ms'`, `'30 s'`, `'5min'`, `'1h'`, `'1d'`.
fn parse_millis(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u64 = value[..digits].parse().ok()?;
    let unit = match value[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// An IANA name or a fixed offset (`+02:00`; hours alone, as PostgreSQL takes them, become one).
fn parse_time_zone(value: &str) -> Option<String> {
    if value.eq_ignore_ascii_case("utc") || value.eq_ignore_ascii_case("default") || value.eq_ignore_ascii_case("gmt") {
        return Some("UTC".to_string());
    }
    let candidate = match value.parse::<i32>() {
        Ok(hours) if hours.abs() <= 15 => format!("{hours:+03}:00"),
        _ => value.to_string(),
    };
    let known: std::result::Result<arrow::array::timezone::Tz, _> = candidate.parse();
    known.is_ok().then_some(candidate)
}

/// PostgreSQL's levels are all taken; whatever is weaker than what we do is read as what we do.
fn parse_isolation(value: &str) -> Option<&'static str> {
    match value.to_lowercase().as_str() {
        "serializable" => Some("serializable"),
        "strict serializable" | "repeatable read" | "read committed" | "read uncommitted" => {
            Some("strict serializable")
        }
        _ => None,
    }
}

/// There are no replicas, so all that wait for one mean the disk.
fn parse_synchronous_commit(value: &str) -> Option<String> {
    match value.to_lowercase().as_str() {
        kind @ ("local" | "remote_write" | "remote_apply") => Some(kind.to_string()),
        other => parse_bool(other).map(|on| if on { "on" } else { "off" }.to_string()),
    }
}

fn accepts_only(only: &str, value: &str) -> bool {
    let plain = |text: &str| text.to_lowercase().replace([' ', '-', '\'', '"'], "");
    let (only, value) = (plain(only), plain(value));
    // DateStyle takes a part of its value too; UTF8 is also called unicode.
    value == only || value == "unicode" && only == "utf8" || only.split(',').any(|part| part == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_shown_and_reported() {
        let mut settings = Settings::new(&[("TimeZone".into(), "Europe/Berlin".into())]).unwrap();
        assert!(settings.take_unreported().contains(&("TimeZone".into(), "Europe/Berlin".into())));
        settings.set("timezone", "5").unwrap();
        assert_eq!(settings.take_unreported(), [("TimeZone".into(), "+05:00".into())]);
        settings.reset("TIMEZONE").unwrap();
        assert_eq!(settings.show("timezone").unwrap(), "Europe/Berlin");
        settings.set("statement_timeout", "2 s").unwrap();
        assert_eq!(settings.show("statement_timeout").unwrap(), "2000");
        assert_eq!(settings.set("statement_timeout", "soon").unwrap_err().state(), SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(settings.set("nosuch", "1").unwrap_err().state(), SqlState::UNDEFINED_OBJECT);
        assert_eq!(settings.set("server_version", "1").unwrap_err().state(), SqlState::CANT_CHANGE_RUNTIME_PARAM);
        settings.set("DateStyle", "iso").unwrap();
        settings.set("client_encoding", "utf-8").unwrap();
        assert_eq!(settings.set("client_encoding", "latin1").unwrap_err().state(), SqlState::FEATURE_NOT_SUPPORTED);
    }

    #[test]
    fn search_path_names_the_user_and_unquotes() {
        let mut settings = Settings::new(&[]).unwrap();
        assert_eq!(settings.search_path("me"), ["me", "public"]);
        settings.set("search_path", "A, \"B\"").unwrap();
        assert_eq!(settings.search_path("me"), ["a", "B"]);
    }
}
