//! Figures about the running system, in the words of Prometheus; the server only prints them.

/// Whether a figure only grows, or goes up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
}

/// One figure, once for each set of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// As Prometheus has it: `millrace_`, what it is, and the unit last.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricKind,
    pub samples: Vec<Sample>,
}

/// A value, and what it is the value of.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}
