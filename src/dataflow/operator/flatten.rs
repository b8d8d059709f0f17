//! The updates of an arrangement as a stream: chunks as they are, a bounded number at a time.

use std::collections::VecDeque;

use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};

use super::stateless::give;
use crate::dataflow::collection::{Arranged, Batch, Stream};
use crate::dataflow::context::Context;
use crate::types::{Delta, Time};

/// Rows that are given away before others get their turn.
const STEP_ROWS: usize = 65_536;

/// The rows of the arrangement, with times from `as_of` on. Nothing is copied.
pub fn flatten<'s>(arranged: Arranged<'s>, context: &Context<'s>) -> Stream<'s> {
    let (as_of, restored_to, pace) = (context.as_of, context.restored_to(), context.pace.clone());
    let scope = context.scope;
    arranged.stream.unary(Pipeline, "flatten", move |_capability, info| {
        let activator = scope.activator_for(info.address);
        // Batches, and how many of their chunks are gone.
        let mut waiting: VecDeque<(Capability<Time>, Batch, usize)> = VecDeque::new();
        move |input, output: &mut OutputBuilderSession<'_, Time, NoopBuilder<Delta>>| {
            input.for_each(|capability, batches| {
                let capability = capability.retain(0);
                let capability = capability.delayed(&as_of.max(*capability.time()));
                let is_new = |batch: &Batch| !batch.description.upper().less_equal(&restored_to);
                for batch in batches.drain(..).filter(is_new) {
                    pace.add(1);
                    waiting.push_back((capability.clone(), batch, 0));
                }
            });
            if pace.stopped.get() {
                pace.remove(waiting.len());
                waiting.clear();
            }
            let mut rows = 0;
            while let Some((capability, batch, next)) = waiting.front_mut() {
                if rows >= STEP_ROWS {
                    activator.activate();
                    break;
                }
                if let Some(page) = batch.chunks.get(*next) {
                    let delta = page.open().to_delta();
                    rows += delta.len();
                    give(output, capability, Delta { times: delta.times.map(|time| time.max(as_of)), ..delta });
                    *next += 1;
                } else {
                    waiting.pop_front();
                    pace.remove(1);
                }
            }
        }
    })
}
