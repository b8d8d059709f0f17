//! The one registry of functions, for both ways of running a query: DataFusion's where they mean what PostgreSQL means,
//! ours where they do not.
//!
//! A family is a file; it lists its functions in one table, which [`FAMILIES`] names. A function is a name with overloads
//! (see `definition`), each with a kernel over columns (most of them made of a function of values, see `value`).

mod aggregate;
pub mod arithmetic;
mod array;
pub mod cast;
pub mod catalog;
pub mod clock;
mod concatenation;
mod conditional;
mod datetime;
pub mod definition;
mod logic;
mod math;
mod number_pattern;
mod operator;
mod pattern;
pub mod series;
mod text;
mod value;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use definition::Function;

/// Every family of functions.
const FAMILIES: &[fn() -> Vec<Function>] = &[
    conditional::functions,
    math::functions,
    datetime::functions,
    array::functions,
    clock::functions,
    text::functions,
    catalog::functions,
    series::functions,
];

/// Every function that a query may name, by its name in lower case.
pub struct Registry {
    pub scalars: BTreeMap<String, Arc<ScalarUDF>>,
    pub aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    pub windows: BTreeMap<String, Arc<WindowUDF>>,
    /// Functions that only operators and the rules of [`crate::sql::coerce`] call.
    operators: BTreeMap<String, Arc<ScalarUDF>>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::build);

/// The registry; built once.
pub fn registry() -> &'static Registry {
    &REGISTRY
}

/// How operators and special syntax (EXTRACT, SUBSTRING, ARRAY) become calls of functions; in the order to ask them.
pub fn planners() -> Vec<Arc<dyn ExprPlanner>> {
    let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(operator::Operators)];
    planners.extend(SessionStateDefaults::default_expr_planners());
    planners
}

/// The function behind an operator.
pub fn operator(name: &str) -> Arc<ScalarUDF> {
    registry().operators.get(name).expect("operators are asked for by their own names").clone()
}

/// A function of ours that must be there.
pub fn registered(name: &str) -> Arc<ScalarUDF> {
    let registry = registry();
    let found = registry.operators.get(name).or_else(|| registry.scalars.get(name));
    found.expect("functions are asked for by their own names").clone()
}

/// Orders intervals by their length, with months of 30 days.
pub fn interval_order() -> Arc<ScalarUDF> {
    registered("interval_length")
}

/// char(n) without its padding.
pub fn unpadded() -> Arc<ScalarUDF> {
    registered("unpadded")
}

impl Registry {
    fn build() -> Self {
        let mut registry = Registry {
            scalars: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            windows: BTreeMap::new(),
            operators: BTreeMap::new(),
        };
        for function in SessionStateDefaults::default_scalar_functions() {
            registry.add_scalar(function);
        }
        for function in SessionStateDefaults::default_aggregate_functions() {
            registry.add_aggregate(function);
        }
        for function in aggregate::functions() {
            // Also under names that only DataFusion has for it.
            registry.aggregates.retain(|_, known| known.name() != function.name());
            registry.add_aggregate(function);
        }
        for function in SessionStateDefaults::default_window_functions() {
            let names = std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str));
            registry.windows.extend(names.map(|name| (name.to_string(), function.clone())));
        }
        for family in FAMILIES {
            for function in family() {
                let udf = function.udf();
                registry.scalars.retain(|_, known| known.name() != udf.name());
                registry.add_scalar(udf);
            }
        }
        let operators =
            arithmetic::operators().into_iter().chain(concatenation::operators()).chain(pattern::operators());
        for function in operators.chain(logic::internal()) {
            let udf = function.udf();
            registry.operators.insert(udf.name().to_string(), udf);
        }
        registry
    }

    fn add_scalar(&mut self, function: Arc<ScalarUDF>) {
        let names = std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str));
        self.scalars.extend(names.map(|name| (name.to_string(), function.clone())));
    }

    fn add_aggregate(&mut self, function: Arc<AggregateUDF>) {
        let names = std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str));
        self.aggregates.extend(names.map(|name| (name.to_string(), function.clone())));
    }
}

#[cfg(test)]
mod tests;
