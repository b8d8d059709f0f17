//! The plan of a maintained view: what the planner lowers a query to, and what [`render`](super::render) builds from.
//!
//! Columns are positional. Every node gives a multiset of rows with the Arrow schema of [`Plan::schema`]; NULL, equality
//! and order are PostgreSQL's. Expressions keep their logical form, from which a subtree's fingerprint follows, beside
//! the physical one that evaluates Arrow batches, which is the same that the batch engine uses.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::{AggregateUDF, Expr};
use datafusion::physical_expr::PhysicalExpr;
use xxhash_rust::xxh3::xxh3_64;

use crate::types::ObjectId;

/// Grows when an operator keeps something else than before, or names an arrangement otherwise: what was saved is then
/// computed again.
const STRUCTURE: u32 = 1;

/// A scalar expression over the columns of one input.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// What was planned; names the expression in EXPLAIN and in fingerprints.
    pub logical: Expr,
    /// What evaluates it; its column indexes are those of the input's schema.
    pub physical: Arc<dyn PhysicalExpr>,
    pub data_type: DataType,
    pub nullable: bool,
}

/// One column of an ORDER BY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// Position in the input.
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    /// Left rows that have a match.
    LeftSemi,
    /// Left rows that have none.
    LeftAnti,
}

/// How an aggregate is kept up to date.
#[derive(Clone, Debug)]
pub enum AggregateFunction {
    /// Rows (no argument) or non-NULL arguments.
    Count,
    /// Sum of non-NULL arguments, in the aggregate's type; NULL without any.
    Sum,
    /// Mean of non-NULL arguments, in the aggregate's type; NULL without any.
    Avg,
    Min,
    Max,
    /// Whatever DataFusion can accumulate: the changed group is read again.
    Other(Arc<AggregateUDF>),
}

/// One aggregate of a [`Plan::Reduce`]; its arguments are columns of the input.
#[derive(Clone, Debug)]
pub struct Aggregate {
    pub function: AggregateFunction,
    pub arguments: Vec<usize>,
    pub distinct: bool,
    /// A boolean column of the input: rows where it is not true do not count.
    pub filter: Option<usize>,
    /// For aggregates whose result depends on order; empty otherwise.
    pub order_by: Vec<SortKey>,
    pub data_type: DataType,
}

/// A node of the plan.
#[derive(Clone, Debug)]
pub enum Plan {
    /// All rows of a table, source or view.
    Get { object: ObjectId, schema: SchemaRef },
    /// The same rows at all times.
    Constant { rows: RecordBatch },
    /// One output column per expression.
    Map { input: Box<Plan>, expressions: Vec<Scalar>, schema: SchemaRef },
    /// The rows for which the predicate is true.
    Filter { input: Box<Plan>, predicate: Scalar },
    /// The rows of all inputs (UNION ALL); the schemas have equal types.
    Union { inputs: Vec<Plan>, schema: SchemaRef },
    /// Every row as often as its column `count` (bigint, not NULL; nothing if negative) says, without that column.
    /// With [`Plan::Reduce`] this makes EXCEPT ALL and INTERSECT ALL.
    Repeat { input: Box<Plan>, count: usize, schema: SchemaRef },
    /// Pairs of rows whose key columns are equal and for which `filter` (over left ++ right columns) is true. The
    /// output is left ++ right for inner and outer joins, left for semi and anti. Without keys it is a cross join.
    Join {
        left: Box<Plan>,
        right: Box<Plan>,
        kind: JoinKind,
        /// Pairs of (left column, right column) of equal types; floats among them are canonical (no -0.0, one NaN).
        keys: Vec<(usize, usize)>,
        /// Whether NULL keys match each other (IS NOT DISTINCT FROM) instead of nothing.
        nulls_equal: bool,
        filter: Option<Scalar>,
        schema: SchemaRef,
    },
    /// One row per distinct value of the key columns: the keys, then the aggregates. Without keys there is always
    /// exactly one row. Without aggregates this is DISTINCT.
    Reduce { input: Box<Plan>, keys: Vec<usize>, aggregates: Vec<Aggregate>, schema: SchemaRef },
    /// Per distinct value of the key columns, the rows at positions `offset..offset + limit` of their order. Ties are
    /// broken by all columns from the left, ascending, NULLs last. `row_number` adds the position, from 1, as a bigint
    /// last column.
    TopK {
        input: Box<Plan>,
        keys: Vec<usize>,
        order: Vec<SortKey>,
        offset: u64,
        limit: Option<u64>,
        row_number: bool,
        schema: SchemaRef,
    },
}

impl Plan {
    /// The columns of the rows that this node gives.
    pub fn schema(&self) -> SchemaRef {
        match self {
            Plan::Get { schema, .. }
            | Plan::Map { schema, .. }
            | Plan::Union { schema, .. }
            | Plan::Repeat { schema, .. }
            | Plan::Join { schema, .. }
            | Plan::Reduce { schema, .. }
            | Plan::TopK { schema, .. } => schema.clone(),
            Plan::Constant { rows } => rows.schema(),
            Plan::Filter { input, .. } => input.schema(),
        }
    }

    /// The nodes that this one reads, in order.
    pub fn inputs(&self) -> Vec<&Plan> {
        match self {
            Plan::Get { .. } | Plan::Constant { .. } => vec![],
            Plan::Map { input, .. }
            | Plan::Filter { input, .. }
            | Plan::Repeat { input, .. }
            | Plan::Reduce { input, .. }
            | Plan::TopK { input, .. } => vec![input],
            Plan::Union { inputs, .. } => inputs.iter().collect(),
            Plan::Join { left, right, .. } => vec![left, right],
        }
    }

    /// The objects that the plan reads, each once.
    pub fn objects(&self) -> std::collections::BTreeSet<ObjectId> {
        let below = self.inputs().into_iter().flat_map(Plan::objects);
        let own = match self {
            Plan::Get { object, .. } => Some(*object),
            _ => None,
        };
        below.chain(own).collect()
    }
}

impl Plan {
    /// A number that is the same for plans whose operators keep the same: what was saved of one can be begun with by the
    /// other. [`STRUCTURE`] is part of it.
    pub fn fingerprint(&self) -> u64 {
        let mut text = format!("{STRUCTURE}");
        self.write_structure(&mut text);
        xxh3_64(text.as_bytes())
    }

    /// What a node computes and how, in words; expressions by their logical form, schemas by their types.
    fn write_structure(&self, text: &mut String) {
        let inputs = self.inputs();
        let node = match self {
            Plan::Get { object, .. } => format!("get {object}"),
            Plan::Constant { rows } => format!("constant {:?}", rows.columns()),
            Plan::Map { expressions, .. } => {
                let expressions: Vec<_> = expressions.iter().map(|scalar| &scalar.logical).collect();
                format!("map {expressions:?}")
            }
            Plan::Filter { predicate, .. } => format!("filter {:?}", predicate.logical),
            Plan::Union { .. } => "union".to_string(),
            Plan::Repeat { count, .. } => format!("repeat {count}"),
            Plan::Join { kind, keys, nulls_equal, filter, .. } => {
                let filter = filter.as_ref().map(|scalar| &scalar.logical);
                format!("join {kind:?} {keys:?} {nulls_equal} {filter:?}")
            }
            Plan::Reduce { keys, aggregates, .. } => {
                let aggregates: Vec<String> = aggregates.iter().map(Aggregate::structure).collect();
                format!("reduce {keys:?} {aggregates:?}")
            }
            Plan::TopK { keys, order, offset, limit, row_number, .. } => {
                format!("top {keys:?} {order:?} {offset} {limit:?} {row_number}")
            }
        };
        let schema = self.schema();
        let types: Vec<_> = schema.fields().iter().map(|field| field.data_type()).collect();
        text.push_str(&format!("({node} {types:?}"));
        inputs.into_iter().for_each(|input| input.write_structure(text));
        text.push(')');
    }
}

impl Aggregate {
    fn structure(&self) -> String {
        let Aggregate { function, arguments, distinct, filter, order_by, data_type } = self;
        let function = match function {
            AggregateFunction::Other(function) => function.name().to_string(),
            kept => format!("{kept:?}"),
        };
        format!("{function} {arguments:?} {distinct} {filter:?} {order_by:?} {data_type:?}")
    }
}
