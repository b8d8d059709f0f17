//! The ways of computing a query that must all give the same rows.

use std::str::FromStr;

use super::schedule::{self, Task};
use super::script::Script;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// A plain SELECT.
    OneShot,
    /// A view made after the data, for the one query, and dropped again.
    ViewAfter,
    /// Views made before any row, which follow the data.
    ViewBefore,
    /// The same, while the server is killed now and then and begins again with what it had.
    Restart,
}

/// What the runner has to know of a mode; a new one is a line in [`MODES`].
pub struct Traits {
    pub mode: Mode,
    pub name: &'static str,
    /// What holds for `skipif` and `onlyif`.
    pub labels: &'static [&'static str],
    /// How many queries are looked at in one pass over the file; each holds a view at the same time.
    pub pass_queries: usize,
    pub schedule: fn(&[usize], &Script, &[usize]) -> Vec<Task>,
}

pub const MODES: &[Traits] = &[
    Traits {
        mode: Mode::OneShot,
        name: "one-shot",
        labels: &["one-shot"],
        pass_queries: usize::MAX,
        schedule: schedule::in_order,
    },
    Traits {
        mode: Mode::ViewAfter,
        name: "view-after",
        labels: &["view-after", "view"],
        pass_queries: usize::MAX,
        schedule: schedule::in_order,
    },
    Traits {
        mode: Mode::ViewBefore,
        name: "view-before",
        labels: &["view-before", "view"],
        pass_queries: 100,
        schedule: schedule::views_first,
    },
    Traits {
        mode: Mode::Restart,
        name: "restart",
        labels: &["restart", "view-before", "view"],
        pass_queries: 100,
        schedule: schedule::views_first_with_restarts,
    },
];

impl Mode {
    pub fn traits(self) -> &'static Traits {
        MODES.iter().find(|traits| traits.mode == self).expect("every mode has its line in the table")
    }
}

/// The modes that `--mode` names: one, or several with commas between them, or `all`.
#[derive(Clone, Debug)]
pub struct Modes(pub Vec<Mode>);

impl FromStr for Modes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Modes(MODES.iter().map(|traits| traits.mode).collect()));
        }
        let find = |name: &str| MODES.iter().find(|traits| traits.name == name).map(|traits| traits.mode);
        let names = || MODES.iter().map(|traits| traits.name).collect::<Vec<_>>().join(", ");
        let modes = text
            .split(',')
            .map(|name| find(name).ok_or_else(|| format!("not a mode: {name}; modes are {}, all", names())));
        modes.collect::<Result<Vec<_>, _>>().map(Modes)
    }
}
