//! Plans of queries that a session has planned before: clients prepare a statement once and run it many times, and a
//! point lookup takes longer to plan than to run.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::session_state::SessionState;

use crate::catalog::Catalog;
use crate::sql::{PlanContext, Planned};
use crate::types::{Result, SqlType};

/// Plans that are kept; when there are more, all are forgotten.
const PLANS_MAX: usize = 256;

/// A session's plans, all of one catalog and under the same settings.
#[derive(Default)]
pub struct Plans {
    made_of: Option<(Arc<Catalog>, PlanContext)>,
    /// By the statement's text and the types of parameters that the client has declared.
    queries: HashMap<(String, Vec<Option<SqlType>>), Arc<Planned>>,
    /// What queries run in, which depends on the time zone alone.
    state: Option<(String, Arc<SessionState>)>,
}

impl Plans {
    /// The plan of a query; `make` makes it if it is not known. One that may mean something else the next time is not kept.
    pub fn query(
        &mut self,
        (catalog, context): (&Arc<Catalog>, &PlanContext),
        (text, declared): (&str, &[Option<SqlType>]),
        make: impl FnOnce() -> Result<Planned>,
    ) -> Result<Arc<Planned>> {
        let timeless = PlanContext { now: None, ..context.clone() };
        let same = |(known, context): &(Arc<Catalog>, PlanContext)| Arc::ptr_eq(known, catalog) && *context == timeless;
        if !self.made_of.as_ref().is_some_and(same) {
            self.queries.clear();
            self.made_of = Some((catalog.clone(), timeless));
        }
        let key = (text.to_string(), declared.to_vec());
        if let Some(planned) = self.queries.get(&key) {
            return Ok(planned.clone());
        }
        let planned = Arc::new(make()?);
        if planned.volatile.is_empty() {
            if self.queries.len() >= PLANS_MAX {
                self.queries.clear();
            }
            self.queries.insert(key, planned.clone());
        }
        Ok(planned)
    }

    pub fn state(&mut self, time_zone: &str, make: impl FnOnce() -> SessionState) -> Arc<SessionState> {
        match &self.state {
            Some((zone, state)) if zone == time_zone => state.clone(),
            _ => {
                let state = Arc::new(make());
                self.state = Some((time_zone.to_string(), state.clone()));
                state
            }
        }
    }
}
