//! What came of one file in one mode.

use std::collections::BTreeMap;

use super::mode::Mode;

/// What came of one query.
#[derive(Clone, Debug)]
pub enum Verdict {
    Agreed,
    /// Not what the file expects, but what the oracle says.
    AgreedWithOracle,
    /// No view can be made of it, for a reason that the server named (0A000).
    Refused(String),
    Skipped(&'static str),
    Failed(Failure),
}

#[derive(Clone, Debug)]
pub struct Failure {
    pub line: usize,
    pub sql: String,
    pub cause: String,
    pub expected: Vec<String>,
    pub got: Vec<String>,
}

impl Failure {
    pub fn new(line: usize, sql: &str, cause: impl Into<String>) -> Self {
        Failure { line, sql: sql.to_string(), cause: cause.into(), expected: Vec::new(), got: Vec::new() }
    }

    pub fn with_rows(mut self, expected: Vec<String>, got: Vec<String>) -> Self {
        (self.expected, self.got) = (expected, got);
        self
    }
}

#[derive(Clone, Debug)]
pub struct Tally {
    pub file: String,
    pub mode: Mode,
    /// Statements that did what they should.
    pub statements: u64,
    pub agreed: u64,
    pub agreed_with_oracle: u64,
    /// Lines of the queries, by the server's reason.
    pub refused: BTreeMap<String, Vec<usize>>,
    pub skipped: BTreeMap<&'static str, u64>,
    pub failures: Vec<Failure>,
    /// Steps that never ran, because the server or the connection was lost.
    pub lost: u64,
    pub seconds: f64,
}

impl Tally {
    pub fn new(file: &str, mode: Mode) -> Self {
        Tally {
            file: file.to_string(),
            mode,
            statements: 0,
            agreed: 0,
            agreed_with_oracle: 0,
            refused: BTreeMap::new(),
            skipped: BTreeMap::new(),
            failures: Vec::new(),
            lost: 0,
            seconds: 0.0,
        }
    }

    pub fn add(&mut self, line: usize, verdict: Verdict) {
        match verdict {
            Verdict::Agreed => self.agreed += 1,
            Verdict::AgreedWithOracle => self.agreed_with_oracle += 1,
            Verdict::Refused(reason) => self.refused.entry(reason).or_default().push(line),
            Verdict::Skipped(reason) => *self.skipped.entry(reason).or_default() += 1,
            Verdict::Failed(failure) => self.failures.push(failure),
        }
    }

    /// Adds what came of another pass over the same file.
    pub fn merge(&mut self, other: Tally) {
        self.statements += other.statements;
        self.agreed += other.agreed;
        self.agreed_with_oracle += other.agreed_with_oracle;
        self.lost += other.lost;
        self.failures.extend(other.failures);
        for (reason, lines) in other.refused {
            self.refused.entry(reason).or_default().extend(lines);
        }
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
    }

    pub fn failed(&self) -> u64 {
        self.failures.len() as u64 + self.lost
    }

    pub fn refused_count(&self) -> u64 {
        self.refused.values().map(|lines| lines.len() as u64).sum()
    }

    pub fn skipped_count(&self) -> u64 {
        self.skipped.values().sum()
    }
}
