//! What a function of ours is: a name and its overloads, each with the types it takes, the type it gives, and a kernel.
//!
//! [`crate::sql::coerce`] chooses the overload and casts the arguments to it, so that a kernel only ever sees its own
//! types. DataFusion asks for types before that, when arguments are still literals without a type: then the overload that
//! would be chosen answers.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, new_empty_array, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::sql::coerce::{Argument, select};
use crate::types::text::{TextStyle, Zone};
use crate::types::{Result, SqlType};

/// What stands at a place of an overload.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// Of this type (any precision or length).
    Is(SqlType),
    /// Of any type, each for itself.
    Any,
    /// Of any type, but one for all such places.
    Same,
    /// An array; its elements are of the type of [`Parameter::Element`].
    Array,
    Element,
}

/// The type of a result, from those of the arguments.
#[derive(Clone)]
pub enum Gives {
    Is(SqlType),
    /// The type of all [`Parameter::Same`] places.
    Same,
    /// The array's type, or its elements'.
    Array,
    Element,
    From(fn(&[Argument]) -> Result<SqlType>),
}

pub type Kernel = fn(&Call) -> Result<ArrayRef>;

#[derive(Clone)]
pub struct Overload {
    pub parameters: Vec<Parameter>,
    /// The last parameter may be repeated, also not at all.
    pub variadic: bool,
    pub gives: Gives,
    pub kernel: Kernel,
    /// NULL in, NULL out: the kernel need not look at rows with a NULL argument.
    pub strict: bool,
    /// Constants come to the kernel as columns of one row, not of as many as the others have.
    pub datums: bool,
}

/// How calls are written in EXPLAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    Call,
    Infix,
    Prefix,
}

/// A function with its overloads.
pub struct Function {
    name: &'static str,
    signature: Signature,
    pub overloads: Vec<Overload>,
    pub notation: Notation,
    /// Whether some arguments make it fail.
    pub fallible: bool,
}

impl Function {
    pub fn new(name: &'static str, overloads: Vec<Overload>) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Function { name, signature, overloads, notation: Notation::Call, fallible: true }
    }

    pub fn written(mut self, notation: Notation) -> Self {
        self.notation = notation;
        self
    }

    pub fn infallible(mut self) -> Self {
        self.fallible = false;
        self
    }

    pub fn volatility(mut self, volatility: Volatility) -> Self {
        self.signature = Signature::user_defined(volatility);
        self
    }

    pub fn udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(self))
    }
}

impl Overload {
    pub fn new(parameters: impl IntoIterator<Item = Parameter>, gives: Gives, kernel: Kernel) -> Self {
        Overload {
            parameters: parameters.into_iter().collect(),
            variadic: false,
            gives,
            kernel,
            strict: true,
            datums: false,
        }
    }

    /// Of plain types only.
    pub fn of<const N: usize>(parameters: [SqlType; N], gives: SqlType, kernel: Kernel) -> Self {
        Self::new(parameters.map(Parameter::Is), Gives::Is(gives), kernel)
    }

    pub fn variadic(mut self) -> Self {
        self.variadic = true;
        self
    }

    pub fn on_datums(mut self) -> Self {
        self.datums = true;
        self
    }

    pub fn not_strict(mut self) -> Self {
        self.strict = false;
        self
    }
}

/// One call of a kernel: arguments of the overload's types.
pub struct Call<'a> {
    pub arguments: &'a [ColumnarValue],
    pub types: &'a [SqlType],
    pub rows: usize,
    pub result: &'a DataType,
    pub options: &'a ConfigOptions,
    arrays: Vec<ArrayRef>,
}

impl Call<'_> {
    /// An argument as a column.
    pub fn array(&self, place: usize) -> &ArrayRef {
        &self.arrays[place]
    }

    pub fn arrays(&self) -> &[ArrayRef] {
        &self.arrays
    }

    pub fn style(&self) -> TextStyle {
        style_of(self.options)
    }

    /// The session's time zone.
    pub fn zone(&self) -> Result<Zone> {
        Zone::of_name(&self.style().time_zone)
    }
}

/// How values are printed and read under these options.
pub fn style_of(options: &ConfigOptions) -> TextStyle {
    TextStyle { time_zone: options.execution.time_zone.clone().unwrap_or_else(|| "UTC".into()) }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.notation == other.notation
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The arguments have been cast already; whatever comes is what is meant.
    fn coerce_types(&self, types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        let arguments: Vec<Argument> = types.iter().map(|found| Argument::typed(SqlType::of_arrow(found))).collect();
        Ok(select(self, &arguments)?.result.arrow())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let arguments = args.arg_fields.iter().zip(args.scalar_arguments).map(|(f, value)| Argument::of(f, *value));
        let selection = select(self, &arguments.collect::<Vec<_>>())?;
        Ok(Arc::new(selection.result.field(self.name, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(args.return_type())));
        }
        let constant = !args.args.is_empty() && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let constant = constant && self.signature.volatility != Volatility::Volatile;
        let rows = if constant { 1 } else { args.number_rows };
        let arguments = args.arg_fields.iter().zip(&args.args).map(|(field, value)| match value {
            ColumnarValue::Scalar(value) => Argument::of(field, Some(value)),
            ColumnarValue::Array(_) => Argument::of(field, None),
        });
        let selection = select(self, &arguments.collect::<Vec<_>>())?;
        let overload = &self.overloads[selection.overload];
        if overload.strict && args.args.iter().any(|arg| matches!(arg, ColumnarValue::Scalar(value) if value.is_null()))
        {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_type())?));
        }
        let constant_rows = if overload.datums { 1 } else { rows };
        let arrays = args.args.iter().map(|arg| match arg {
            ColumnarValue::Array(array) => Ok(array.clone()),
            ColumnarValue::Scalar(value) => value.to_array_of_size(constant_rows),
        });
        let arrays = arrays.collect::<DataFusionResult<Vec<_>>>()?;
        let call = Call {
            arguments: &args.args,
            types: &selection.targets,
            rows,
            result: args.return_field.data_type(),
            options: &args.config_options,
            arrays,
        };
        let result = (overload.kernel)(&call)?;
        debug_assert_eq!(result.data_type(), args.return_type(), "{} gives what it said", self.name);
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)),
            false => Ok(ColumnarValue::Array(result)),
        }
    }

    fn schema_name(&self, arguments: &[Expr]) -> DataFusionResult<String> {
        let names: Vec<String> = arguments.iter().map(|argument| argument.schema_name().to_string()).collect();
        Ok(self.call_text(&names))
    }

    fn display_name(&self, arguments: &[Expr]) -> DataFusionResult<String> {
        let names: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Ok(self.call_text(&names))
    }
}

impl Function {
    fn call_text(&self, arguments: &[String]) -> String {
        match (self.notation, arguments) {
            (Notation::Infix, [left, right]) => format!("({left} {} {right})", self.name),
            (Notation::Prefix, [operand]) => format!("({}{operand})", self.name.trim_start_matches("unary ")),
            _ => format!("{}({})", self.name, arguments.join(", ")),
        }
    }
}

/// A column of NULLs.
pub fn nulls(call: &Call) -> ArrayRef {
    new_null_array(call.result, call.rows)
}

/// The element's field of an array type.
pub fn item_field(element: &SqlType) -> Arc<Field> {
    Arc::new(element.field("item", true))
}
