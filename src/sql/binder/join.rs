//! JOIN with ON, USING and NATURAL.

use datafusion::common::{JoinType, NullEquality};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{Join, JoinConstraint, JoinOperator, ObjectNamePart};

use super::expression::Place;
use super::from::FromItem;
use super::scope::{Scope, Visible};
use super::{Binder, operator};
use crate::sql::function::registry;
use crate::sql::statement::{fold, position_of};
use crate::types::{Error, Result, SqlState};

impl Binder<'_> {
    pub(super) fn joins(
        &mut self,
        mut plan: LogicalPlan,
        mut scope: Scope,
        joins: &[Join],
    ) -> Result<(LogicalPlan, Scope)> {
        for join in joins {
            (plan, scope) = self.join(plan, scope, join)?;
        }
        Ok((plan, scope))
    }

    fn join(&mut self, left_plan: LogicalPlan, left: Scope, join: &Join) -> Result<(LogicalPlan, Scope)> {
        let none = JoinConstraint::None;
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (JoinType::Inner, constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinType::Left, constraint),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (JoinType::Right, constraint),
            JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
            JoinOperator::CrossJoin(_) => (JoinType::Inner, &none),
            _ => return Err(Error::unsupported(format!("{join} is not supported"))),
        };
        let item = self.table_factor(&join.relation, Some((&left_plan, &left)))?;
        let (right_plan, right) = match item {
            FromItem::Independent(plan, scope) => (plan, scope),
            FromItem::Extended(plan, scope) => return self.lateral_function(plan, scope, kind, constraint),
        };
        if matches!(constraint, JoinConstraint::None) {
            return self.product(left_plan, left, right_plan, right);
        }
        let names = match constraint {
            JoinConstraint::Using(columns) => using_names(columns)?,
            JoinConstraint::Natural => common_names(&left, &right),
            _ => vec![],
        };
        let mut pairs = Vec::new();
        for name in &names {
            pairs.push((name.clone(), side(&left, name, "left")?, side(&right, name, "right")?));
        }
        let both = left_plan.schema().join(right_plan.schema())?;
        let joined = left.beside(right, both.into())?;
        let mut filters = Vec::new();
        for (_, left, right) in &pairs {
            filters.push(self.equal(left.clone(), right.clone(), &joined)?);
        }
        if let JoinConstraint::On(condition) = constraint {
            filters.push(self.condition(condition, &joined, Place::JoinOn)?);
        }
        let filter = filters.into_iter().reduce(Expr::and);
        let plan = match filter {
            None if kind == JoinType::Inner => LogicalPlanBuilder::from(left_plan).cross_join(right_plan)?.build()?,
            filter => LogicalPlanBuilder::from(left_plan)
                .join_detailed(
                    right_plan,
                    kind,
                    (Vec::<datafusion::common::Column>::new(), Vec::<datafusion::common::Column>::new()),
                    filter.or_else(|| Some(datafusion::logical_expr::lit(true))),
                    NullEquality::NullEqualsNothing,
                )?
                .build()?,
        };
        let schema = plan.schema().clone();
        let scope = Scope { schema, ..joined }.merge(kind, pairs)?;
        Ok((plan, scope))
    }

    /// A function over columns of the left items is part of their plan already; only its condition is left to do.
    fn lateral_function(
        &mut self,
        plan: LogicalPlan,
        scope: Scope,
        kind: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<(LogicalPlan, Scope)> {
        if kind != JoinType::Inner {
            return Err(Error::unsupported(
                "outer joins with a function of the other side's columns are not supported",
            ));
        }
        match constraint {
            JoinConstraint::None => Ok((plan, scope)),
            JoinConstraint::On(condition) => {
                let filter = self.condition(condition, &scope, Place::JoinOn)?;
                Ok((LogicalPlanBuilder::from(plan).filter(filter)?.build()?, scope))
            }
            _ => Err(Error::unsupported("USING with a function of the other side's columns is not supported")),
        }
    }

    fn equal(&mut self, left: Expr, right: Expr, scope: &Scope) -> Result<Expr> {
        operator::binary(self, left, &sqlparser::ast::BinaryOperator::Eq, right, &scope.schema, 0)
    }
}

impl Scope {
    /// Columns of USING stand once, first, for both sides.
    fn merge(mut self, kind: JoinType, pairs: Vec<(String, Expr, Expr)>) -> Result<Scope> {
        let mut merged = Vec::new();
        for (name, left, right) in pairs {
            self.visible.retain(|visible| visible.expression != left && visible.expression != right);
            let expression = match kind {
                JoinType::Right => right,
                JoinType::Full => {
                    let coalesce = registry().scalars.get("coalesce").expect("coalesce is a function");
                    coalesce.call(vec![left, right])
                }
                _ => left,
            };
            merged.push(Visible { name, expression });
        }
        merged.append(&mut self.visible);
        self.visible = merged;
        Ok(self)
    }
}

fn using_names(columns: &[sqlparser::ast::ObjectName]) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for column in columns {
        let [ObjectNamePart::Identifier(ident)] = column.0.as_slice() else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, format!("{column} in USING can't be qualified")));
        };
        let name = fold(ident);
        if names.contains(&name) {
            let message = format!("column name \"{name}\" appears more than once in USING clause");
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).at(position_of(ident)));
        }
        names.push(name);
    }
    Ok(names)
}

/// The column of one side that USING names.
fn side(scope: &Scope, name: &str, which: &str) -> Result<Expr> {
    let mut found = scope.visible.iter().filter(|visible| visible.name == name);
    let error = match (found.next(), found.next()) {
        (Some(visible), None) => return Ok(visible.expression.clone()),
        (Some(_), Some(_)) => {
            let message = format!("common column name \"{name}\" appears more than once in {which} table");
            Error::new(SqlState::AMBIGUOUS_COLUMN, message)
        }
        (None, _) => {
            let message = format!("column \"{name}\" specified in USING clause does not exist in {which} table");
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        }
    };
    Err(error)
}

fn common_names(left: &Scope, right: &Scope) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for visible in &left.visible {
        let in_right = right.visible.iter().any(|other| other.name == visible.name);
        if in_right && !names.contains(&visible.name) {
            names.push(visible.name.clone());
        }
    }
    names
}
