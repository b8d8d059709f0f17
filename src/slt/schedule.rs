//! In which order the steps of a file are done in each mode.
//!
//! One-shot and view-after take them as they stand. View-before wants its views in place before any row:
//!
//! ```text
//!   file:      table t   rows of t   table u   rows of u   query 1   update   query 2   │ drop t   ...
//!   schedule:  table t   table u   VIEWS 1 2   rows of t   rows of u   CHURN   query 1   update   query 2   DROP VIEWS │ drop t
//! ```
//! A definition or a setting between queries begins a new segment, whose views are made before the rows that it brings.
//! Restart does the same, with checkpoints and kills of the server in between.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::script::{Action, Script};
use super::sql::{self, Kind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// The step with this index, as it stands.
    Run(usize),
    /// The step with this index, row by row if it is an INSERT of several.
    Feed(usize),
    /// Makes a view for each of these queries.
    CreateViews(Vec<usize>),
    /// Deletes the rows of every table and inserts them again.
    Churn,
    DropViews,
    /// Has the server make a checkpoint.
    Checkpoint,
    /// Kills the server and starts it again, with so many workers.
    Restart(usize),
}

/// Restarts of a pass over a file.
const RESTARTS: u64 = 3;
/// Workers that a server may have after a restart.
const WORKERS_MAX: u64 = 3;

/// The steps in order; of the queries only the selected ones.
pub fn in_order(steps: &[usize], script: &Script, selected: &[usize]) -> Vec<Task> {
    let wanted = |step: &usize| !script.steps[*step].is_query() || selected.binary_search(step).is_ok();
    steps.iter().copied().filter(wanted).map(Task::Run).collect()
}

/// The steps with views before rows, for the selected queries.
pub fn views_first(steps: &[usize], script: &Script, selected: &[usize]) -> Vec<Task> {
    let mut tasks = Vec::new();
    for segment in segments(steps, script) {
        let queries: Vec<usize> = segment.iter().copied().filter(|step| selected.binary_search(step).is_ok()).collect();
        let lead = segment.iter().position(|&step| script.steps[step].is_query()).unwrap_or(segment.len());
        let (lead, rest) = segment.split_at(lead);
        if queries.is_empty() {
            tasks.extend(in_order(segment, script, selected));
            continue;
        }
        // What is neither a definition nor a change keeps its place among all that stands before it.
        let fixed = lead.iter().rposition(|&step| role(script, step) == Kind::Other).map_or(0, |last| last + 1);
        tasks.extend(lead[..fixed].iter().copied().map(Task::Run));
        let (defined, changed): (Vec<usize>, Vec<usize>) =
            lead[fixed..].iter().partition(|&&step| role(script, step) == Kind::Define);
        tasks.extend(defined.into_iter().map(Task::Run));
        tasks.push(Task::CreateViews(queries));
        tasks.extend(changed.into_iter().map(Task::Feed));
        tasks.push(Task::Churn);
        for task in in_order(rest, script, selected) {
            tasks.push(match task {
                Task::Run(step) if role(script, step) == Kind::Change => Task::Feed(step),
                other => other,
            });
        }
        tasks.push(Task::DropViews);
    }
    tasks
}

/// The same with restarts at places that look random but are the same each time, each with a checkpoint somewhere before.
pub fn views_first_with_restarts(steps: &[usize], script: &Script, selected: &[usize]) -> Vec<Task> {
    let mut tasks = views_first(steps, script, selected);
    let seed = xxh3_64_with_seed(script.name.as_bytes(), selected.first().map_or(0, |&first| first as u64));
    let choice = |number: u64, below: u64| xxh3_64_with_seed(&number.to_le_bytes(), seed) % below.max(1);
    for restart in 0..RESTARTS {
        let place = choice(3 * restart, tasks.len() as u64 + 1);
        tasks.insert(place as usize, Task::Restart(1 + choice(3 * restart + 1, WORKERS_MAX) as usize));
        tasks.insert(choice(3 * restart + 2, place + 1) as usize, Task::Checkpoint);
    }
    tasks
}

/// Splits before the first definition or setting that stands behind a query, again and again.
fn segments<'a>(steps: &'a [usize], script: &Script) -> Vec<&'a [usize]> {
    let mut segments = Vec::new();
    let mut start = 0;
    let mut queried = false;
    for (place, &step) in steps.iter().enumerate() {
        match role(script, step) {
            Kind::Query => queried = true,
            Kind::Define | Kind::Other if queried && changes_meaning(script, step) => {
                segments.push(&steps[start..place]);
                (start, queried) = (place, false);
            }
            _ => {}
        }
    }
    segments.push(&steps[start..]);
    segments
}

fn role(script: &Script, step: usize) -> Kind {
    match &script.steps[step].action {
        Action::Query { sql, .. } | Action::Statement { sql, .. } => sql::kind(sql),
        Action::System { .. } | Action::Sleep(_) => Kind::Change,
    }
}

/// Whether a statement changes what a query's text means: what is defined, or a setting. BEGIN and its kin do not.
fn changes_meaning(script: &Script, step: usize) -> bool {
    let Action::Statement { sql, .. } = &script.steps[step].action else {
        return false;
    };
    let first = sql.split_whitespace().next().unwrap_or_default().to_uppercase();
    matches!(first.as_str(), "CREATE" | "DROP" | "ALTER" | "SET" | "RESET")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Script {
        Script::parse("t".to_string(), text.to_string()).unwrap()
    }

    fn statement(sql: &str) -> String {
        format!("statement ok\n{sql}\n\n")
    }

    #[test]
    fn views_come_before_rows_and_a_definition_begins_a_segment() {
        let query = "query I\nSELECT 1\n----\n1\n\n";
        let text = [
            statement("CREATE TABLE t (a int)"),
            statement("INSERT INTO t VALUES (1), (2)"),
            statement("CREATE TABLE u (a int)"),
            query.to_string(),
            statement("DELETE FROM t"),
            query.to_string(),
            statement("DROP TABLE t"),
            query.to_string(),
        ];
        let script = script(&text.concat());
        let steps: Vec<usize> = (0..8).collect();
        let tasks = views_first(&steps, &script, &[3, 5, 7]);
        let expected = [
            Task::Run(0),
            Task::Run(2),
            Task::CreateViews(vec![3, 5]),
            Task::Feed(1),
            Task::Churn,
            Task::Run(3),
            Task::Feed(4),
            Task::Run(5),
            Task::DropViews,
            Task::Run(6),
            Task::CreateViews(vec![7]),
            Task::Churn,
            Task::Run(7),
            Task::DropViews,
        ];
        assert_eq!(tasks, expected);
    }

    #[test]
    fn a_table_that_is_made_twice_is_not_moved() {
        let text = [
            statement("CREATE TABLE t (a int)"),
            statement("INSERT INTO t VALUES (1)"),
            statement("DROP TABLE t"),
            statement("CREATE TABLE t (a int)"),
            "query I\nSELECT 1\n----\n1\n\n".to_string(),
        ];
        let script = script(&text.concat());
        let tasks = views_first(&[0, 1, 2, 3, 4], &script, &[4]);
        assert_eq!(tasks[..5], [Task::Run(0), Task::Run(1), Task::Run(2), Task::Run(3), Task::CreateViews(vec![4])]);
    }

    #[test]
    fn queries_that_are_not_selected_are_left_out() {
        let script = script("query I\nSELECT 1\n----\n1\n\nquery I\nSELECT 2\n----\n2\n");
        assert_eq!(in_order(&[0, 1], &script, &[1]), [Task::Run(1)]);
    }
}
