//! pg_catalog, the relations that clients look into and that have no rows here: there are no such objects.

use datafusion::common::ScalarValue;

use super::SystemRelation;
use crate::engine::session::Session;
use crate::types::{Result, SqlType};

const fn empty(name: &'static str, columns: &'static [(&'static str, SqlType)]) -> SystemRelation {
    SystemRelation { schema: "pg_catalog", name, columns, rows: nothing }
}

fn nothing(_: &mut Session) -> Result<Vec<Vec<ScalarValue>>> {
    Ok(vec![])
}

pub const TABLE: &[SystemRelation] = &[
    empty(
        "pg_constraint",
        &[
            ("oid", SqlType::Oid),
            ("conname", SqlType::Name),
            ("connamespace", SqlType::Oid),
            ("contype", SqlType::InternalChar),
            ("condeferrable", SqlType::Bool),
            ("condeferred", SqlType::Bool),
            ("convalidated", SqlType::Bool),
            ("conrelid", SqlType::Oid),
            ("contypid", SqlType::Oid),
            ("conindid", SqlType::Oid),
            ("conparentid", SqlType::Oid),
            ("confrelid", SqlType::Oid),
            ("confupdtype", SqlType::InternalChar),
            ("confdeltype", SqlType::InternalChar),
            ("confmatchtype", SqlType::InternalChar),
            ("conislocal", SqlType::Bool),
            ("conkey", SqlType::Text),
            ("confkey", SqlType::Text),
            ("conbin", SqlType::Text),
        ],
    ),
    empty(
        "pg_description",
        &[("objoid", SqlType::Oid), ("classoid", SqlType::Oid), ("objsubid", SqlType::Int4), ("description", SqlType::Text)],
    ),
    empty("pg_shdescription", &[("objoid", SqlType::Oid), ("classoid", SqlType::Oid), ("description", SqlType::Text)]),
    empty(
        "pg_inherits",
        &[
            ("inhrelid", SqlType::Oid),
            ("inhparent", SqlType::Oid),
            ("inhseqno", SqlType::Int4),
            ("inhdetachpending", SqlType::Bool),
        ],
    ),
    empty(
        "pg_policy",
        &[
            ("oid", SqlType::Oid),
            ("polname", SqlType::Name),
            ("polrelid", SqlType::Oid),
            ("polcmd", SqlType::InternalChar),
            ("polpermissive", SqlType::Bool),
            ("polroles", SqlType::Text),
            ("polqual", SqlType::Text),
            ("polwithcheck", SqlType::Text),
        ],
    ),
    empty(
        "pg_statistic_ext",
        &[
            ("oid", SqlType::Oid),
            ("stxrelid", SqlType::Oid),
            ("stxname", SqlType::Name),
            ("stxnamespace", SqlType::Oid),
            ("stxkeys", SqlType::Text),
            ("stxkind", SqlType::Text),
            ("stxstattarget", SqlType::Int4),
        ],
    ),
    empty(
        "pg_publication",
        &[
            ("oid", SqlType::Oid),
            ("pubname", SqlType::Name),
            ("puballtables", SqlType::Bool),
            ("pubviaroot", SqlType::Bool),
        ],
    ),
    empty(
        "pg_publication_rel",
        &[
            ("oid", SqlType::Oid),
            ("prpubid", SqlType::Oid),
            ("prrelid", SqlType::Oid),
            ("prqual", SqlType::Text),
            ("prattrs", SqlType::Text),
        ],
    ),
    empty("pg_publication_namespace", &[("oid", SqlType::Oid), ("pnpubid", SqlType::Oid), ("pnnspid", SqlType::Oid)]),
    empty(
        "pg_trigger",
        &[
            ("oid", SqlType::Oid),
            ("tgrelid", SqlType::Oid),
            ("tgparentid", SqlType::Oid),
            ("tgname", SqlType::Name),
            ("tgenabled", SqlType::InternalChar),
            ("tgisinternal", SqlType::Bool),
            ("tgconstraint", SqlType::Oid),
            ("tgdeferrable", SqlType::Bool),
            ("tginitdeferred", SqlType::Bool),
        ],
    ),
    empty(
        "pg_rewrite",
        &[
            ("oid", SqlType::Oid),
            ("rulename", SqlType::Name),
            ("ev_class", SqlType::Oid),
            ("ev_type", SqlType::InternalChar),
            ("ev_enabled", SqlType::InternalChar),
        ],
    ),
    empty(
        "pg_proc",
        &[
            ("oid", SqlType::Oid),
            ("proname", SqlType::Name),
            ("pronamespace", SqlType::Oid),
            ("prokind", SqlType::InternalChar),
            ("prorettype", SqlType::Oid),
            ("proargtypes", SqlType::Text),
        ],
    ),
    empty(
        "pg_enum",
        &[
            ("oid", SqlType::Oid),
            ("enumtypid", SqlType::Oid),
            ("enumsortorder", SqlType::Float4),
            ("enumlabel", SqlType::Name),
        ],
    ),
    empty(
        "pg_range",
        &[("rngtypid", SqlType::Oid), ("rngsubtype", SqlType::Oid), ("rngmultitypid", SqlType::Oid)],
    ),
    empty(
        "pg_extension",
        &[
            ("oid", SqlType::Oid),
            ("extname", SqlType::Name),
            ("extowner", SqlType::Oid),
            ("extnamespace", SqlType::Oid),
            ("extversion", SqlType::Text),
        ],
    ),
    empty(
        "pg_depend",
        &[
            ("classid", SqlType::Oid),
            ("objid", SqlType::Oid),
            ("objsubid", SqlType::Int4),
            ("refclassid", SqlType::Oid),
            ("refobjid", SqlType::Oid),
            ("refobjsubid", SqlType::Int4),
            ("deptype", SqlType::InternalChar),
        ],
    ),
    empty("pg_foreign_table", &[("ftrelid", SqlType::Oid), ("ftserver", SqlType::Oid), ("ftoptions", SqlType::Text)]),
    empty("pg_foreign_server", &[("oid", SqlType::Oid), ("srvname", SqlType::Name), ("srvoptions", SqlType::Text)]),
    empty("pg_auth_members", &[("roleid", SqlType::Oid), ("member", SqlType::Oid), ("admin_option", SqlType::Bool)]),
    empty("pg_sequence", &[("seqrelid", SqlType::Oid), ("seqtypid", SqlType::Oid)]),
];
