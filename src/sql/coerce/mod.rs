//! Types as PostgreSQL gives them: rules that run before DataFusion's own type coercion, and leave it nothing to decide.
//!
//! | file         | decides                                                                                  |
//! |--------------|------------------------------------------------------------------------------------------|
//! | `conversion` | which type becomes which by itself, and what two types have in common                    |
//! | `select`     | which overload of a function is meant                                                    |
//! | `expression` | the types inside one expression: literals, operators, CASE, IN, casts                    |
//! | `plan`       | the same through a whole plan, from the leaves up, and across UNION and VALUES           |
//! | `guard`      | after optimizing: that what may fail is evaluated only where PostgreSQL would            |

pub mod conversion;
mod expression;
mod guard;
mod plan;
mod select;

use std::sync::Arc;

use datafusion::optimizer::AnalyzerRule;

pub use expression::{Typer, comparable};
pub use guard::guard;
pub use select::{Argument, Selection, bare_name, select, select_typed};

/// The analyzer rules, in order; to be placed before DataFusion's type coercion.
pub fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![Arc::new(plan::SettleTypes)]
}
