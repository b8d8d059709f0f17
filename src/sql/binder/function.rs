//! Function calls: scalar functions, aggregates, window functions.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, NullTreatment, ScalarFunction, Sort, WindowFunction,
    WindowFunctionParams,
};
use datafusion::logical_expr::type_coercion::functions::{UDFCoercionExt, fields_with_udf};
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, ScalarUDF, TypeSignature, Volatility, WindowFunctionDefinition, cast, lit,
};
use sqlparser::ast::{
    self, DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
};

use super::Binder;
use super::expression::Place;
use super::output::type_of;
use super::query::sort;
use super::scope::Scope;
use crate::sql::function::registry;
use crate::sql::statement::Name;
use crate::types::{Error, Result, SqlState, SqlType};

/// A call, as it was written and bound.
pub(super) struct Call {
    pub name: String,
    pub position: usize,
    pub arguments: Vec<Expr>,
    is_star: bool,
    distinct: bool,
    order_by: Vec<Sort>,
    null_treatment: Option<NullTreatment>,
}

impl Binder<'_> {
    pub(super) fn function(&mut self, function: &Function, scope: &Scope, place: Place) -> Result<Expr> {
        if let FunctionArguments::Subquery(query) = &function.args {
            return self.array_of_subquery(query, scope);
        }
        let name = self.function_name(&function.name)?;
        let aggregates = registry().aggregates.get(&name.name);
        let is_aggregate = aggregates.is_some() && function.over.is_none();
        let inside = match is_aggregate {
            true => Place::Aggregate,
            false => place,
        };
        if is_aggregate {
            self.check_aggregate_place(&name, place)?;
        }
        let call = self.call(function, name, scope, inside)?;
        let filter = match &function.filter {
            Some(filter) => Some(Box::new(self.condition(filter, scope, Place::Aggregate)?)),
            None => None,
        };
        if let Some(over) = &function.over {
            if !place.allows_windows() {
                let message = format!("window functions are not allowed in {}", place.name());
                return Err(Error::new(SqlState::WINDOWING_ERROR, message).at(call.position));
            }
            let over = self.over(over, scope)?;
            return self.window_call(call, filter, over, &scope.schema);
        }
        if let Some(aggregate) = aggregates {
            return self.aggregate_call(call, aggregate.clone(), function, filter, scope);
        }
        if filter.is_some() || call.distinct || call.is_star || !function.within_group.is_empty() {
            let message = format!("{} is not an aggregate function", call.name);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(call.position));
        }
        if let Some(value) = self.session_function(&call)? {
            return Ok(value);
        }
        if let Some(rows) = self.set_function(&call, &scope.schema)? {
            if !place.allows_sets() {
                let message = format!("set-returning functions are not allowed in {}", place.name());
                return Err(Error::unsupported(message).at(call.position));
            }
            return Ok(rows);
        }
        self.scalar_call(call, &scope.schema)
    }

    /// The name, without pg_catalog, where all functions are.
    pub(super) fn function_name(&self, name: &ast::ObjectName) -> Result<Name> {
        let name = Name::of_object(name)?;
        match name.schema.as_deref() {
            None | Some("pg_catalog" | "information_schema") => Ok(name),
            Some(schema) if self.catalog.schema(schema).is_none() => {
                let message = format!("schema \"{schema}\" does not exist");
                Err(Error::new(SqlState::INVALID_SCHEMA_NAME, message).at(name.position))
            }
            Some(_) => Err(undefined(&name.to_string(), &[]).at(name.position)),
        }
    }

    fn check_aggregate_place(&self, name: &Name, place: Place) -> Result<()> {
        if place == Place::Aggregate {
            let message = "aggregate function calls cannot be nested";
            return Err(Error::new(SqlState::GROUPING_ERROR, message).at(name.position));
        }
        if !place.allows_aggregates() {
            let message = format!("aggregate functions are not allowed in {}", place.name());
            return Err(Error::new(SqlState::GROUPING_ERROR, message).at(name.position));
        }
        Ok(())
    }

    fn call(&mut self, function: &Function, name: Name, scope: &Scope, place: Place) -> Result<Call> {
        let mut call = Call {
            name: name.name,
            position: name.position,
            arguments: vec![],
            is_star: false,
            distinct: false,
            order_by: vec![],
            null_treatment: function.null_treatment.map(NullTreatment::from),
        };
        let FunctionArguments::List(list) = &function.args else {
            return Ok(call);
        };
        call.distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => {
                    call.arguments.push(self.expression(argument, scope, place)?);
                }
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => call.is_star = true,
                _ => {
                    let message = format!("the argument {argument} of a function is not supported");
                    return Err(Error::unsupported(message).at(call.position));
                }
            }
        }
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(keys) => {
                    for key in keys {
                        let expression = self.expression(&key.expr, scope, place)?;
                        call.order_by.push(sort(expression, key));
                    }
                }
                FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                    call.null_treatment = Some((*treatment).into());
                }
                other => {
                    let message = format!("{other} in a function call is not supported");
                    return Err(Error::unsupported(message).at(call.position));
                }
            }
        }
        Ok(call)
    }

    fn aggregate_call(
        &mut self,
        mut call: Call,
        aggregate: Arc<AggregateUDF>,
        function: &Function,
        filter: Option<Box<Expr>>,
        scope: &Scope,
    ) -> Result<Expr> {
        if is_window_function(&call.name) && function.within_group.is_empty() {
            return Err(without_over(&call));
        }
        star(&mut call)?;
        // Ordered-set aggregates take what they order as their first argument.
        for key in &function.within_group {
            let expression = self.expression(&key.expr, scope, Place::Aggregate)?;
            call.arguments.insert(call.order_by.len(), expression.clone());
            call.order_by.push(sort(expression, key));
        }
        if !find_aggregate_exprs(&call.arguments).is_empty() {
            let message = "aggregate function calls cannot be nested";
            return Err(Error::new(SqlState::GROUPING_ERROR, message).at(call.position));
        }
        let args = self.arguments(&call, aggregate.as_ref(), &scope.schema)?;
        self.note_volatility(&call.name, aggregate.signature().volatility);
        let params = AggregateFunctionParams {
            args,
            distinct: call.distinct,
            filter,
            order_by: call.order_by,
            null_treatment: call.null_treatment,
        };
        Ok(Expr::AggregateFunction(AggregateFunction { func: aggregate, params }))
    }

    fn window_call(
        &mut self,
        mut call: Call,
        filter: Option<Box<Expr>>,
        over: super::window::Over,
        schema: &DFSchema,
    ) -> Result<Expr> {
        star(&mut call)?;
        let registry = registry();
        let (fun, args) = if let Some(function) = registry.windows.get(&call.name) {
            let args = self.arguments(&call, function.as_ref(), schema)?;
            (WindowFunctionDefinition::WindowUDF(function.clone()), args)
        } else if let Some(function) = registry.aggregates.get(&call.name) {
            let args = self.arguments(&call, function.as_ref(), schema)?;
            (WindowFunctionDefinition::AggregateUDF(function.clone()), args)
        } else if registry.scalars.contains_key(&call.name) {
            let message =
                format!("OVER specified, but {} is not a window function nor an aggregate function", call.name);
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(call.position));
        } else {
            return Err(self.no_function(&call, schema));
        };
        let params = WindowFunctionParams {
            args,
            partition_by: over.partition_by,
            order_by: over.order_by,
            window_frame: over.frame,
            filter,
            null_treatment: call.null_treatment,
            distinct: call.distinct,
        };
        let window = Expr::WindowFunction(Box::new(WindowFunction { fun, params }));
        // PostgreSQL has no unsigned integers: row_number() and its like are bigint.
        match window.get_type(schema) {
            Ok(DataType::UInt64) => Ok(cast(window, DataType::Int64)),
            _ => Ok(window),
        }
    }

    pub(super) fn scalar_call(&mut self, call: Call, schema: &DFSchema) -> Result<Expr> {
        let function = self.system.function(&call.name).or_else(|| registry().scalars.get(&call.name).cloned());
        let Some(function) = function else {
            return Err(match is_window_function(&call.name) {
                true => without_over(&call),
                false => self.no_function(&call, schema),
            });
        };
        let args = self.arguments(&call, function.as_ref(), schema)?;
        self.note_volatility(&call.name, function.signature().volatility);
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(function, args)))
    }

    fn note_volatility(&mut self, name: &str, volatility: Volatility) {
        if volatility == Volatility::Volatile {
            self.volatile.insert(name.to_string());
        }
    }

    /// The arguments, open parameters among them with the types that the function asks for; 42883 if it takes none like
    /// them. What a literal without a type becomes is settled later, with the rest of the types.
    fn arguments<F: UDFCoercionExt>(&mut self, call: &Call, function: &F, schema: &DFSchema) -> Result<Vec<Expr>> {
        let mut fields: Vec<FieldRef> = Vec::new();
        for argument in &call.arguments {
            fields.push(argument.to_field(schema)?.1);
        }
        let is_untyped = |argument: &Expr| super::output::is_unknown(argument);
        let coerced = fields_with_udf(&fields, function).or_else(|error| {
            // As long as literals have no type, they fit where a NULL does.
            if !call.arguments.iter().any(is_untyped) {
                return Err(error);
            }
            let nulled = call.arguments.iter().zip(&fields).map(|(argument, field)| match is_untyped(argument) {
                true => Arc::new(field.as_ref().clone().with_data_type(DataType::Null)),
                false => field.clone(),
            });
            fields_with_udf(&nulled.collect::<Vec<_>>(), function)
        });
        let coerced = match coerced {
            Ok(coerced) => coerced,
            // Whether a function with rules of its own takes a literal without a type is for these rules to say.
            Err(_) if is_user_defined(function) && call.arguments.iter().any(is_untyped) => {
                return Ok(call.arguments.clone());
            }
            Err(_) => return Err(self.no_function(call, schema)),
        };
        let arguments = call.arguments.iter().zip(coerced).map(|(argument, field)| match field.data_type() {
            DataType::Null => argument.clone(),
            _ => self.parameters.decide(argument.clone(), &SqlType::of_field(&field)),
        });
        Ok(arguments.collect())
    }

    pub(super) fn no_function(&self, call: &Call, schema: &DFSchema) -> Error {
        let types = call.arguments.iter().map(|argument| type_of(argument, schema).unwrap_or(SqlType::Unknown));
        let error = undefined(&call.name, &types.collect::<Vec<_>>());
        match call.position {
            0 => error,
            position => error.at(position),
        }
    }

    /// A scalar function that syntax stands for.
    pub(super) fn scalar(&self, name: &str) -> Result<Arc<ScalarUDF>> {
        let function = registry().scalars.get(name).cloned();
        function.ok_or_else(|| Error::unsupported(format!("{name} is not supported")))
    }

    pub(super) fn aggregate_function(&self, name: &str) -> Result<Arc<AggregateUDF>> {
        let function = registry().aggregates.get(name).cloned();
        function.ok_or_else(|| Error::unsupported(format!("{name} is not supported")))
    }
}

/// Whether it is a window function and nothing else; DataFusion takes some of them (first_value) for aggregates too.
fn is_window_function(name: &str) -> bool {
    registry().windows.contains_key(name)
}

fn without_over(call: &Call) -> Error {
    let message = format!("window function {} requires an OVER clause", call.name);
    Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(call.position)
}

fn is_user_defined<F: UDFCoercionExt>(function: &F) -> bool {
    function.signature().type_signature == TypeSignature::UserDefined
}

/// `count(*)` counts ones; no other function takes a star.
fn star(call: &mut Call) -> Result<()> {
    if call.is_star && call.name != "count" {
        let message = format!("function {}(*) does not exist", call.name);
        return Err(Error::new(SqlState::UNDEFINED_FUNCTION, message).at(call.position));
    }
    if call.name == "count" && call.arguments.is_empty() {
        if !call.is_star {
            let message = "count(*) must be used to call a parameterless aggregate function";
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).at(call.position));
        }
        call.arguments.push(lit(ScalarValue::Int64(Some(1))));
    }
    Ok(())
}

fn undefined(name: &str, types: &[SqlType]) -> Error {
    let types: Vec<String> = types.iter().map(super::cast::bare_name).collect();
    let message = format!("function {name}({}) does not exist", types.join(", "));
    Error::new(SqlState::UNDEFINED_FUNCTION, message)
        .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}
