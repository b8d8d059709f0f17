//! generate_series(): which type its values are of, and the node that makes rows of them.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, lit};

use super::Binder;
use super::cast::{common_type, explicit};
use super::function::Call;
use super::output::type_of;
use crate::sql::coerce::conversion::{numeric_of, numeric_shape};
use crate::sql::optimizer::Series;
use crate::types::{Error, Result, SqlState, SqlType};

impl Binder<'_> {
    /// A series as a list: of int4, bigint, numeric or timestamps, whichever its arguments are.
    pub(super) fn series(&mut self, call: &Call, schema: &DFSchema) -> Result<Expr> {
        let mut types = Vec::new();
        for argument in &call.arguments {
            types.push(type_of(argument, schema)?);
        }
        let [start, stop, step @ ..] = call.arguments.as_slice() else {
            return Err(Error::internal("a series has a start and a stop"));
        };
        if types.iter().all(|found| *found == SqlType::Unknown) {
            let unknown = vec!["unknown"; types.len()].join(", ");
            let message = format!("function generate_series({unknown}) is not unique");
            let hint = "Could not choose a best candidate function. You might need to add explicit type casts.";
            return Err(Error::new(SqlState::AMBIGUOUS_FUNCTION, message).with_hint(hint).at(call.position));
        }
        let Some(of) = element_type(&types) else {
            return Err(self.no_function(call, schema));
        };
        let step = step.first().cloned().unwrap_or(lit(1));
        self.series_of(&of, start.clone(), stop.clone(), step)
    }

    /// A series of a type as a list.
    pub(super) fn series_of(&mut self, of: &SqlType, start: Expr, stop: Expr, step: Expr) -> Result<Expr> {
        let interval = SqlType::Interval;
        let step_type = if matches!(of, SqlType::Timestamp | SqlType::Timestamptz) { &interval } else { of };
        let arguments = [(start, of), (stop, of), (step, step_type)];
        let arguments = arguments.map(|(argument, wanted)| {
            let argument = self.parameters.decide(argument, wanted);
            explicit(argument, wanted)
        });
        Ok(self.scalar(FUNCTION)?.call(arguments.to_vec()))
    }

    /// The rows of a plan, each as often as its series has values; with the columns of the value and of its position.
    pub(super) fn series_rows(
        &mut self,
        plan: LogicalPlan,
        arguments: &[Expr],
    ) -> Result<(LogicalPlan, Column, Column)> {
        let mut computed: Vec<Expr> = plan.schema().iter().map(Expr::from).collect();
        for argument in arguments {
            computed.push(argument.clone().alias(self.qualifier("series")));
        }
        let input = LogicalPlanBuilder::from(plan).project(computed)?.build()?;
        let (value, position) = (self.qualifier("value"), self.qualifier("position"));
        let node = Arc::new(Series::try_new(input, &value, &position)?);
        let plan = LogicalPlan::Extension(Extension { node });
        Ok((plan, Column::new_unqualified(value), Column::new_unqualified(position)))
    }
}

const FUNCTION: &str = "generate_series";

/// Start, stop and step of a list that is a series.
pub(super) fn series_arguments(list: &Expr) -> Option<&[Expr]> {
    match list {
        Expr::ScalarFunction(function) if function.func.name() == FUNCTION => Some(&function.args),
        _ => None,
    }
}

/// The type of the values of a series, from those of its arguments; None if there is no such series.
fn element_type(types: &[SqlType]) -> Option<SqlType> {
    use SqlType::*;
    let ends = &types[..2];
    if ends.iter().any(|found| matches!(found, Date | Timestamp | Timestamptz)) {
        let known = ends.iter().all(|found| matches!(found, Date | Timestamp | Timestamptz | Unknown));
        let step = types.get(2).is_some_and(|found| matches!(found, Interval | Unknown));
        // Dates alone become timestamps with time zone, the type that PostgreSQL prefers.
        let zoned = ends.contains(&Timestamptz) || !ends.contains(&Timestamp);
        return (known && step).then_some(if zoned { Timestamptz } else { Timestamp });
    }
    let common = types.iter().try_fold(Unknown, |common, found| common_type(&common, found))?;
    match common {
        Int2 | Int4 => Some(Int4),
        Int8 => Some(Int8),
        // A column has one scale: that of the argument with the most digits after the point.
        Numeric(_) => numeric_shape(&common).map(|(_, scale)| numeric_of((38, scale))),
        _ => None,
    }
}
