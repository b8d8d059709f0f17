//! pg_catalog, the relations that clients look into and that have no rows here: there are no such objects.

use datafusion::common::ScalarValue;

use super::Kind::{self, Many, One};
use super::SystemRelation;
use crate::engine::session::Session;
use crate::types::{Result, SqlType};

const fn empty(name: &'static str, columns: &'static [(&'static str, Kind)]) -> SystemRelation {
    SystemRelation { schema: "pg_catalog", name, columns, rows: nothing }
}

fn nothing(_: &mut Session) -> Result<Vec<Vec<ScalarValue>>> {
    Ok(vec![])
}

pub const TABLE: &[SystemRelation] = &[
    empty(
        "pg_description",
        &[
            ("objoid", One(SqlType::Oid)),
            ("classoid", One(SqlType::Oid)),
            ("objsubid", One(SqlType::Int4)),
            ("description", One(SqlType::Text)),
        ],
    ),
    empty(
        "pg_shdescription",
        &[("objoid", One(SqlType::Oid)), ("classoid", One(SqlType::Oid)), ("description", One(SqlType::Text))],
    ),
    empty(
        "pg_inherits",
        &[
            ("inhrelid", One(SqlType::Oid)),
            ("inhparent", One(SqlType::Oid)),
            ("inhseqno", One(SqlType::Int4)),
            ("inhdetachpending", One(SqlType::Bool)),
        ],
    ),
    empty(
        "pg_policy",
        &[
            ("oid", One(SqlType::Oid)),
            ("polname", One(SqlType::Name)),
            ("polrelid", One(SqlType::Oid)),
            ("polcmd", One(SqlType::InternalChar)),
            ("polpermissive", One(SqlType::Bool)),
            ("polroles", Many(SqlType::Oid)),
            ("polqual", One(SqlType::Text)),
            ("polwithcheck", One(SqlType::Text)),
        ],
    ),
    empty(
        "pg_statistic_ext",
        &[
            ("oid", One(SqlType::Oid)),
            ("stxrelid", One(SqlType::Oid)),
            ("stxname", One(SqlType::Name)),
            ("stxnamespace", One(SqlType::Oid)),
            ("stxkeys", One(SqlType::Text)),
            ("stxkind", Many(SqlType::InternalChar)),
            ("stxstattarget", One(SqlType::Int4)),
        ],
    ),
    empty(
        "pg_publication",
        &[
            ("oid", One(SqlType::Oid)),
            ("pubname", One(SqlType::Name)),
            ("puballtables", One(SqlType::Bool)),
            ("pubviaroot", One(SqlType::Bool)),
        ],
    ),
    empty(
        "pg_publication_rel",
        &[
            ("oid", One(SqlType::Oid)),
            ("prpubid", One(SqlType::Oid)),
            ("prrelid", One(SqlType::Oid)),
            ("prqual", One(SqlType::Text)),
            ("prattrs", Many(SqlType::Int2)),
        ],
    ),
    empty(
        "pg_publication_namespace",
        &[("oid", One(SqlType::Oid)), ("pnpubid", One(SqlType::Oid)), ("pnnspid", One(SqlType::Oid))],
    ),
    empty(
        "pg_trigger",
        &[
            ("oid", One(SqlType::Oid)),
            ("tgrelid", One(SqlType::Oid)),
            ("tgparentid", One(SqlType::Oid)),
            ("tgname", One(SqlType::Name)),
            ("tgenabled", One(SqlType::InternalChar)),
            ("tgisinternal", One(SqlType::Bool)),
            ("tgconstraint", One(SqlType::Oid)),
            ("tgdeferrable", One(SqlType::Bool)),
            ("tginitdeferred", One(SqlType::Bool)),
        ],
    ),
    empty(
        "pg_rewrite",
        &[
            ("oid", One(SqlType::Oid)),
            ("rulename", One(SqlType::Name)),
            ("ev_class", One(SqlType::Oid)),
            ("ev_type", One(SqlType::InternalChar)),
            ("ev_enabled", One(SqlType::InternalChar)),
        ],
    ),
    empty(
        "pg_proc",
        &[
            ("oid", One(SqlType::Oid)),
            ("proname", One(SqlType::Name)),
            ("pronamespace", One(SqlType::Oid)),
            ("prokind", One(SqlType::InternalChar)),
            ("prorettype", One(SqlType::Oid)),
            ("proargtypes", One(SqlType::Text)),
        ],
    ),
    empty(
        "pg_enum",
        &[
            ("oid", One(SqlType::Oid)),
            ("enumtypid", One(SqlType::Oid)),
            ("enumsortorder", One(SqlType::Float4)),
            ("enumlabel", One(SqlType::Name)),
        ],
    ),
    empty(
        "pg_range",
        &[("rngtypid", One(SqlType::Oid)), ("rngsubtype", One(SqlType::Oid)), ("rngmultitypid", One(SqlType::Oid))],
    ),
    empty(
        "pg_extension",
        &[
            ("oid", One(SqlType::Oid)),
            ("extname", One(SqlType::Name)),
            ("extowner", One(SqlType::Oid)),
            ("extnamespace", One(SqlType::Oid)),
            ("extversion", One(SqlType::Text)),
        ],
    ),
    empty(
        "pg_depend",
        &[
            ("classid", One(SqlType::Oid)),
            ("objid", One(SqlType::Oid)),
            ("objsubid", One(SqlType::Int4)),
            ("refclassid", One(SqlType::Oid)),
            ("refobjid", One(SqlType::Oid)),
            ("refobjsubid", One(SqlType::Int4)),
            ("deptype", One(SqlType::InternalChar)),
        ],
    ),
    empty(
        "pg_foreign_table",
        &[("ftrelid", One(SqlType::Oid)), ("ftserver", One(SqlType::Oid)), ("ftoptions", Many(SqlType::Text))],
    ),
    empty(
        "pg_foreign_server",
        &[("oid", One(SqlType::Oid)), ("srvname", One(SqlType::Name)), ("srvoptions", Many(SqlType::Text))],
    ),
    empty(
        "pg_auth_members",
        &[("roleid", One(SqlType::Oid)), ("member", One(SqlType::Oid)), ("admin_option", One(SqlType::Bool))],
    ),
    empty("pg_sequence", &[("seqrelid", One(SqlType::Oid)), ("seqtypid", One(SqlType::Oid))]),
];
