//! Reads options one by one, and refuses at the end those that nobody asked for.

use std::time::Duration;

use super::declaration::OptionMap;
use crate::types::{Error, Result, SqlState};

/// The options of one thing; `of` is how messages call it.
pub struct Options<'a> {
    of: &'static str,
    given: &'a OptionMap,
    known: Vec<&'static str>,
}

impl<'a> Options<'a> {
    pub fn new(of: &'static str, given: &'a OptionMap) -> Self {
        Options { of, given, known: Vec::new() }
    }

    pub fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        self.given.get(name).map(String::as_str)
    }

    pub fn required(&mut self, name: &'static str) -> Result<&'a str> {
        let given = self.text(name).filter(|value| !value.is_empty());
        given.ok_or_else(|| {
            let message = format!("{} needs the option {}", self.of, name.to_uppercase());
            Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        })
    }

    pub fn count(&mut self, name: &'static str) -> Result<Option<u64>> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let parsed = value.trim().parse::<i64>().ok().and_then(|number| u64::try_from(number).ok());
        parsed.map(Some).ok_or_else(|| invalid(name, value).with_hint("It is a whole number, zero or more."))
    }

    /// An interval in words: a number and one of us, ms, s, min, h.
    pub fn duration(&mut self, name: &'static str) -> Result<Option<Duration>> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let hint = "It is a number and a unit, greater than zero: '100ms', '2 seconds', '1 min'.";
        parse_duration(value).map(Some).ok_or_else(|| invalid(name, value).with_hint(hint))
    }

    /// Every option that was given must have been asked for by now.
    pub fn finish(self) -> Result<()> {
        let Some(unknown) = self.given.keys().find(|name| !self.known.contains(&name.as_str())) else {
            return Ok(());
        };
        let message = format!("{} has no option {}", self.of, unknown.to_uppercase());
        let known: Vec<String> = self.known.iter().map(|name| name.to_uppercase()).collect();
        let hint = match known.is_empty() {
            true => "It has no options.".to_string(),
            false => format!("The options are: {}.", known.join(", ")),
        };
        Err(Error::new(SqlState::SYNTAX_ERROR, message).with_hint(hint))
    }
}

/// The error for a value that an option can't have.
pub fn invalid(name: &str, value: &str) -> Error {
    let message = format!("invalid value for the option {}: \"{value}\"", name.to_uppercase());
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok().filter(|&number| number > 0)?;
    let unit_micros = match text[digits..].trim().to_lowercase().as_str() {
        "us" | "microsecond" | "microseconds" => 1,
        "ms" | "millisecond" | "milliseconds" => 1_000,
        "s" | "sec" | "second" | "seconds" => 1_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000,
        "h" | "hour" | "hours" => 3_600_000_000,
        _ => return None,
    };
    number.checked_mul(unit_micros).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration(" 2 Seconds "), Some(Duration::from_secs(2)));
        for wrong in ["", "5", "0s", "-1s", "1.5s", "1 fortnight"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_unknown_option_is_refused_with_the_known_ones() {
        let given = OptionMap::from([("topic".to_string(), "t".to_string()), ("tpoic".to_string(), "t".to_string())]);
        let mut options = Options::new("a KAFKA source", &given);
        assert_eq!(options.required("topic").unwrap(), "t");
        assert_eq!(options.text("start"), None);
        let error = options.finish().unwrap_err();
        assert_eq!(error.state(), SqlState::SYNTAX_ERROR);
        assert_eq!(error.message(), "a KAFKA source has no option TPOIC");
        assert_eq!(error.hint(), Some("The options are: TOPIC, START."));
    }
}
