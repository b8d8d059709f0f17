//! Figures on their way to the reader: a table at the end, or JSON lines at once.

use serde_json::{Map, Value};

/// Rows of named figures.
pub struct Report {
    json: bool,
    rows: Vec<Vec<(&'static str, Value)>>,
}

impl Report {
    pub fn new(json: bool) -> Self {
        Report { json, rows: Vec::new() }
    }

    /// One row; rows of one table have the same names.
    pub fn row(&mut self, figures: Vec<(&'static str, Value)>) {
        if self.json {
            let object: Map<String, Value> =
                figures.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
            println!("{}", Value::Object(object));
        } else {
            eprintln!("{}", line(&figures));
            self.rows.push(figures);
        }
    }

    /// Prints the table.
    pub fn finish(self) {
        let Some(first) = self.rows.first() else { return };
        let names: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
        let cells: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|(_, value)| text(value)).collect()).collect();
        let width = |column: usize| {
            let widest = cells.iter().filter_map(|row| row.get(column)).map(String::len).max();
            widest.unwrap_or(0).max(names[column].len())
        };
        let widths: Vec<usize> = (0..names.len()).map(width).collect();
        let print = |row: &[String]| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
            println!("{}", cells.collect::<Vec<_>>().join("  "));
        };
        print(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        cells.iter().for_each(|row| print(row));
    }
}

fn line(figures: &[(&'static str, Value)]) -> String {
    figures.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" ")
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() => format!("{float:.3}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}
