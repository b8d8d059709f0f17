//! Turns text into a checked, optimized plan, and lowers it; the only room that knows SQL.
//!
//! ```text
//!   text ──parse──▶ Statement ──Planner──▶ Planned (an optimized LogicalPlan) ──▶ DataFusion, once
//!                                                        └──lower──▶ dataflow::Plan, kept up to date
//! ```
//! PostgreSQL's meaning is put in before DataFusion's optimizer sees the plan, so that both ways of running it agree.

pub mod coerce;
pub mod function;
mod parse;
mod planned;
pub mod statement;
mod type_name;

pub use parse::{parse, parse_expression, parse_query};
pub use planned::{
    Assignment, Conflict, ConflictAction, DeletePlan, InsertPlan, PlanContext, Planned, Projection, RelationRef,
    RelationSource, UpdatePlan,
};
pub use statement::{Command, Statement};
