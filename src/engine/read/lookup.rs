//! Seeking instead of scanning: equality on all columns of an arrangement's key.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use futures::StreamExt;

use super::scan::Part;
use crate::dataflow::read::Snapshots;
use crate::engine::timeline::Hold;
use crate::types::{Relation, Result};

/// Keys that a statement may look up at once; more are found by a scan.
const KEYS_MAX: usize = 4096;

/// The arrangements of a relation that can be sought in.
pub struct Lookup {
    relation: Relation,
    arrangements: Vec<Arrangement>,
    hold: Hold,
}

/// One arrangement: the rows by some columns.
pub struct Arrangement {
    pub name: String,
    pub key: Vec<usize>,
    pub snapshots: Snapshots,
}

/// A way to find the rows that a query wants.
pub struct FoundBy {
    /// As EXPLAIN says it.
    pub description: String,
    /// The columns that it looks in, and the values that it looks for.
    pub key: Vec<usize>,
    pub values: Vec<ArrayRef>,
    pub part: Part,
}

impl Lookup {
    pub fn new(relation: Relation, arrangements: Vec<Arrangement>, hold: Hold) -> Self {
        Lookup { relation, arrangements, hold }
    }

    /// The first arrangement all of whose key columns the filters fix.
    pub fn plan(&self, filters: &[Expr]) -> Option<FoundBy> {
        self.arrangements.iter().find_map(|arrangement| {
            let names = arrangement.key.iter().map(|&column| self.relation.columns[column].name.as_str());
            let values = names.clone().map(|name| filters.iter().find_map(|filter| fixed(filter, name)));
            let values: Vec<Vec<ScalarValue>> = values.collect::<Option<_>>()?;
            let columns = combinations(&values)?.ok()?;
            let same_types = arrangement
                .key
                .iter()
                .zip(&columns)
                .all(|(&key, values)| *values.data_type() == self.relation.columns[key].sql_type.arrow());
            if arrangement.key.is_empty() || !same_types {
                return None;
            }
            let description = format!("{} ({})", arrangement.name, names.collect::<Vec<_>>().join(", "));
            let (snapshots, hold) = (arrangement.snapshots.clone(), self.hold.clone());
            let (key, values) = (arrangement.key.clone(), columns.clone());
            let part: Part = Arc::new(move || {
                let found = snapshots.find(&columns, hold.time);
                let rows: Vec<Result<RecordBatch>> = vec![Ok(found.repeated())];
                futures::stream::iter(rows).boxed()
            });
            Some(FoundBy { description, key, values, part })
        })
    }
}

/// The values that a filter leaves for a column, if it is an equality or a list.
fn fixed(filter: &Expr, name: &str) -> Option<Vec<ScalarValue>> {
    let is_column = |expression: &Expr| matches!(expression, Expr::Column(column) if column.name == name);
    let literal = |expression: &Expr| match expression {
        Expr::Literal(value, _) => Some(value.clone()),
        _ => None,
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_column(left) => {
            Some(vec![literal(right)?])
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_column(right) => {
            Some(vec![literal(left)?])
        }
        Expr::InList(InList { expr, list, negated: false }) if is_column(expr) => {
            let mut values: Vec<ScalarValue> = list.iter().map(literal).collect::<Option<_>>()?;
            let mut seen = std::collections::HashSet::new();
            values.retain(|value| seen.insert(value.clone()));
            Some(values)
        }
        // x = 1 OR x = 2, which is what short lists become.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut values = fixed(left, name)?;
            values.extend(fixed(right, name)?);
            let mut seen = std::collections::HashSet::new();
            values.retain(|value| seen.insert(value.clone()));
            Some(values)
        }
        _ => None,
    }
}

/// Every combination of the columns' values, as columns; NULL equals nothing. None if there are none or too many.
fn combinations(values: &[Vec<ScalarValue>]) -> Option<Result<Vec<ArrayRef>>> {
    let mut rows: Vec<Vec<ScalarValue>> = vec![vec![]];
    for column in values {
        let known: Vec<_> = column.iter().filter(|value| !value.is_null()).collect();
        if rows.len() * known.len() > KEYS_MAX {
            return None;
        }
        rows = rows
            .iter()
            .flat_map(|row| known.iter().map(|value| row.iter().cloned().chain([(*value).clone()]).collect()))
            .collect();
    }
    let column = |place: usize| -> Result<ArrayRef> {
        Ok(ScalarValue::iter_to_array(rows.iter().map(|row| row[place].clone()))?)
    };
    if rows.is_empty() {
        return None;
    }
    Some((0..values.len()).map(column).collect())
}
