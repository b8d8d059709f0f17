//! Writes the expected rows into a file, as a PostgreSQL gives them: expectations never come from our own output.

use std::collections::BTreeMap;

use sqllogictest::{ExpectedError, QueryExpect, StatementExpect};
use tokio_postgres::Config;
use tokio_postgres::types::Type;

use super::answer::printed;
use super::client::{Client, Refusal, Rows};
use super::script::{Action, Script};
use super::sql::{self, Order};
use crate::types::Result;

/// What PostgreSQL said to a query.
enum Told {
    Rows(Rows, Vec<Type>),
    Refused(Refusal),
}

/// The file's text with PostgreSQL's answers in it, and what it did not do as the file says. Records that are not for
/// PostgreSQL (`onlyif millrace`) stay as they are.
pub async fn rewrite(script: &Script, config: &Config, labels: &[&str]) -> Result<(String, Vec<String>)> {
    let mut clients: BTreeMap<Option<String>, Client> = BTreeMap::new();
    let mut told = BTreeMap::new();
    let mut complaints = Vec::new();
    for step in script.steps.iter().filter(|step| step.applies(labels)) {
        if !clients.contains_key(&step.connection) {
            clients.insert(step.connection.clone(), Client::connect(config).await?);
        }
        let client = &clients[&step.connection];
        let mut complain = |what: String| complaints.push(format!("{}:{}: {what}", script.name, step.line));
        match &step.action {
            Action::Query { sql, expected, .. } => {
                let reply = ask(client, sql).await?;
                match (expected, &reply) {
                    (QueryExpect::Error(_), Told::Rows(..)) => complain("PostgreSQL gives rows, no error".to_string()),
                    (QueryExpect::Results { .. }, Told::Refused(refusal)) => complain(refusal.to_string()),
                    _ => drop(told.insert(step.line, reply)),
                }
            }
            Action::Statement { sql, expected } => match (expected, client.run(sql).await?) {
                (StatementExpect::Error(ExpectedError::Empty | ExpectedError::SqlState(_)), Err(refusal)) => {
                    told.insert(step.line, Told::Refused(refusal));
                }
                (StatementExpect::Error(_), Ok(_)) => complain("PostgreSQL does it without an error".to_string()),
                (StatementExpect::Ok | StatementExpect::Count(_), Err(refusal)) => complain(refusal.to_string()),
                (StatementExpect::Count(expected), Ok(answer)) if answer.count != *expected => {
                    complain(format!("PostgreSQL counts {} rows", answer.count));
                }
                _ => {}
            },
            Action::System { .. } | Action::Sleep(_) => {}
        }
    }
    Ok((filled(&script.text, &told), complaints))
}

async fn ask(client: &Client, sql: &str) -> Result<Told> {
    let answer = match client.run(sql).await? {
        Ok(answer) => answer,
        Err(refusal) => return Ok(Told::Refused(refusal)),
    };
    // Only a query can be described without being run again.
    let types = if sql::is_query(sql) { client.describe(sql).await?.unwrap_or_default() } else { Vec::new() };
    Ok(Told::Rows(answer.rows, types))
}

/// The text with each told record written anew: its directive, its own SQL, and the answer.
fn filled(text: &str, told: &BTreeMap<usize, Told>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::with_capacity(text.len() * 2);
    let mut at = 0;
    while at < lines.len() {
        let Some(answer) = told.get(&(at + 1)) else {
            out.push_str(lines[at]);
            out.push('\n');
            at += 1;
            continue;
        };
        let end = lines[at..].iter().position(|line| line.trim().is_empty()).map_or(lines.len(), |length| at + length);
        let body = &lines[at + 1..end];
        let body = &body[..body.iter().position(|line| *line == "----").unwrap_or(body.len())];
        out.push_str(&record(lines[at], body, answer));
        at = end;
    }
    out
}

fn record(directive: &str, body: &[&str], answer: &Told) -> String {
    let sql = body.join("\n");
    let retry = directive.find(" retry ").map_or("", |place| &directive[place..]);
    match answer {
        Told::Refused(refusal) => {
            let word = directive.split_whitespace().next().unwrap_or("statement");
            format!("{word} error ({}){retry}\n{sql}\n", refusal.state)
        }
        Told::Rows(rows, types) => {
            let letters: String =
                if types.len() == rows.columns { types.iter().map(letter).collect() } else { "T".repeat(rows.columns) };
            let given = directive.split_whitespace().nth(2).filter(|word| word.ends_with("sort"));
            let sort = given.unwrap_or(if Order::of(&sql) == Order::Unordered { "rowsort" } else { "nosort" });
            let sort = if sort == "nosort" { String::new() } else { format!(" {sort}") };
            let mut values = printed(rows);
            if !sort.is_empty() {
                values.sort();
            }
            let values: String = values.iter().map(|line| format!("{line}\n")).collect();
            format!("query {letters}{sort}{retry}\n{sql}\n----\n{values}")
        }
    }
}

fn letter(of: &Type) -> char {
    match *of {
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => 'I',
        Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => 'R',
        _ => 'T',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_take_the_place_of_what_was_expected() {
        let text = "# c\nquery\nSELECT a\nFROM t\n\nquery I nosort\nSELECT 1\n----\n2\n\nstatement error\nSELEC\n";
        let rows = |value: &str| Rows { columns: 1, rows: vec![vec![Some(value.to_string())]] };
        let refusal = Refusal { state: "42601".to_string(), message: String::new() };
        let told = BTreeMap::from([
            (2, Told::Rows(rows("x"), vec![Type::TEXT])),
            (6, Told::Rows(rows("1"), vec![Type::INT4])),
            (11, Told::Refused(refusal)),
        ]);
        let expected = "# c\nquery T rowsort\nSELECT a\nFROM t\n----\nx\n\nquery I\nSELECT 1\n----\n1\n\n\
                        statement error (42601)\nSELEC\n";
        assert_eq!(filled(text, &told), expected);
    }
}
