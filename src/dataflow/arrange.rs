//! Arranging: a stream of deltas becomes a trace of sorted batches, and a stream of those batches as they are sealed.

use std::sync::Arc;

use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::{Batcher as _, Builder as _, ExertionLogic, Trace as _};
use timely::PartialOrder;
use timely::container::PushInto;
use timely::dataflow::Scope;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OperatorInfo};
use timely::progress::Antichain;

use super::chunk::CHUNK_BYTES;
use super::collection::{Arranged, Batch, Batcher, Builder, Spine, Stream, Trace, TraceWriter};
use super::exchange;
use super::layout::Layout;
use super::page::Page;
use super::saved::Restored;
use crate::types::{Delta, Time};

/// Rows that are sorted at once: enough to make merging rare, few enough to stay in the cache.
const SORT_ROWS: usize = 65_536;

/// Arranges rows, each on the worker of its key, beside those that are there already.
pub fn arrange<'s>(rows: Stream<'s>, layout: &Arc<Layout>, name: &str, restored: Option<Restored>) -> Arranged<'s> {
    let scope = rows.scope();
    let mut reader = None;
    let stream = rows.unary_frontier(exchange::by_key(layout), name, |_capability, info| {
        let (trace, mut writer) = new_trace(scope, info.clone());
        reader = Some(trace);
        let mut batcher = Batcher::new(None, info.global_id);
        let mut sealed = begin(&mut writer, restored);
        batcher.seal(sealed.clone());
        let mut unsorted = Unsorted::new(layout.clone());
        let mut held: Option<Capability<Time>> = None;
        move |(input, frontier), output| {
            input.for_each(|capability, delta| {
                if held.as_ref().is_none_or(|held| capability.time() < held.time()) {
                    held = Some(capability.retain(0));
                }
                unsorted.push(std::mem::take(delta), &mut batcher);
            });
            let upper = frontier.frontier().to_owned();
            if PartialOrder::less_than(&sealed, &upper) {
                unsorted.sort_into(&mut batcher);
                let (mut chain, description) = batcher.seal(upper.clone());
                match held.take() {
                    Some(capability) if !chain.is_empty() => {
                        let batch: Batch = Builder::seal(&mut chain, description);
                        writer.insert(batch.clone(), Some(*capability.time()));
                        output.session(&capability).give(batch);
                        held = batcher.frontier().first().map(|time| capability.delayed(time));
                    }
                    capability => {
                        writer.seal(upper.clone());
                        let rest = batcher.frontier().first().copied();
                        held = capability.zip(rest).map(|(capability, time)| capability.delayed(&time));
                    }
                }
                sealed = upper;
            }
            writer.exert();
        }
    });
    Arranged { stream, trace: reader.expect("the operator was built") }
}

/// Has a new trace begin with what was there before; gives the frontier up to which that is complete.
pub fn begin(writer: &mut TraceWriter, restored: Option<Restored>) -> Antichain<Time> {
    let Some(Restored { batches, upper }) = restored else { return Antichain::from_elem(0) };
    let upper = Antichain::from_elem(upper);
    match batches.is_empty() {
        true => writer.seal(upper.clone()),
        false => batches.into_iter().for_each(|batch| writer.insert(batch, None)),
    }
    upper
}

/// An empty trace of an operator, and what writes it.
pub fn new_trace(scope: Scope<'_, Time>, info: OperatorInfo) -> (Trace, TraceWriter) {
    let activator = scope.activator_for(info.address.clone());
    let mut spine = Spine::new(info.clone(), None, Some(activator));
    if let Some(logic) = scope.worker().config().get::<ExertionLogic>("differential/default_exert_logic") {
        spine.set_exert_logic(logic.clone());
    }
    TraceAgent::new(spine, info, None)
}

/// Deltas that wait to be sorted together.
struct Unsorted {
    layout: Arc<Layout>,
    deltas: Vec<Delta>,
    rows: usize,
    bytes: usize,
}

impl Unsorted {
    fn new(layout: Arc<Layout>) -> Self {
        Unsorted { layout, deltas: vec![], rows: 0, bytes: 0 }
    }

    fn push(&mut self, delta: Delta, batcher: &mut Batcher) {
        if delta.is_empty() {
            return;
        }
        self.rows += delta.len();
        self.bytes += delta.rows.get_array_memory_size();
        self.deltas.push(delta);
        if self.rows >= SORT_ROWS || self.bytes >= CHUNK_BYTES {
            self.sort_into(batcher);
        }
    }

    fn sort_into(&mut self, batcher: &mut Batcher) {
        (self.rows, self.bytes) = (0, 0);
        let deltas = std::mem::take(&mut self.deltas);
        let delta = match deltas.as_slice() {
            [] => return,
            [one] => one.clone(),
            several => Delta::concat(&self.layout.schema, several),
        };
        for page in Page::sort(&self.layout, &delta) {
            batcher.push_into(page);
        }
    }
}
