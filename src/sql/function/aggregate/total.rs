//! sum and avg: exact in whatever order rows come and leave, with PostgreSQL's result types.
//!
//! | argument      | sum              | avg                                     |
//! |---------------|------------------|-----------------------------------------|
//! | int2, int4    | bigint           | numeric                                 |
//! | bigint        | numeric(38,0)    | numeric                                 |
//! | numeric(p, s) | numeric(38, s)   | numeric(38, max(s, 16))                 |
//! | float4        | float4           | float8                                  |
//! | float8        | float8           | float8                                  |
//! | interval      | interval         | interval                                |

use std::collections::HashSet;
use std::mem::size_of_val;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator as RowAccumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use crate::dataflow::accumulator::{Accumulates, Accumulator, Outcome, each, mean, total, weights};
use crate::sql::coerce::bare_name;
use crate::types::{Error, Result, SqlState, SqlType, Stamps};

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Total {
    mean: bool,
    signature: Signature,
}

impl Total {
    pub fn sum() -> Self {
        Total { mean: false, signature: Signature::user_defined(Volatility::Immutable) }
    }

    pub fn average() -> Self {
        Total { mean: true, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn parts(&self, argument: &DataType, result: &DataType) -> Result<Parts> {
        let accumulates = Accumulates::sum_of(argument)?;
        let sums = Accumulator::new(accumulates);
        Ok(Parts { accumulates, sums, counts: vec![], mean: self.mean, result: result.clone() })
    }
}

impl AggregateUDFImpl for Total {
    fn name(&self) -> &str {
        if self.mean { "avg" } else { "sum" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What has no sum stays what it is: the error of [`AggregateUDFImpl::return_type`] arrives as ours.
    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        let [argument] = types else { return Ok(types.to_vec()) };
        Ok(vec![match argument {
            DataType::Null => DataType::Float64,
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                DataType::Decimal128(*precision, *scale)
            }
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            DataType::Time64(_) => SqlType::Interval.arrow(),
            known => known.clone(),
        }])
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        let [argument] = types else {
            return Err(self.no_such_function(types).into());
        };
        if !argument.is_numeric() && !matches!(argument, DataType::Interval(_)) {
            return Err(self.no_such_function(types).into());
        }
        Ok(match (argument, self.mean) {
            (DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16, false) => {
                DataType::Int64
            }
            (DataType::UInt32 | DataType::Int64 | DataType::UInt64, false) => DataType::Decimal128(38, 0),
            (DataType::Decimal128(_, scale), false) => DataType::Decimal128(38, *scale),
            (DataType::Decimal256(_, scale), false) => DataType::Decimal256(76, *scale),
            (DataType::Decimal128(_, scale), true) => DataType::Decimal128(38, (*scale).max(16)),
            (DataType::Decimal256(_, scale), true) => DataType::Decimal256(76, (*scale).max(16)),
            (integer, true) if integer.is_integer() => DataType::Decimal128(38, 16),
            (DataType::Float32, true) => DataType::Float64,
            (other, _) => other.clone(),
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> DataFusionResult<Box<dyn RowAccumulator>> {
        let argument = args.exprs[0].data_type(args.schema)?;
        let mut parts = self.parts(&argument, args.return_type())?;
        parts.grow(1);
        Ok(match args.is_distinct {
            true => Box::new(Distinct { argument, values: HashSet::new(), parts }),
            false => Box::new(Single(parts)),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DataFusionResult<Vec<FieldRef>> {
        let argument = args.input_fields[0].data_type();
        if args.is_distinct {
            let list = DataType::List(Arc::new(Field::new("item", argument.clone(), true)));
            return Ok(vec![Arc::new(Field::new(format!("{}[distinct]", args.name), list, false))]);
        }
        let types = Accumulates::sum_of(argument)?.state_types().into_iter().chain([DataType::Int64]);
        let named = types.enumerate().map(|(place, found)| Field::new(format!("{}[{place}]", args.name), found, false));
        Ok(named.map(Arc::new).collect())
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        let argument = args.exprs[0].data_type(args.schema)?;
        Ok(Box::new(self.parts(&argument, args.return_type())?))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
        datafusion::logical_expr::utils::AggregateOrderSensitivity::Insensitive
    }
}

impl Total {
    fn no_such_function(&self, types: &[DataType]) -> Error {
        let types: Vec<String> = types.iter().map(|found| bare_name(&SqlType::of_arrow(found))).collect();
        let message = format!("function {}({}) does not exist", self.name(), types.join(", "));
        let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
        Error::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(hint)
    }
}

/// Sums and counts of groups.
#[derive(Debug)]
struct Parts {
    accumulates: Accumulates,
    sums: Accumulator,
    counts: Vec<i64>,
    mean: bool,
    result: DataType,
}

impl Parts {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups);
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef, filter: Option<&ArrayRef>, weight: i64) -> Result<()> {
        let weights = weights(values.len(), &Stamps::Same(weight), Some(values), filter);
        each(groups, &weights, |group, _, weight| self.counts[group] += weight);
        self.sums.update(groups, Some(values), &weights)
    }

    fn merge(&mut self, groups: &[u32], columns: &[ArrayRef]) {
        let (counts, sums) = columns.split_last().expect("a state ends with its count");
        for (row, group) in groups.iter().enumerate() {
            self.counts[*group as usize] += counts.as_primitive::<Int64Type>().value(row);
        }
        self.sums.merge(groups, sums);
    }

    fn columns(&self) -> Vec<ArrayRef> {
        let mut columns = self.sums.state();
        columns.push(Arc::new(Int64Array::from(self.counts.clone())));
        columns
    }

    /// The states of the groups that are emitted; the others move to the front.
    fn take(&mut self, emit: EmitTo) -> Vec<ArrayRef> {
        let columns = self.columns();
        let emitted = match emit {
            EmitTo::All => self.counts.len(),
            EmitTo::First(groups) => groups,
        };
        let rest = self.counts.len() - emitted;
        self.sums = Accumulator::new(self.accumulates);
        self.counts.clear();
        self.grow(rest);
        let kept: Vec<ArrayRef> = columns.iter().map(|column| column.slice(emitted, rest)).collect();
        self.merge(&(0..rest as u32).collect::<Vec<_>>(), &kept);
        columns.iter().map(|column| column.slice(0, emitted)).collect()
    }

    fn results(&self, columns: &[ArrayRef]) -> Result<ArrayRef> {
        let (counts, sums) = columns.split_last().expect("a state ends with its count");
        let counts = counts.as_primitive::<Int64Type>();
        let Outcome { values, errors } = match self.mean {
            true => mean(self.accumulates, sums, counts, &self.result),
            false => total(self.accumulates, sums, counts, &self.result),
        };
        match errors.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(values),
        }
    }
}

fn narrow(groups: &[usize]) -> Vec<u32> {
    groups.iter().map(|&group| group as u32).collect()
}

impl GroupsAccumulator for Parts {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> DataFusionResult<()> {
        self.grow(total_groups);
        let filter = filter.map(|filter| Arc::new(filter.clone()) as ArrayRef);
        Ok(self.update(&narrow(groups), &values[0], filter.as_ref(), 1)?)
    }

    fn evaluate(&mut self, emit: EmitTo) -> DataFusionResult<ArrayRef> {
        let columns = self.take(emit);
        Ok(self.results(&columns)?)
    }

    fn state(&mut self, emit: EmitTo) -> DataFusionResult<Vec<ArrayRef>> {
        Ok(self.take(emit))
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        _: Option<&BooleanArray>,
        total_groups: usize,
    ) -> DataFusionResult<()> {
        self.grow(total_groups);
        self.merge(&narrow(groups), values);
        Ok(())
    }

    fn size(&self) -> usize {
        // A float's exact sum is rarely longer than a few words; the others are one.
        size_of_val(self) + self.counts.len() * 48
    }
}

/// One group, which rows may also leave (a window's frame).
#[derive(Debug)]
struct Single(Parts);

impl RowAccumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        Ok(self.0.update(&vec![0; values[0].len()], &values[0], None, 1)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        Ok(self.0.update(&vec![0; values[0].len()], &values[0], None, -1)?)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        self.0.merge(&vec![0; states[0].len()], states);
        Ok(())
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let results = self.0.results(&self.0.columns())?;
        ScalarValue::try_from_array(&results, 0)
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        self.0.columns().iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn size(&self) -> usize {
        size_of_val(self) + 48
    }
}

/// Every value once.
#[derive(Debug)]
struct Distinct {
    argument: DataType,
    values: HashSet<ScalarValue>,
    parts: Parts,
}

impl Distinct {
    fn array(&self) -> DataFusionResult<ArrayRef> {
        match self.values.is_empty() {
            true => Ok(datafusion::arrow::array::new_empty_array(&self.argument)),
            false => ScalarValue::iter_to_array(self.values.iter().cloned()),
        }
    }

    fn insert(&mut self, values: &ArrayRef) -> DataFusionResult<()> {
        for row in (0..values.len()).filter(|&row| values.is_valid(row)) {
            self.values.insert(canonical(ScalarValue::try_from_array(values, row)?));
        }
        Ok(())
    }
}

/// -0.0 and 0.0 are one value, and so are all NaNs.
fn canonical(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float64(Some(float)) if float.is_nan() => ScalarValue::Float64(Some(f64::NAN)),
        ScalarValue::Float32(Some(float)) if float.is_nan() => ScalarValue::Float32(Some(f32::NAN)),
        ScalarValue::Float64(Some(float)) => ScalarValue::Float64(Some(float + 0.0)),
        ScalarValue::Float32(Some(float)) => ScalarValue::Float32(Some(float + 0.0)),
        other => other,
    }
}

impl RowAccumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.insert(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let lists: &ListArray = states[0].as_list();
        lists.iter().flatten().try_for_each(|values| self.insert(&values))
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let values = self.array()?;
        let mut parts = Parts {
            accumulates: self.parts.accumulates,
            sums: Accumulator::new(self.parts.accumulates),
            counts: vec![],
            mean: self.parts.mean,
            result: self.parts.result.clone(),
        };
        parts.grow(1);
        parts.update(&vec![0; values.len()], &values, None, 1)?;
        ScalarValue::try_from_array(&parts.results(&parts.columns())?, 0)
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let values = self.array()?;
        let field = Arc::new(Field::new("item", self.argument.clone(), true));
        let list = ListArray::new(field, OffsetBuffer::from_lengths([values.len()]), values, None);
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.len() * size_of::<ScalarValue>()
    }
}
