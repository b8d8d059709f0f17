//! What Feldera does with the same events, to print beside ours.
//!
//! Measured 2026-11-21 on 2 vCPU of an AMD EPYC Milan with its source at 5c7931d (2026-08-21): the hand-written Rust
//! circuits of its crates/nexmark, not its SQL; 10,000,000 events of the same generator settings, 2 workers, batches of 40,000.
//! The machine was busy, so only CPU time means something. Its events come ready-made from a binary file, whose
//! decoding is in its figures as the making of events is in ours. It keeps no output; ours is kept, to be read.

pub struct Figures {
    query: &'static str,
    pub cpu_s: f64,
    pub peak_mb: u64,
    /// Where the two do not do the same.
    pub differs: &'static str,
}

/// For how many events.
pub const EVENTS: u64 = 10_000_000;

const ONE_WINDOW: &str = "theirs keeps one window";
const NO_OUTPUT: &str = "theirs keeps no rows, ours all";

const FIGURES: &[Figures] = &[
    Figures { query: "q0", cpu_s: 12.69, peak_mb: 118, differs: NO_OUTPUT },
    Figures { query: "q1", cpu_s: 17.34, peak_mb: 134, differs: NO_OUTPUT },
    Figures { query: "q2", cpu_s: 12.50, peak_mb: 132, differs: NO_OUTPUT },
    Figures { query: "q3", cpu_s: 12.63, peak_mb: 175, differs: "" },
    Figures { query: "q4", cpu_s: 20.00, peak_mb: 738, differs: "" },
    Figures { query: "q5", cpu_s: 21.16, peak_mb: 199, differs: ONE_WINDOW },
    Figures { query: "q7", cpu_s: 55.36, peak_mb: 680, differs: ONE_WINDOW },
    Figures { query: "q8", cpu_s: 13.92, peak_mb: 169, differs: ONE_WINDOW },
    Figures { query: "q9", cpu_s: 54.31, peak_mb: 4464, differs: "" },
    Figures { query: "q15", cpu_s: 36.92, peak_mb: 298, differs: "" },
    Figures { query: "q17", cpu_s: 47.32, peak_mb: 1580, differs: "" },
    Figures { query: "q18", cpu_s: 35.75, peak_mb: 4904, differs: "" },
    Figures { query: "q20", cpu_s: 27.49, peak_mb: 3217, differs: "" },
    Figures { query: "q22", cpu_s: 17.10, peak_mb: 122, differs: NO_OUTPUT },
];

/// Its figures for a query, if it was measured.
pub fn figures(query: &str) -> Option<&'static Figures> {
    FIGURES.iter().find(|figures| figures.query == query)
}
