//! What is printed: tables for people, or one JSON object a line.

use std::collections::BTreeMap;

use serde_json::json;

use super::mode::{MODES, Mode};
use super::tally::{Failure, Tally};

/// Rows of a difference that are shown.
const ROWS_SHOWN: usize = 12;

/// Whether queries that cannot be views count as failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    Fail,
    Count,
}

/// Sums over all files: per mode, and in all.
#[derive(Debug, Default)]
struct Sum {
    files: u64,
    statements: u64,
    agreed: u64,
    oracle: u64,
    refused: u64,
    skipped: u64,
    failed: u64,
    seconds: f64,
}

impl Sum {
    fn add(&mut self, tally: &Tally) {
        self.files += 1;
        self.statements += tally.statements;
        self.agreed += tally.agreed;
        self.oracle += tally.agreed_with_oracle;
        self.refused += tally.refused_count();
        self.skipped += tally.skipped_count();
        self.failed += tally.failed();
        self.seconds += tally.seconds;
    }
}

/// Prints the whole report and says whether all is well.
pub fn print(tallies: &[Tally], refusals: Refusals, failures_shown: usize) -> bool {
    let failures = tallies.iter().flat_map(|tally| tally.failures.iter().map(move |failure| (tally, failure)));
    let all = failures.clone().count();
    for (tally, failure) in failures.take(failures_shown) {
        print_failure(tally, failure);
    }
    if all > failures_shown {
        println!("... and {} more failures (--failures {all} shows them)\n", all - failures_shown);
    }
    print_refused(tallies);
    println!("mode          files  statements   queries    agreed   oracle  refused  skipped   failed   seconds");
    let mut total = Sum::default();
    for traits in MODES {
        let mut sum = Sum::default();
        tallies.iter().filter(|tally| tally.mode == traits.mode).for_each(|tally| sum.add(tally));
        tallies.iter().filter(|tally| tally.mode == traits.mode).for_each(|tally| total.add(tally));
        if sum.files > 0 {
            let queries = sum.agreed + sum.oracle + sum.refused + sum.skipped + sum.failed;
            println!(
                "{:<12} {:>6} {:>11} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9.1}",
                traits.name,
                sum.files,
                sum.statements,
                queries,
                sum.agreed,
                sum.oracle,
                sum.refused,
                sum.skipped,
                sum.failed,
                sum.seconds
            );
        }
    }
    let failed = failed(&total, refusals);
    let skipped = total.refused + total.skipped - (failed - total.failed);
    println!("{} passed, {failed} failed, {skipped} skipped", total.statements + total.agreed + total.oracle);
    failed == 0
}

/// Prints a line for every file and mode, and one for every failure.
pub fn print_json(tallies: &[Tally], refusals: Refusals) -> bool {
    let mut total = Sum::default();
    for tally in tallies {
        total.add(tally);
        for failure in &tally.failures {
            let object = json!({
                "kind": "failure", "file": tally.file, "mode": name(tally.mode), "line": failure.line,
                "cause": failure.cause, "sql": failure.sql, "expected": failure.expected, "got": failure.got,
            });
            println!("{object}");
        }
        let object = json!({
            "kind": "file", "file": tally.file, "mode": name(tally.mode), "statements": tally.statements,
            "agreed": tally.agreed, "agreed_with_oracle": tally.agreed_with_oracle, "refused": tally.refused,
            "skipped": tally.skipped, "failed": tally.failed(), "lost": tally.lost, "seconds": tally.seconds,
        });
        println!("{object}");
    }
    failed(&total, refusals) == 0
}

fn failed(total: &Sum, refusals: Refusals) -> u64 {
    match refusals {
        Refusals::Fail => total.failed + total.refused,
        Refusals::Count => total.failed,
    }
}

fn print_failure(tally: &Tally, failure: &Failure) {
    println!("{}:{} [{}] {}", tally.file, failure.line, name(tally.mode), failure.cause);
    for line in failure.sql.lines() {
        println!("    {line}");
    }
    let (missing, extra) = (lacking(&failure.expected, &failure.got), lacking(&failure.got, &failure.expected));
    if missing.is_empty() && extra.is_empty() && !failure.expected.is_empty() {
        println!("  the same rows in another order:");
        failure.got.iter().take(ROWS_SHOWN).for_each(|line| println!("    {line}"));
    }
    for (title, lines) in [("expected", &missing), ("got", &extra)] {
        for line in lines.iter().take(ROWS_SHOWN) {
            println!("  {title:<9} {line}");
        }
        if lines.len() > ROWS_SHOWN {
            println!("  {title:<9} ... and {} more", lines.len() - ROWS_SHOWN);
        }
    }
    println!();
}

/// The lines of `these` that `those` lack, duplicates counted.
fn lacking<'a>(these: &'a [String], those: &[String]) -> Vec<&'a String> {
    let mut left: BTreeMap<&String, usize> = BTreeMap::new();
    those.iter().for_each(|line| *left.entry(line).or_default() += 1);
    these
        .iter()
        .filter(|line| match left.get_mut(line) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        })
        .collect()
}

fn print_refused(tallies: &[Tally]) {
    let mut reasons: BTreeMap<&String, (u64, String)> = BTreeMap::new();
    for tally in tallies {
        for (reason, lines) in &tally.refused {
            let first = format!("{}:{}", tally.file, lines[0]);
            let entry = reasons.entry(reason).or_insert((0, first));
            entry.0 += lines.len() as u64;
        }
    }
    if reasons.is_empty() {
        return;
    }
    println!("queries that cannot be views, by reason (0A000):");
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for (reason, (count, first)) in reasons {
        println!("{count:>8}  {reason}   (first: {first})");
    }
    println!();
}

fn name(mode: Mode) -> &'static str {
    mode.traits().name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lacking_counts_duplicates() {
        let lines = |text: &[&str]| text.iter().map(|line| line.to_string()).collect::<Vec<_>>();
        let (one, two) = (lines(&["a", "a", "b"]), lines(&["a", "c"]));
        assert_eq!(lacking(&one, &two), ["a", "b"]);
        assert_eq!(lacking(&two, &one), ["c"]);
    }
}
