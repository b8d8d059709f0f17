//! Adding up rows per key before they are sent to the worker of the key: what travels is one row per key, not per row.

use std::collections::BTreeMap;
use std::ops::Range;

use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

use super::super::collection::Stream;
use super::fold::for_each_time;
use super::stateless::give;
use super::tally::{Contribution, StateLayout, Tally};
use crate::types::{Delta, Time};

/// Groups after which a tally is sent on.
const PARTIAL_GROUPS: usize = 65_536;

/// Rows for [`Contribution::Partial`]; nothing stays here between two turns.
pub fn partial<'s>(
    rows: Stream<'s>,
    layout: StateLayout,
    contribution: Contribution,
    slots: Range<usize>,
) -> Stream<'s> {
    rows.unary::<NoopBuilder<Delta>, _, _, _>(Pipeline, "partial", move |_, _| {
        move |input, output| {
            let mut tallies: BTreeMap<Time, (Capability<Time>, Tally)> = BTreeMap::new();
            let mut send = |(capability, tally): (Capability<Time>, Tally)| {
                let time = *capability.time();
                let partial = tally.into_partial(&layout, slots.clone());
                give(output, &capability, Delta::insert(partial, time));
            };
            input.for_each(|capability, delta| {
                for_each_time(std::mem::take(delta), |time, rows, diffs| {
                    let entry = tallies.entry(time);
                    let (_, tally) = entry.or_insert_with(|| (capability.delayed(&time, 0), Tally::new(&layout)));
                    tally.add(&contribution, rows, diffs).expect("the planner has checked the types");
                    if tally.groups() >= PARTIAL_GROUPS {
                        send(tallies.remove(&time).expect("it was just there"));
                    }
                });
            });
            tallies.into_values().for_each(&mut send);
        }
    })
}
