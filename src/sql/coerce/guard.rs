//! After optimizing: what may fail on a row is evaluated only on the rows that need it.
//!
//! PostgreSQL evaluates row by row: in `b <> 0 AND a / b > 1` a row with `b = 0` never divides. DataFusion evaluates
//! both sides on a whole batch, unless all rows agree on the left one, so whether a query fails would depend on which rows
//! stand together in a batch. CASE is evaluated only on the rows that reach a branch, by DataFusion too. So an AND or OR
//! with an operand that may fail becomes a CASE:
//!
//! ```text
//!   safe AND risky   becomes   safe AND truth(CASE WHEN safe IS NOT FALSE THEN both(safe, risky) ELSE 0 END)
//!   safe OR risky    becomes   truth(CASE WHEN safe IS NOT TRUE THEN either(safe, risky) ELSE 1 END)
//! ```
//! (What is safe stays in sight of an AND, so that an index can still be used for it.)
//! `both` and `either` are AND and OR, given as 1, 0 or NULL: DataFusion's simplifier takes a CASE of booleans apart into
//! ANDs and ORs again, but not one of integers. Among operands, those that can't fail come first; the others keep their
//! order. The same holds for COALESCE, and for the arguments of an aggregate with a FILTER. The rule must run last: what
//! is guarded no longer splits into keys of a join or into filters that can be pushed down.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, BinaryExpr, Case, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};

use crate::sql::function::cast::Cast;
use crate::sql::function::definition::Function;
use crate::sql::function::registered;
use crate::types::Result;

/// The last step, to be taken once after optimizing.
pub fn guard(plan: LogicalPlan) -> Result<LogicalPlan> {
    let guarded = plan.transform_up_with_subqueries(|plan| {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expression| {
            let name = names.save(&expression);
            Ok(guarded(expression)?.update_data(|guarded| name.restore(guarded)))
        })
    })?;
    Ok(guarded.data)
}

/// Guards an expression, from the outside in: a chain of ANDs is looked at as a whole.
pub fn guarded(expression: Expr) -> DataFusionResult<Transformed<Expr>> {
    expression.transform_down(|part| match part {
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) if is_fallible(&part) => {
            let chain = guarded_chain(part, op)?;
            Ok(Transformed::new(chain, true, TreeNodeRecursion::Jump))
        }
        Expr::ScalarFunction(call) if call.name() == "coalesce" && call.args.iter().skip(1).any(is_fallible) => {
            Ok(Transformed::yes(lazy_coalesce(call)))
        }
        Expr::AggregateFunction(call) if call.params.filter.is_some() && call.params.args.iter().any(is_fallible) => {
            Ok(Transformed::yes(filtered_aggregate(call)))
        }
        other => Ok(Transformed::no(other)),
    })
}

fn is_fallible(expression: &Expr) -> bool {
    let found = expression.exists(|part| {
        Ok(match part {
            Expr::ScalarFunction(call) => match call.func.inner().downcast_ref::<Function>() {
                Some(function) => function.fallible,
                None => call.func.inner().downcast_ref::<Cast>().is_some_and(Cast::is_fallible),
            },
            _ => false,
        })
    });
    found.unwrap_or(true)
}

fn operands(expression: Expr, op: Operator, into: &mut Vec<Expr>) {
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op: found, right }) if found == op => {
            operands(*left, op, into);
            operands(*right, op, into);
        }
        other => into.push(other),
    }
}

fn guarded_chain(expression: Expr, op: Operator) -> DataFusionResult<Expr> {
    let mut all = vec![];
    operands(expression, op, &mut all);
    let (risky, safe): (Vec<Expr>, Vec<Expr>) = all.into_iter().partition(is_fallible);
    let joined =
        |left: Expr, right: Expr| Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) });
    let safe = safe.into_iter().reduce(joined);
    let mut steps: Vec<Expr> = safe.iter().cloned().collect();
    for operand in risky {
        steps.push(guarded(operand)?.data);
    }
    let last = steps.pop().expect("a chain has operands");
    let lazy = steps.into_iter().rfold(last, |risky, first| lazily(first, risky, op));
    Ok(match (safe, op) {
        (Some(safe), Operator::And) => joined(safe, lazy),
        _ => lazy,
    })
}

/// `first op risky`, where `risky` is evaluated only on rows that `first` does not decide.
fn lazily(first: Expr, risky: Expr, op: Operator) -> Expr {
    let (undecided, name, decided) = match op {
        Operator::And => (Expr::IsNotFalse(Box::new(first.clone())), "both", 0),
        _ => (Expr::IsNotTrue(Box::new(first.clone())), "either", 1),
    };
    let then = registered(name).call(vec![first, risky]);
    let otherwise = Expr::Literal(ScalarValue::Int16(Some(decided)), None);
    let case = Case {
        expr: None,
        when_then_expr: vec![(Box::new(undecided), Box::new(then))],
        else_expr: Some(Box::new(otherwise)),
    };
    registered("truth").call(vec![Expr::Case(case)])
}

fn lazy_coalesce(call: ScalarFunction) -> Expr {
    let mut arguments = call.args;
    let last = arguments.pop().expect("coalesce has arguments");
    let pairs = arguments.into_iter().map(|argument| {
        let given = Expr::IsNotNull(Box::new(argument.clone()));
        (Box::new(given), Box::new(argument))
    });
    Expr::Case(Case { expr: None, when_then_expr: pairs.collect(), else_expr: Some(Box::new(last)) })
}

/// The arguments count only where the filter holds, so they are NULL elsewhere.
fn filtered_aggregate(mut call: AggregateFunction) -> Expr {
    let filter = call.params.filter.clone().expect("only aggregates with a filter come here");
    for argument in &mut call.params.args {
        if is_fallible(argument) {
            let then = std::mem::take(argument);
            let pairs = vec![(filter.clone(), Box::new(then))];
            *argument = Expr::Case(Case { expr: None, when_then_expr: pairs, else_expr: None });
        }
    }
    Expr::AggregateFunction(call)
}
