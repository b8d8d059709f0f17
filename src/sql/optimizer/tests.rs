//! What the rules make queries mean: PostgreSQL's answers, in both modes.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::Optimizer;

use super::{ANALYZER, OPTIMIZER};
use crate::sql::oracle::Oracle;
use crate::types::Result;

/// l: 1, 1, 2, 3, NULL, NULL; r: 1, 4, NULL; e has no rows; z: floats that are equal in three pairs.
fn oracle() -> Oracle {
    let ints = |name: &str, values: Vec<Option<i32>>| {
        RecordBatch::try_from_iter_with_nullable([(name, Arc::new(Int32Array::from(values)) as ArrayRef, true)])
            .unwrap()
    };
    let floats = Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::INFINITY]);
    let floats = RecordBatch::try_from_iter_with_nullable([("f", Arc::new(floats) as ArrayRef, true)]).unwrap();
    Oracle::new(vec![
        ("l", ints("x", vec![Some(1), Some(1), Some(2), Some(3), None, None])),
        ("r", ints("y", vec![Some(1), Some(4), None])),
        ("e", ints("y", vec![])),
        ("z", floats),
    ])
}

/// Both modes give these rows, in any order. A row is written as its values, `-` for NULL.
fn gives(sql: &str, rows: &[&str]) {
    let bare = |row: String| {
        let values: String = row.trim_matches(['[', ']']).replace("NULL", "-");
        let value =
            |part: &str| part.split_once('(').map_or(part, |(_, value)| value.trim_end_matches(')')).to_string();
        values.split(", ").map(value).collect::<Vec<_>>().join(" ")
    };
    let mut found: Vec<String> = oracle().agrees(sql).into_iter().map(bare).collect();
    found.sort();
    let mut rows: Vec<&str> = rows.to_vec();
    rows.sort();
    assert_eq!(found, rows, "{sql}");
}

#[test]
fn set_operations_count_copies() {
    gives("SELECT x FROM l EXCEPT ALL SELECT y FROM r", &["1", "2", "3", "-"]);
    gives("SELECT x FROM l EXCEPT SELECT y FROM r", &["2", "3"]);
    gives("SELECT x FROM l INTERSECT ALL SELECT y FROM r", &["1", "-"]);
    gives("SELECT x FROM l INTERSECT ALL SELECT x FROM l WHERE x = 1 OR x IS NULL", &["1", "1", "-", "-"]);
    gives("SELECT x FROM l INTERSECT SELECT y FROM r", &["1", "-"]);
    gives("SELECT x FROM (SELECT x FROM l EXCEPT ALL SELECT y FROM r) d WHERE x > 1", &["2", "3"]);
}

#[test]
fn every_grouping_set_counts() {
    gives("SELECT count(*) FROM l GROUP BY GROUPING SETS ((), ())", &["6", "6"]);
    gives("SELECT count(*) FROM e GROUP BY GROUPING SETS ((), ())", &["0", "0"]);
    gives("SELECT y, count(*) FROM e GROUP BY ROLLUP (y)", &["- 0"]);
    gives("SELECT y, count(*), grouping(y) FROM r GROUP BY CUBE (y)", &["1 1 0", "4 1 0", "- 1 0", "- 3 1"]);
    gives("SELECT y, grouping(y) FROM r GROUP BY y", &["1 0", "4 0", "- 0"]);
    gives("SELECT y, count(*) FROM r GROUP BY GROUPING SETS (y, y)", &["1 1", "1 1", "4 1", "4 1", "- 1", "- 1"]);
}

#[test]
fn scalar_subqueries_have_one_row_or_none() {
    let oracle = oracle();
    oracle.fails("SELECT (SELECT y FROM r)", "21000");
    oracle.fails("SELECT x FROM l WHERE x = (SELECT y FROM r)", "21000");
    oracle.fails("SELECT x, (SELECT b.x FROM l b WHERE b.x = l.x) AS v FROM l", "21000");
    gives("SELECT (SELECT y FROM r WHERE y = 4)", &["4"]);
    gives("SELECT (SELECT y FROM e)", &["-"]);
    gives("SELECT x, (SELECT y FROM r WHERE y = x) FROM l", &["1 1", "1 1", "2 -", "3 -", "- -", "- -"]);
    gives("SELECT x FROM l WHERE x = (SELECT y FROM e)", &[]);
    // The value is not used, so that there may be several.
    gives("SELECT CASE WHEN x > 5 THEN (SELECT y FROM r) ELSE x END FROM l WHERE x > 1", &["2", "3"]);
    gives("SELECT y, (SELECT count(*) FROM l WHERE x = y) FROM r", &["1 2", "4 0", "- 0"]);
    gives("SELECT y, (SELECT count(*) FROM l WHERE x = y HAVING count(*) > 0) FROM r", &["1 2", "4 -", "- -"]);
}

#[test]
fn in_has_three_values() {
    gives("SELECT x FROM l WHERE x NOT IN (SELECT y FROM r)", &[]);
    gives("SELECT x FROM l WHERE x NOT IN (SELECT y FROM r WHERE y IS NOT NULL)", &["2", "3"]);
    gives("SELECT x FROM l WHERE x NOT IN (SELECT y FROM e)", &["1", "1", "2", "3", "-", "-"]);
    gives("SELECT DISTINCT x, x IN (SELECT y FROM r) FROM l", &["1 true", "2 -", "3 -", "- -"]);
    gives("SELECT DISTINCT x, x IN (SELECT y FROM e) FROM l", &["1 false", "2 false", "3 false", "- false"]);
    gives("SELECT DISTINCT x FROM l WHERE (x NOT IN (SELECT y FROM r)) IS NULL", &["2", "3", "-"]);
    gives("SELECT DISTINCT x FROM l WHERE NOT (x IN (SELECT y FROM r) OR x = 2)", &[]);
    gives("SELECT x FROM l WHERE x NOT IN (SELECT y FROM r WHERE y = x)", &["2", "3", "-", "-"]);
    gives("SELECT x FROM l WHERE x > ALL (SELECT y FROM e)", &["1", "1", "2", "3", "-", "-"]);
}

#[test]
fn floats_are_compared_by_value() {
    gives("SELECT count(*) FROM z GROUP BY f", &["2", "2", "2"]);
    gives("SELECT count(DISTINCT f) FROM z", &["3"]);
    gives("SELECT count(*) FROM (SELECT DISTINCT f FROM z) d", &["3"]);
    gives("SELECT count(*) FROM z a JOIN z b ON a.f = b.f", &["12"]);
    gives("SELECT count(*) FROM z WHERE f = 0", &["2"]);
    gives("SELECT count(*) FROM z WHERE f = 'NaN'::float8", &["2"]);
    gives("SELECT count(*) FROM z WHERE f > 1", &["4"]);
    gives("SELECT count(*) FROM z WHERE f IN (0.0::float8, 7)", &["2"]);
    gives("SELECT count(*) FROM z WHERE f IN (SELECT f FROM z WHERE f = 0)", &["2"]);
    gives("SELECT count(*) FROM (SELECT f FROM z UNION SELECT f FROM z) d", &["3"]);
    gives("SELECT count(*) FROM (SELECT f FROM z EXCEPT ALL SELECT 0.0::float8) d", &["5"]);
    gives("SELECT max(n) FROM (SELECT row_number() OVER (PARTITION BY f) AS n FROM z) d", &["2"]);
}

#[test]
fn limits_are_constants() {
    let oracle = oracle();
    oracle.fails("SELECT x FROM l LIMIT -1", "2201W");
    oracle.fails("SELECT x FROM l OFFSET -1", "2201X");
    gives("SELECT x FROM l ORDER BY x LIMIT 1 + 1", &["1", "1"]);
    gives("SELECT x FROM l LIMIT NULL", &["1", "1", "2", "3", "-", "-"]);
}

#[test]
fn rows_that_fail_fail_in_both_modes() {
    oracle().fails("SELECT 1 / (x - 1) FROM l", "22012");
}

#[test]
fn equal_sort_keys_are_ordered_by_the_rest() {
    gives("SELECT x FROM l LIMIT 2", &["1", "1"]);
    gives("SELECT x FROM l ORDER BY x IS NULL DESC, x % 2 LIMIT 3", &["- ", "-", "2"].map(|row| row.trim()));
    gives("SELECT DISTINCT ON (x % 2) x FROM l WHERE x IS NOT NULL", &["1", "2"]);
}

#[test]
fn no_subquery_is_left_to_datafusion() -> Result<()> {
    let plan = oracle().plan("SELECT x, (SELECT max(y) FROM r), EXISTS (SELECT 1 FROM r WHERE y = x) FROM l")?;
    let text = plan.display_indent().to_string();
    assert!(!text.contains("Subquery"), "{text}");
    assert!(matches!(plan, LogicalPlan::Projection(_)), "{text}");
    Ok(())
}

/// DataFusion's list at the version that we looked at; a new rule there is one to decide about here.
#[test]
fn every_rule_of_datafusion_was_considered() {
    let left_out = [
        "rewrite_set_comparison",
        "unions_to_filter",
        "decorrelate_predicate_subquery",
        "scalar_subquery_to_join",
        "decorrelate_lateral_join",
        "filter_null_join_keys",
        "single_distinct_aggregation_to_group_by",
        "eliminate_group_by_constant",
        "extract_leaf_expressions",
        "push_down_leaf_projections",
    ];
    let ours: Vec<&str> = OPTIMIZER.rules.iter().map(|rule| rule.name()).collect();
    for rule in Optimizer::new().rules {
        assert!(ours.contains(&rule.name()) != left_out.contains(&rule.name()), "{}", rule.name());
    }
    assert!(ANALYZER.iter().any(|rule| rule.name() == "rewrite_set_comparison"));
}
