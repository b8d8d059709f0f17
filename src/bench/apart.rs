//! Programs in processes of their own: what one leaves in the allocator, the caches and the peak of memory is not
//! counted against the next.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::report::Report;
use crate::types::{Error, Result, SqlState};

/// Runs `millrace bench` again with these arguments, and passes its rows on. Fails if it fails.
pub fn run(arguments: &[String], workers: usize, report: &mut Report) -> Result<()> {
    each_row(arguments, workers, |row| report.pass_on(row))
}

/// Runs `millrace bench` again with these arguments; gives its last row as JSON.
pub fn last_row(arguments: &[String], workers: usize) -> Result<String> {
    let mut last = String::new();
    each_row(arguments, workers, |row| {
        last = row.to_string();
        Ok(())
    })?;
    Ok(last)
}

fn each_row(arguments: &[String], workers: usize, mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let failed = |error: std::io::Error| Error::new(SqlState::IO_ERROR, format!("could not run a benchmark: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["bench", "--json", "--workers", &workers.to_string()]).args(arguments);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let output = child.stdout.take().expect("its output is piped");
    for line in BufReader::new(output).lines() {
        take(&line.map_err(failed)?)?;
    }
    let status = child.wait().map_err(failed)?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::internal(format!("bench {} failed: {status}", arguments.join(" ")))),
    }
}
