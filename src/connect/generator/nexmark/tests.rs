//! Compares our events with those of the crate that defines them.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::Event;

use super::*;

fn crate_events(range: Range<u64>) -> impl Iterator<Item = Event> {
    let states = ["AZ", "CA", "ID", "OR", "WA", "WY"];
    let config = NexmarkConfig {
        base_time: 1_735_689_600_000,
        us_states: states.iter().map(|state| state.to_string()).collect(),
        ..NexmarkConfig::default()
    };
    EventGenerator::new(config).with_offset(range.start).take((range.end - range.start) as usize)
}

/// A row as its fields' texts, numbers and timestamps (in milliseconds) printed.
fn row(batch: &RecordBatch, row: usize) -> Vec<String> {
    let field = |column: &Arc<dyn Array>| match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            (column.as_primitive::<TimestampMicrosecondType>().value(row) / 1000).to_string()
        }
        _ => column.as_string::<i32>().value(row).to_string(),
    };
    batch.columns().iter().map(field).collect()
}

fn compare(range: Range<u64>) {
    let ours = generate(range.clone(), DEFAULT_DENSITY).unwrap();
    let mut next = [0; 3];
    for event in crate_events(range) {
        let (kind, fields) = match event {
            Event::Person(p) => (
                PERSON,
                vec![
                    p.id.to_string(),
                    p.name,
                    p.email_address,
                    p.credit_card,
                    p.city,
                    p.state,
                    p.date_time.to_string(),
                    p.extra,
                ],
            ),
            Event::Auction(a) => (
                AUCTION,
                vec![
                    a.id.to_string(),
                    a.item_name,
                    a.description,
                    a.initial_bid.to_string(),
                    a.reserve.to_string(),
                    a.date_time.to_string(),
                    a.expires.to_string(),
                    a.seller.to_string(),
                    a.category.to_string(),
                    a.extra,
                ],
            ),
            Event::Bid(b) => (
                BID,
                vec![
                    b.auction.to_string(),
                    b.bidder.to_string(),
                    b.price.to_string(),
                    b.channel,
                    b.url,
                    b.date_time.to_string(),
                    b.extra,
                ],
            ),
        };
        assert_eq!(row(&ours[kind], next[kind]), fields);
        next[kind] += 1;
    }
    assert_eq!(next, [ours[0].num_rows(), ours[1].num_rows(), ours[2].num_rows()]);
}

#[test]
fn the_first_events_are_those_of_the_crate() {
    compare(0..100_000);
}

#[test]
fn later_events_are_those_of_the_crate() {
    compare(670_000..690_000);
    compare(9_990_000..10_010_000);
    compare(16_770_000..16_777_000);
}

#[test]
fn times_stay_exact_where_the_crate_drifts() {
    let batches = generate(100_000_000_004..100_000_000_014, DEFAULT_DENSITY).unwrap();
    let times = batches[BID].column(5).as_primitive::<TimestampMicrosecondType>();
    let base = 1_735_689_600_000_000;
    let expected: Vec<i64> = (0..10).map(|i| base + 10_000_000_000_000 + if i < 1 { 0 } else { 1_000 }).collect();
    assert_eq!(times.values().to_vec(), expected);
}

#[test]
fn any_cut_of_a_range_gives_the_same_rows() {
    let whole = generate(1_000..3_000, 77).unwrap();
    for (kind, whole) in whole.iter().enumerate() {
        let parts = [1_000..1_001, 1_001..1_049, 1_049..2_222, 2_222..3_000];
        let parts: Vec<RecordBatch> = parts.into_iter().map(|part| generate(part, 77).unwrap()[kind].clone()).collect();
        assert_eq!(&arrow::compute::concat_batches(&whole.schema(), &parts).unwrap(), whole);
    }
}
