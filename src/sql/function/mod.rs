//! The one registry of functions, for both ways of running a query: DataFusion's where they mean what PostgreSQL means,
//! ours where they do not.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// Every function that a query may name, by its name in lower case.
pub struct Registry {
    pub scalars: BTreeMap<String, Arc<ScalarUDF>>,
    pub aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    pub windows: BTreeMap<String, Arc<WindowUDF>>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::build);

/// The registry; built once.
pub fn registry() -> &'static Registry {
    &REGISTRY
}

/// How operators and special syntax (EXTRACT, SUBSTRING, ARRAY) become calls of functions; in the order to ask them.
pub fn planners() -> Vec<Arc<dyn ExprPlanner>> {
    SessionStateDefaults::default_expr_planners()
}

impl Registry {
    fn build() -> Self {
        let mut registry =
            Registry { scalars: BTreeMap::new(), aggregates: BTreeMap::new(), windows: BTreeMap::new() };
        SessionStateDefaults::default_scalar_functions().into_iter().for_each(|function| registry.add_scalar(function));
        for function in SessionStateDefaults::default_aggregate_functions() {
            registry.add_aggregate(function);
        }
        for function in SessionStateDefaults::default_window_functions() {
            let names = std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str));
            registry.windows.extend(names.map(|name| (name.to_string(), function.clone())));
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
