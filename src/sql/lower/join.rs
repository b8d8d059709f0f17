//! Joins: keys become columns, whatever else the condition says becomes the join's filter.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, NullEquality};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::scalar::ScalarValue;

use super::lower;
use super::scalar::{self, Extended};
use crate::dataflow::plan::{JoinKind, Plan, Scalar};
use crate::types::{Error, Result};

/// A join with its sides in the order in which the dataflow's kinds need them.
struct Sides<'a> {
    left: &'a LogicalPlan,
    right: &'a LogicalPlan,
    keys: Vec<(&'a Expr, &'a Expr)>,
    kind: JoinKind,
}

pub fn lower_join(join: &Join) -> Result<Plan> {
    if join.null_aware {
        return Err(Error::internal("a null-aware join was planned"));
    }
    let sides = sides(join)?;
    let (left_names, right_names) = (sides.left.schema(), sides.right.schema());
    let mut left = Extended::new(lower(sides.left)?);
    let mut right = Extended::new(lower(sides.right)?);
    let mut keys = vec![];
    for (left_key, right_key) in &sides.keys {
        keys.push((left.position_of(left_key, left_names)?, right.position_of(right_key, right_names)?));
    }
    let left_width = left_names.fields().len();
    let filter = match &join.filter {
        Some(Expr::Literal(ScalarValue::Boolean(Some(true)), _)) | None => None,
        Some(filter) => Some(join_filter(filter, left_names, right_names, left.added())?),
    };
    let (left_added, right_added) = (left.added(), right.added());
    let (left, right) = (left.finish(), right.finish());
    check_types(&left, &right, &keys)?;

    let schema = Arc::new(joined_schema(&left, &right, sides.kind));
    let first_right = left_width + left_added;
    let right_width = right_names.fields().len();
    let kind = sides.kind;
    let nulls_equal = join.null_equality == NullEquality::NullEqualsNull;
    let (left, right) = (left.into(), right.into());
    let plan = Plan::Join { left, right, kind, keys, nulls_equal, filter, schema };
    if left_added == 0 && (right_added == 0 || gives_left_only(kind)) {
        return Ok(plan);
    }
    let right_columns = if gives_left_only(kind) { 0..0 } else { first_right..first_right + right_width };
    let positions: Vec<usize> = (0..left_width).chain(right_columns).collect();
    Ok(scalar::select(plan, &positions, join.schema.inner().clone()))
}

fn sides(join: &Join) -> Result<Sides<'_>> {
    let kind = match join.join_type {
        JoinType::Inner => JoinKind::Inner,
        JoinType::Left => JoinKind::Left,
        JoinType::Right => JoinKind::Right,
        JoinType::Full => JoinKind::Full,
        JoinType::LeftSemi | JoinType::RightSemi => JoinKind::LeftSemi,
        JoinType::LeftAnti | JoinType::RightAnti => JoinKind::LeftAnti,
        JoinType::LeftMark | JoinType::RightMark => return Err(Error::internal("a mark join was planned")),
    };
    let swapped = matches!(join.join_type, JoinType::RightSemi | JoinType::RightAnti);
    let keys = join.on.iter();
    Ok(match swapped {
        false => Sides { left: &join.left, right: &join.right, keys: keys.map(|(l, r)| (l, r)).collect(), kind },
        true => Sides { left: &join.right, right: &join.left, keys: keys.map(|(l, r)| (r, l)).collect(), kind },
    })
}

/// The filter over left ++ right columns, where the left side has `added` columns more than its names say.
fn join_filter(filter: &Expr, left: &DFSchema, right: &DFSchema, added: usize) -> Result<Scalar> {
    let names = left.join(right)?;
    let mut scalar = scalar::scalar(filter, &names)?;
    let left_width = left.fields().len();
    let shift = |part: Arc<dyn PhysicalExpr>| {
        Ok(match part.downcast_ref::<Column>() {
            Some(column) if column.index() >= left_width => {
                let moved: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), column.index() + added));
                Transformed::yes(moved)
            }
            _ => Transformed::no(part),
        })
    };
    if added > 0 {
        scalar.physical = scalar.physical.transform(shift).data()?;
    }
    Ok(scalar)
}

fn check_types(left: &Plan, right: &Plan, keys: &[(usize, usize)]) -> Result<()> {
    let (left, right) = (left.schema(), right.schema());
    let differing = keys.iter().map(|&(l, r)| (left.field(l).data_type(), right.field(r).data_type()));
    match differing.clone().find(|(l, r)| l != r) {
        Some((l, r)) => Err(Error::internal(format!("a join compares {l} with {r}"))),
        None => Ok(()),
    }
}

fn gives_left_only(kind: JoinKind) -> bool {
    matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti)
}

fn joined_schema(left: &Plan, right: &Plan, kind: JoinKind) -> Schema {
    let nullable = |fields: &Schema, padded: bool| -> Vec<Arc<Field>> {
        let fields = fields.fields().iter();
        fields.map(|field| Arc::new(field.as_ref().clone().with_nullable(field.is_nullable() || padded))).collect()
    };
    let mut fields = nullable(&left.schema(), matches!(kind, JoinKind::Right | JoinKind::Full));
    if !gives_left_only(kind) {
        fields.extend(nullable(&right.schema(), matches!(kind, JoinKind::Left | JoinKind::Full)));
    }
    Schema::new(fields)
}
