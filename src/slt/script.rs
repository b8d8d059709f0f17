//! A sqllogictest file as a list of steps.
//!
//! The `sqllogictest` crate does the parsing; what it takes for errors in public files is cleaned away before, line by
//! line, so that line numbers stay those of the file.

use std::path::Path;
use std::time::Duration;

use sqllogictest::{
    Condition, Connection, Control, DefaultColumnType, QueryExpect, Record, ResultMode, RetryConfig, SortMode,
    StatementExpect,
};

use super::sql;
use crate::types::{Error, Result};

/// One thing to do, at a line of the file.
#[derive(Clone, Debug)]
pub struct Step {
    pub line: usize,
    pub conditions: Vec<Condition>,
    pub connection: Option<String>,
    pub action: Action,
    pub retry: Option<RetryConfig>,
}

#[derive(Clone, Debug)]
pub enum Action {
    Statement { sql: String, expected: StatementExpect },
    Query { sql: String, expected: QueryExpect<DefaultColumnType>, sort: SortMode },
    System { command: String },
    Sleep(Duration),
}

/// How a file writes the rows that it expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A row a line, values as the server prints them, separated by a space.
    Rows,
    /// sqlite's: a value a line, printed by the column's type letter, or a hash of all of them.
    Values,
}

#[derive(Clone, Debug)]
pub struct Script {
    pub name: String,
    pub text: String,
    pub style: Style,
    pub steps: Vec<Step>,
}

impl Script {
    pub fn read(path: &Path) -> Result<Script> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Error::internal(format!("{name}: {error}")))?;
        Script::parse(name, text)
    }

    pub fn parse(name: String, text: String) -> Result<Script> {
        let cleaned = clean(&text);
        let records = sqllogictest::parse_with_name::<DefaultColumnType>(&cleaned, name.clone())
            .map_err(|error| Error::internal(error.to_string()))?;
        let mut script = Script { name, text, style: Style::Rows, steps: Vec::new() };
        let mut sort = SortMode::NoSort;
        let mut substitute = false;
        for record in records {
            match record {
                Record::HashThreshold { .. } => script.style = Style::Values,
                Record::Control(Control::ResultMode(ResultMode::ValueWise)) => script.style = Style::Values,
                Record::Control(Control::SortMode(mode)) => sort = mode,
                Record::Control(Control::Substitution(on)) => substitute = on,
                Record::Halt { .. } => break,
                Record::Include { .. } | Record::Let { .. } => {
                    return Err(Error::internal(format!("{}: include and let are not supported", script.name)));
                }
                other => script.steps.extend(step(other, sort, substitute)?),
            }
        }
        Ok(script)
    }
}

impl Script {
    /// The SQL of the one query that is selected, or of none.
    pub fn sql(&self, selected: &[usize]) -> &str {
        match selected {
            [step] => match &self.steps[*step].action {
                Action::Query { sql, .. } | Action::Statement { sql, .. } => sql,
                Action::System { .. } | Action::Sleep(_) => "",
            },
            _ => "",
        }
    }
}

fn step(record: Record<DefaultColumnType>, sort: SortMode, substitute: bool) -> Result<Option<Step>> {
    let fill = |text: String| if substitute { substituted(&text) } else { Ok(text) };
    Ok(Some(match record {
        Record::Statement { loc, conditions, connection, sql, expected, retry } => {
            let sql = fill(sql)?;
            // A SELECT that must fail is a query to us: as a view it must fail in the same way.
            let action = match expected {
                StatementExpect::Error(expected) if sql::is_query(&sql) => {
                    Action::Query { sql, expected: QueryExpect::Error(expected), sort }
                }
                expected => Action::Statement { sql, expected },
            };
            Step { line: loc.line() as usize, conditions, connection: name(connection), action, retry }
        }
        Record::Query { loc, conditions, connection, sql, expected, retry } => {
            let own = match &expected {
                QueryExpect::Results { sort_mode, .. } => *sort_mode,
                QueryExpect::Error(_) => None,
            };
            let action = Action::Query { sql: fill(sql)?, expected, sort: own.unwrap_or(sort) };
            Step { line: loc.line() as usize, conditions, connection: name(connection), action, retry }
        }
        Record::System { loc, conditions, command, retry, .. } => {
            let action = Action::System { command: fill(command)? };
            Step { line: loc.line() as usize, conditions, connection: None, action, retry }
        }
        Record::Sleep { loc, duration } => {
            let action = Action::Sleep(duration);
            Step { line: loc.line() as usize, conditions: Vec::new(), connection: None, action, retry: None }
        }
        _ => return Ok(None),
    }))
}

impl Step {
    /// Whether the step is to be run where these labels hold.
    pub fn applies(&self, labels: &[&str]) -> bool {
        self.conditions.iter().all(|condition| match condition {
            Condition::OnlyIf { label } => labels.contains(&label.as_str()),
            Condition::SkipIf { label } => !labels.contains(&label.as_str()),
        })
    }

    /// Whether this asks and changes nothing; an INSERT with RETURNING gives rows and is no query.
    pub fn is_query(&self) -> bool {
        matches!(&self.action, Action::Query { sql, .. } if sql::is_query(sql))
    }
}

fn name(connection: Connection) -> Option<String> {
    match connection {
        Connection::Default => None,
        Connection::Named(name) => Some(name),
    }
}

/// Replaces `${NAME}` by the environment's value. `${RUN}` is left: it is another word for every run of the file; so is
/// what is no plain name, which is the shell's.
fn substituted(text: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(end) = rest[start..].find('}') else { break };
        let (whole, name) = (&rest[start..=start + end], &rest[start + 2..start + end]);
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        out.push_str(&rest[..start]);
        if is_name && name != "RUN" {
            out.push_str(&std::env::var(name).map_err(|_| missing(name))?);
        } else {
            out.push_str(whole);
        }
        rest = &rest[start + end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn missing(name: &str) -> Error {
    Error::internal(format!("the environment variable {name} is not set"))
        .with_hint("`make test` starts the servers that such files need; see scripts/test.")
}

/// What may stand behind a directive that the crate does not expect there is taken away. `skipif postgresql` with
/// the remark that it "requires AS" goes altogether: PostgreSQL has not required it for long.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at_directive = true;
    for line in text.lines() {
        if line.trim().is_empty() {
            at_directive = true;
        } else if at_directive && !line.starts_with('#') {
            let (directive, remark) = line.split_once('#').unwrap_or((line, ""));
            let first = directive.split_whitespace().next().unwrap_or_default();
            let is_condition = matches!(first, "skipif" | "onlyif");
            let stays = is_condition || matches!(first, "control" | "connection" | "hash-threshold" | "halt");
            at_directive = stays;
            if is_condition && directive.trim_end().ends_with("postgresql") && remark.contains("requires AS") {
                out.push('#');
            } else if stays {
                out.push_str(directive.trim_end());
            } else {
                out.push_str(line.trim_end());
            }
            out.push('\n');
            continue;
        }
        out.push_str(if line.trim().is_empty() { "" } else { line });
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_behind_directives_are_cleaned_and_lines_stay() {
        let text = "hash-threshold 8\n\nonlyif mysql # DIV\nquery I rowsort label-1\nSELECT 1 # 2\n----\n1\n\n\
                    skipif postgresql # PostgreSQL requires AS when renaming output columns\nquery I\nSELECT 1\n----\n1\n";
        let script = Script::parse("t".to_string(), text.to_string()).unwrap();
        assert_eq!(script.style, Style::Values);
        assert_eq!(script.steps.iter().map(|step| step.line).collect::<Vec<_>>(), [4, 10]);
        assert!(!script.steps[0].applies(&["postgresql"]));
        assert!(script.steps[1].applies(&["postgresql"]));
        let Action::Query { sql, .. } = &script.steps[0].action else { panic!("a query") };
        assert_eq!(sql, "SELECT 1 # 2");
    }

    #[test]
    fn a_select_that_must_fail_is_a_query() {
        let script = Script::parse("t".to_string(), "statement error (22012)\nSELECT 1/0\n".to_string()).unwrap();
        assert!(script.steps[0].is_query());
    }

    #[test]
    fn the_environment_is_substituted() {
        assert!(substituted("x ${MILLRACE_NOT_SET_ANYWHERE} y").is_err());
        assert_eq!(substituted("t_${RUN}").unwrap(), "t_${RUN}");
    }
}
