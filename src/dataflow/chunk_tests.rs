//! Chunks against the naive truth: whatever is sorted, merged, split, advanced and packed stays the same multiset at every
//! time, in order, consolidated, within the limits; with hashes that collide too.

use std::collections::{BTreeMap, VecDeque};

use differential_dataflow::trace::chunk::Chunk;
use timely::progress::Antichain;

use super::chunk::{ArrowChunk, CHUNK_ROWS};
use super::compare::RowComparator;
use super::layout::{Layout, colliding};
use super::page::Page;
use super::plan::SortKey;
use super::test_data::*;
use crate::types::{Delta, Diff, Stamps, Time};

/// (row, time) -> diff, without zeros.
type Updates = BTreeMap<(Row, Time), Diff>;

fn updates<'a>(deltas: impl IntoIterator<Item = &'a Delta>, since: Time) -> Updates {
    let mut updates = Updates::new();
    for delta in deltas {
        for row in 0..delta.len() {
            let time = delta.times.get(row).max(since);
            *updates.entry((row_of(&delta.rows, row), time)).or_default() += delta.diffs.get(row);
        }
    }
    updates.retain(|_, diff| *diff != 0);
    updates
}

fn of_chunks(chunks: &VecDeque<Page>) -> Updates {
    let deltas: Vec<Delta> = chunks.iter().map(|page| page.open().to_delta()).collect();
    updates(&deltas, 0)
}

/// In order and consolidated, within and between chunks.
fn check_order(pages: &VecDeque<Page>) {
    let chunks: Vec<ArrowChunk> = pages.iter().map(Page::open).collect();
    let positions: Vec<(&ArrowChunk, usize)> =
        chunks.iter().flat_map(|chunk| (0..chunk.len()).map(move |row| (chunk, row))).collect();
    for pair in positions.windows(2) {
        let ((left, left_row), (right, right_row)) = (pair[0], pair[1]);
        let values = RowComparator::new(left.rows().columns(), right.rows().columns());
        let order = left.compare(left_row, right, right_row, &values);
        assert!(order.then(left.time(left_row).cmp(&right.time(right_row))).is_lt());
    }
    assert!(chunks.iter().all(|chunk| (0..chunk.len()).all(|row| chunk.diff(row) != 0)));
    let rehashed = |chunk: &ArrowChunk| chunk.layout().key_hashes(chunk.rows()) == chunk.key_hashes();
    assert!(chunks.iter().all(rehashed));
}

fn layouts() -> Vec<std::sync::Arc<Layout>> {
    let order = |column, descending| SortKey { column, descending, nulls_first: descending };
    vec![
        Layout::hashed(schema(), vec![0], 1),
        Layout::hashed(schema(), vec![0], colliding::SEED),
        Layout::hashed(schema(), vec![], 1),
        Layout::hashed(schema(), vec![0, 1, 2], 1),
        Layout::hashed(schema(), vec![2, 1], colliding::SEED),
        Layout::ordered(schema(), vec![0], vec![order(2, true)], 1),
        Layout::ordered(schema(), vec![], vec![], 1),
        Layout::ordered(schema(), vec![0], vec![order(1, false), order(2, true)], colliding::SEED),
    ]
}

fn merge_all(mut left: VecDeque<Page>, mut right: VecDeque<Page>) -> VecDeque<Page> {
    let mut out = VecDeque::new();
    while !left.is_empty() && !right.is_empty() {
        let before = left.len() + right.len();
        Page::merge(&mut left, &mut right, &mut out);
        assert!(left.len() + right.len() < before || left.is_empty() || right.is_empty());
    }
    out.extend(left);
    out.extend(right);
    out
}

fn advance_all(chunks: VecDeque<Page>, since: Time) -> VecDeque<Page> {
    let (mut input, mut out) = (VecDeque::new(), VecDeque::new());
    let frontier = Antichain::from_elem(since);
    for chunk in chunks {
        input.push_back(chunk);
        Page::advance(&mut input, frontier.borrow(), false, &mut out);
    }
    Page::advance(&mut input, frontier.borrow(), true, &mut out);
    assert!(input.is_empty());
    out
}

fn settle_all(chunks: VecDeque<Page>) -> VecDeque<Page> {
    let (mut input, mut out) = (VecDeque::new(), VecDeque::new());
    for chunk in chunks {
        input.push_back(chunk);
        Page::settle(&mut input, false, &mut out);
    }
    Page::settle(&mut input, true, &mut out);
    assert!(input.is_empty());
    out
}

#[test]
fn chunks_keep_the_multiset_at_every_time() {
    for (number, layout) in layouts().iter().enumerate() {
        for round in 0..40 {
            let mut random = Random(number as u64 * 1000 + round);
            let piece = |random: &mut Random| {
                let len = 1 + random.below(30) as usize;
                random_delta(random, len, 5, 0..4)
            };
            let mut deltas = vec![];
            let mut merged = VecDeque::new();
            for _ in 0..1 + random.below(6) {
                let delta = piece(&mut random);
                let sorted = Page::sort(layout, &delta);
                check_order(&sorted);
                assert_eq!(of_chunks(&sorted), updates([&delta], 0));
                merged = merge_all(merged, sorted);
                check_order(&merged);
                deltas.push(delta);
            }
            assert_eq!(of_chunks(&merged), updates(&deltas, 0));
            let split = 1 + random.below(5) as usize;
            let small: VecDeque<Page> = merged
                .iter()
                .flat_map(|chunk| {
                    (0..chunk.len()).step_by(split).map(move |at| chunk.clone().slice(at, split.min(chunk.len() - at)))
                })
                .collect();
            let since = random.below(5);
            let advanced = advance_all(small.clone(), since);
            check_order(&advanced);
            assert_eq!(of_chunks(&advanced), updates(&deltas, since));
            let settled = settle_all(small);
            check_order(&settled);
            assert!(settled.len() <= 1);
            assert_eq!(of_chunks(&settled), updates(&deltas, 0));
            check_extract(settled, &deltas, since);
        }
    }
}

fn check_extract(mut chunks: VecDeque<Page>, deltas: &[Delta], upper: Time) {
    let (mut keep, mut ship, mut residual) = (VecDeque::new(), VecDeque::new(), Antichain::new());
    while !chunks.is_empty() {
        Page::extract(&mut chunks, Antichain::from_elem(upper).borrow(), &mut residual, &mut keep, &mut ship);
    }
    let (kept, shipped): (Updates, Updates) = updates(deltas, 0).into_iter().partition(|((_, time), _)| *time >= upper);
    assert_eq!(residual.elements().first(), kept.keys().map(|(_, time)| time).min());
    assert_eq!((of_chunks(&keep), of_chunks(&ship)), (kept, shipped));
}

/// One row at 40,000 times, in many chunks, becomes one update, in time that is linear.
#[test]
fn a_long_history_of_one_row_compacts() {
    let layout = Layout::hashed(schema(), vec![0], 1);
    let one = rows(&[(Some(1), Some("x"), None)]);
    let mut history = VecDeque::new();
    let all = super::columns::concat_rows(&schema(), &vec![&one; 40_000]);
    let times: Vec<Time> = (0..40_000).collect();
    history
        .extend(Page::sort(&layout, &Delta { rows: all, times: Stamps::Each(times.into()), diffs: Stamps::Same(1) }));
    assert!(history.iter().all(|chunk| chunk.len() <= CHUNK_ROWS) && history.len() >= 5);
    let compact = advance_all(history.clone(), 50_000);
    assert_eq!(
        compact.iter().map(Page::open).map(|chunk| (chunk.len(), chunk.time(0), chunk.diff(0))).collect::<Vec<_>>(),
        [(1, 50_000, 40_000)]
    );
    let cancelled: VecDeque<Page> = history
        .iter()
        .map(|chunk| {
            let chunk = chunk.open();
            let diffs = Stamps::Each((0..chunk.len()).map(|row| 1 - (row as i64 % 2) * 2).collect());
            Page::new(chunk.restamped(chunk.times().clone(), diffs))
        })
        .collect();
    assert_eq!(of_chunks(&advance_all(cancelled.clone(), 50_000)), updates(&[], 0));
}

/// Chunks that lie wholly below the others are moved, not copied.
#[test]
fn disjoint_chunks_are_moved() {
    let layout = Layout::hashed(schema(), vec![0], 1);
    let mut random = Random(5);
    let sorted = Page::sort(&layout, &random_delta(&mut random, 50_000, 1 << 40, 0..1));
    let (low, high): (VecDeque<_>, VecDeque<_>) =
        (sorted.iter().take(3).cloned().collect(), sorted.iter().skip(3).cloned().collect());
    let merged = merge_all(high.clone(), low.clone());
    assert!(merged.iter().zip(low.iter().chain(&high)).all(|(merged, source)| merged.is(source)));
    let settled = settle_all(merged);
    assert!(settled.iter().zip(&sorted).all(|(settled, source)| settled.is(source)));
}
