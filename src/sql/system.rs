//! What the planner asks of the running system: relations and functions that are made up from it.

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

use crate::types::{Relation, SqlType};

/// The relations of pg_catalog, information_schema and millrace, and the functions that look into the catalog.
pub trait SystemRelations: Send + Sync {
    /// The columns of a relation, if there is one of this name.
    fn relation(&self, schema: &str, name: &str) -> Option<Relation>;

    /// A function that depends on the session or the catalog (`pg_get_viewdef`, say), by its name in lower case.
    fn function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let _ = name;
        None
    }

    /// The OID that a name means as a `regclass`, `regproc` or `regnamespace`, beyond what the catalog holds.
    fn oid(&self, kind: &SqlType, schema: Option<&str>, name: &str) -> Option<u32> {
        let _ = (kind, schema, name);
        None
    }
}

/// A system without any; for tests and for planning that must not see the system.
pub struct NoSystemRelations;

impl SystemRelations for NoSystemRelations {
    fn relation(&self, _schema: &str, _name: &str) -> Option<Relation> {
        None
    }
}
