//! Figures on their way to the reader: tables for people, tables in Markdown for a page, or JSON lines at once.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::types::{Error, Result};

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Table,
    Markdown,
    /// One object a line, as soon as there is one.
    Json,
}

/// Rows of named figures, in tables.
pub struct Report {
    style: Style,
    rows: Vec<Row>,
}

/// Figures in the order in which they are printed, which a JSON map would not keep.
struct Row(Vec<(String, Value)>);

impl Report {
    pub fn new(style: Style) -> Self {
        Report { style, rows: Vec::new() }
    }

    /// One row; rows of one table have the same names.
    pub fn row(&mut self, figures: Vec<(&'static str, Value)>) {
        self.add(Row(figures.into_iter().map(|(name, value)| (name.to_string(), value)).collect()));
    }

    /// A row that another process printed as JSON.
    pub fn pass_on(&mut self, line: &str) -> Result<()> {
        let row = serde_json::from_str(line);
        self.add(row.map_err(|error| Error::internal(format!("not a row of figures: {error}: {line}")))?);
        Ok(())
    }

    fn add(&mut self, row: Row) {
        if self.style == Style::Json {
            return println!("{}", row.json());
        }
        eprintln!("{}", row.line());
        self.rows.push(row);
    }

    /// Prints the table of what has come since the last one, under a title if it has one.
    pub fn table(&mut self, title: &str) {
        let rows = std::mem::take(&mut self.rows);
        let Some(first) = rows.first() else { return };
        let names: Vec<String> = first.0.iter().map(|(name, _)| name.clone()).collect();
        let mut lines = vec![names.clone()];
        lines.extend(rows.iter().map(|row| names.iter().map(|name| row.cell(name)).collect()));
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..names.len()).map(width).collect();
        if !title.is_empty() {
            println!("\n### {title}\n");
        }
        for (place, line) in lines.iter().enumerate() {
            self.print(line, &widths);
            if place == 0 && self.style == Style::Markdown {
                println!("|{}", widths.iter().map(|width| format!("{}:|", "-".repeat(width + 1))).collect::<String>());
            }
        }
    }

    fn print(&self, cells: &[String], widths: &[usize]) {
        let cells = cells.iter().zip(widths).map(|(cell, &width)| format!("{cell:>width$}")).collect::<Vec<_>>();
        match self.style {
            Style::Markdown => println!("| {} |", cells.join(" | ")),
            _ => println!("{}", cells.join("  ")),
        }
    }
}

impl Row {
    fn json(&self) -> String {
        let fields = self.0.iter().map(|(name, value)| format!("{}:{value}", json!(name)));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }

    fn line(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" ")
    }

    fn cell(&self, name: &str) -> String {
        self.0.iter().find(|(found, _)| found == name).map_or_else(String::new, |(_, value)| text(value))
    }
}

impl<'a> Deserialize<'a> for Row {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(InOrder)
    }
}

/// Reads an object's fields in the order in which they are written.
struct InOrder;

impl<'a> Visitor<'a> for InOrder {
    type Value = Row;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Row, M::Error> {
        let mut figures = Vec::new();
        while let Some(figure) = map.next_entry()? {
            figures.push(figure);
        }
        Ok(Row(figures))
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() => format!("{float:.3}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}
