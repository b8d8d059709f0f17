//! The frame of operators that keep nothing: a delta in, a delta out, and where rows can fail, their errors beside it.

use timely::container::NoopBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder, OutputBuilderSession, source};
use timely::dataflow::operators::{CapabilityTrait, Concatenate};

use crate::dataflow::collection::Stream;
use crate::types::{Delta, Time};

/// Ships a delta, if it has rows.
pub fn give(
    output: &mut OutputBuilderSession<'_, Time, NoopBuilder<Delta>>,
    capability: &impl CapabilityTrait<Time>,
    mut delta: Delta,
) {
    if !delta.is_empty() {
        output.session_with_builder(capability).give_container(&mut delta);
    }
}

/// Every delta through a function.
pub fn each<'s>(rows: Stream<'s>, name: &str, mut change: impl FnMut(Delta) -> Delta + 'static) -> Stream<'s> {
    rows.unary(Pipeline, name, move |_capability, _info| {
        move |input, output| {
            input.for_each(|capability, delta| give(output, &capability, change(std::mem::take(delta))));
        }
    })
}

/// Every delta through a function that gives rows and errors.
pub fn each_fallible<'s>(
    rows: Stream<'s>,
    name: &str,
    mut change: impl FnMut(Delta) -> (Delta, Delta) + 'static,
) -> (Stream<'s>, Stream<'s>) {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let mut input = builder.new_input(rows, Pipeline);
    let (good_output, good) = builder.new_output::<Delta>();
    let (bad_output, bad) = builder.new_output::<Delta>();
    let mut good_output = OutputBuilder::from(good_output);
    let mut bad_output = OutputBuilder::from(bad_output);
    builder.build(move |_capabilities| {
        move |_frontiers| {
            let (mut good_output, mut bad_output) = (good_output.activate(), bad_output.activate());
            input.for_each(|capability, delta| {
                let (good, bad) = change(std::mem::take(delta));
                give(&mut good_output, &capability.retain(0), good);
                give(&mut bad_output, &capability.retain(1), bad);
            });
        }
    });
    (good, bad)
}

/// All deltas of several streams.
pub fn union<'s>(scope: Scope<'s, Time>, streams: impl IntoIterator<Item = Stream<'s>>) -> Stream<'s> {
    scope.concatenate(streams)
}

/// No deltas.
pub fn empty<'s>(scope: Scope<'s, Time>) -> Stream<'s> {
    constant(scope, Delta::default(), 0)
}

/// A delta whose rows have times from `time` on, from the first worker, and nothing ever after.
pub fn constant<'s>(scope: Scope<'s, Time>, delta: Delta, time: Time) -> Stream<'s> {
    let mut here = Some(delta).filter(|_| scope.index() == 0);
    source(scope, "constant", move |capability, _info| {
        let mut capability = Some(capability);
        move |output| {
            if let (Some(capability), Some(delta)) = (capability.take(), here.take()) {
                give(output, &capability.delayed(&time), delta);
            }
        }
    })
}

/// The same rows, leaving as often as they entered.
pub fn negate(rows: Stream<'_>) -> Stream<'_> {
    each(rows, "negate", |delta| Delta { diffs: delta.diffs.map(|diff| -diff), ..delta })
}
