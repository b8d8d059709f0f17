//! Turns text into a checked, optimized plan, and lowers it; the only room that knows SQL.
//!
//! ```text
//!   text ──parse──▶ Statement ──Planner──▶ Planned (an optimized LogicalPlan) ──▶ DataFusion, once
//!                                                        └──lower──▶ dataflow::Plan, kept up to date
//! ```
//! PostgreSQL's meaning is put in before DataFusion's optimizer sees the plan, so that both ways of running it agree.

mod binder;
pub mod coerce;
pub mod explain;
pub mod function;
mod keep_top;
mod keyword;
mod late_ties;
pub mod lower;
pub mod optimizer;
#[cfg(test)]
mod oracle;
mod parse;
pub mod physical;
mod plan_delete;
mod plan_insert;
mod plan_update;
mod planned;
mod planner;
mod returning;
pub mod statement;
mod stepwise;
pub mod stop;
mod system;
#[cfg(test)]
mod tests;
mod type_name;

pub use lower::{infer_key, lower};
pub use parse::{parse, parse_expression, parse_query};
pub use planned::{
    Assignment, Conflict, ConflictAction, CopyPlan, DeletePlan, InsertPlan, PlanContext, Planned, Projection,
    RelationRef, RelationSource, SettingChange, UpdatePlan,
};
pub use planner::{Planner, key_positions, relation_of};
pub use statement::{Command, Statement};
pub use system::{NoSystemRelations, SystemRelations};
pub use type_name::internal_name;
