//! Makes Nexmark's events: of every 50 the first is a person, the next three are auctions, the rest bids.
//!
//! Ids, prices and strings are drawn exactly as the crate `nexmark` 0.2 does with its default settings (and states in
//! capitals), written straight into Arrow buffers. So is the time of an event while the crate's `f32` can tell events
//! apart; after that it is better, computed in integers.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};

use super::random::Random;
use super::vocabulary::{CHANNELS, CITIES, FIRST_NAMES, HOT_CHANNELS, LAST_NAMES, STATES};
use super::{AUCTION, BID, PERSON, schema};
use crate::connect::text_column::TextColumn;
use crate::types::Result;

/// 2025-01-01T00:00:00Z in milliseconds since the epoch: when event 0 happens.
const BASE_TIME_MILLIS: u64 = 1_735_689_600_000;

/// Events come in groups of 50: 1 person, 3 auctions, 46 bids.
const GROUP: u64 = 50;
const GROUP_PERSONS: u64 = 1;
const GROUP_AUCTIONS: u64 = 3;

const FIRST_PERSON_ID: u64 = 1000;
const FIRST_AUCTION_ID: u64 = 1000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

/// Persons that may still bid or sell, and auctions that may still be bid on.
const ACTIVE_PERSONS: u64 = 1000;
const OPEN_AUCTIONS: u64 = 100;
/// How far ahead of the newest id one may be named.
const ID_LEAD: u64 = 10;

/// Of so many consecutive ids one is hot: favoured by bids and sales.
const HOT_IDS: u64 = 100;
const HOT_AUCTION_RATIO: u64 = 2;
const HOT_PERSON_RATIO: u64 = 4;
const HOT_CHANNEL_RATIO: u64 = 2;

/// About how long a row is, `extra` filling it up.
const PERSON_BYTES: usize = 200;
const AUCTION_BYTES: usize = 500;
const BID_BYTES: usize = 100;

/// Persons, auctions and bids of a range of events; `density` events happen in a second of event time.
pub fn generate(events: Range<u64>, density: u64) -> Result<[RecordBatch; 3]> {
    Ok([persons(events.clone(), density)?, auctions(events.clone(), density)?, bids(events, density)?])
}

pub fn persons(events: Range<u64>, density: u64) -> Result<RecordBatch> {
    let rows = capacity(&events, GROUP_PERSONS);
    let (mut ids, mut times) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let text = |bytes: usize| TextColumn::with_capacity(rows, rows * bytes);
    let (mut name, mut email, mut card) = (text(16), text(17), text(19));
    let (mut city, mut state, mut extra) = (text(16), text(2), text(180));
    for event in events.filter(|event| event % GROUP < GROUP_PERSONS) {
        let random = &mut Random::of_event(event);
        ids.push((last_person(event) + FIRST_PERSON_ID) as i64);
        times.push(micros(event_millis(event, density)));
        let (first, last) = (random.choose(FIRST_NAMES), random.choose(LAST_NAMES));
        write!(name.bytes, "{first} {last}").expect("a vector takes everything");
        letters(random, 7, &mut email.bytes);
        email.bytes.push(b'@');
        letters(random, 5, &mut email.bytes);
        email.bytes.extend_from_slice(b".com");
        let mut digits = || random.below_u32(10_000);
        let (a, b, c, d) = (digits(), digits(), digits(), digits());
        write!(card.bytes, "{a:04} {b:04} {c:04} {d:04}").expect("a vector takes everything");
        let (in_city, in_state) = (random.choose(CITIES), random.choose(STATES));
        city.bytes.extend_from_slice(in_city.as_bytes());
        state.bytes.extend_from_slice(in_state.as_bytes());
        let written = 8 + (first.len() + 1 + last.len()) + 17 + 19 + in_city.len() + in_state.len();
        fill(random, written, PERSON_BYTES, &mut extra.bytes);
        for column in [&mut name, &mut email, &mut card, &mut city, &mut state, &mut extra] {
            column.end_value();
        }
    }
    let columns = vec![
        numbers(ids),
        texts(name)?,
        texts(email)?,
        texts(card)?,
        texts(city)?,
        texts(state)?,
        timestamps(times),
        texts(extra)?,
    ];
    Ok(RecordBatch::try_new(schema(PERSON), columns)?)
}

pub fn auctions(events: Range<u64>, density: u64) -> Result<RecordBatch> {
    let rows = capacity(&events, GROUP_AUCTIONS);
    let number = || Vec::with_capacity(rows);
    let (mut ids, mut initial_bids, mut reserves) = (number(), number(), number());
    let (mut times, mut expiries, mut sellers, mut categories) = (number(), number(), number(), number());
    let text = |bytes: usize| TextColumn::with_capacity(rows, rows * bytes);
    let (mut item_name, mut description, mut extra) = (text(20), text(100), text(340));
    for event in events.filter(|event| (GROUP_PERSONS..GROUP_PERSONS + GROUP_AUCTIONS).contains(&(event % GROUP))) {
        let random = &mut Random::of_event(event);
        ids.push((last_auction(event) + FIRST_AUCTION_ID) as i64);
        letters(random, 20, &mut item_name.bytes);
        letters(random, 100, &mut description.bytes);
        let initial_bid = price(random);
        initial_bids.push(initial_bid);
        reserves.push(initial_bid + price(random));
        let at = event_millis(event, density);
        times.push(micros(at));
        expiries.push(micros(at + length(random, event, at, density)));
        let seller = match random.below(HOT_PERSON_RATIO) {
            0 => some_person(random, event),
            _ => last_person(event) / HOT_IDS * HOT_IDS,
        };
        sellers.push((seller + FIRST_PERSON_ID) as i64);
        categories.push((FIRST_CATEGORY + random.below(CATEGORIES)) as i64);
        fill(random, 8 + 20 + 100 + 5 * 8, AUCTION_BYTES, &mut extra.bytes);
        for column in [&mut item_name, &mut description, &mut extra] {
            column.end_value();
        }
    }
    let columns = vec![
        numbers(ids),
        texts(item_name)?,
        texts(description)?,
        numbers(initial_bids),
        numbers(reserves),
        timestamps(times),
        timestamps(expiries),
        numbers(sellers),
        numbers(categories),
        texts(extra)?,
    ];
    Ok(RecordBatch::try_new(schema(AUCTION), columns)?)
}

pub fn bids(events: Range<u64>, density: u64) -> Result<RecordBatch> {
    let rows = capacity(&events, GROUP - GROUP_PERSONS - GROUP_AUCTIONS);
    let number = || Vec::with_capacity(rows);
    let (mut on, mut bidders, mut prices, mut times) = (number(), number(), number(), number());
    let text = |bytes: usize| TextColumn::with_capacity(rows, rows * bytes);
    let (mut channels, mut urls, mut extra) = (text(10), text(75), text(70));
    for event in events.filter(|event| event % GROUP >= GROUP_PERSONS + GROUP_AUCTIONS) {
        let random = &mut Random::of_event(event);
        let auction = match random.below(HOT_AUCTION_RATIO) {
            0 => some_auction(random, event),
            _ => last_auction(event) / HOT_IDS * HOT_IDS,
        };
        on.push((auction + FIRST_AUCTION_ID) as i64);
        // The second of a hundred, so that hot bidders and hot sellers are not the same.
        let bidder = match random.below(HOT_PERSON_RATIO) {
            0 => some_person(random, event),
            _ => last_person(event) / HOT_IDS * HOT_IDS + 1,
        };
        bidders.push((bidder + FIRST_PERSON_ID) as i64);
        prices.push(price(random));
        times.push(micros(event_millis(event, density)));
        let channel = match random.below(HOT_CHANNEL_RATIO) {
            0 => random.choose(&CHANNELS),
            _ => &HOT_CHANNELS[random.below(HOT_CHANNELS.len() as u64) as usize],
        };
        channels.push(&channel.name);
        urls.push(&channel.url);
        fill(random, 4 * 8, BID_BYTES, &mut extra.bytes);
        extra.end_value();
    }
    let columns = vec![
        numbers(on),
        numbers(bidders),
        numbers(prices),
        texts(channels)?,
        texts(urls)?,
        timestamps(times),
        texts(extra)?,
    ];
    Ok(RecordBatch::try_new(schema(BID), columns)?)
}

/// Events up to this one have times as the crate computes them: what lies halfway between two milliseconds is rounded by
/// the whims of `f32`, and counts that others have published depend on it. Later numbers are no `f32` any more.
const CRATE_TIMES: u64 = 1 << 24;

/// When an event happens, rounded to the millisecond.
fn event_millis(event: u64, density: u64) -> u64 {
    let since = match event {
        ..CRATE_TIMES => (event as f32 * (1_000_000.0 / density as f32) / 1_000.0).round() as u64,
        _ => (event * 2_000 + density) / (2 * density),
    };
    BASE_TIME_MILLIS + since
}

fn micros(millis: u64) -> i64 {
    (millis * 1_000) as i64
}

/// How long an auction lasts: up to twice the time in which all auctions that are open now are replaced.
fn length(random: &mut Random, event: u64, at: u64, density: u64) -> u64 {
    let horizon = event_millis(event + OPEN_AUCTIONS * GROUP / GROUP_AUCTIONS, density) - at;
    1 + random.below((horizon * 2).max(1))
}

/// Number of the newest person by the time of an event.
fn last_person(event: u64) -> u64 {
    event / GROUP * GROUP_PERSONS + GROUP_PERSONS - 1
}

/// Number of the newest auction by the time of an auction or bid.
fn last_auction(event: u64) -> u64 {
    event / GROUP * GROUP_AUCTIONS + (event % GROUP - GROUP_PERSONS).min(GROUP_AUCTIONS - 1)
}

fn some_person(random: &mut Random, event: u64) -> u64 {
    let persons = last_person(event) + 1;
    let active = persons.min(ACTIVE_PERSONS);
    persons - active + random.below(active + ID_LEAD)
}

fn some_auction(random: &mut Random, event: u64) -> u64 {
    let newest = last_auction(event);
    let oldest = newest.saturating_sub(OPEN_AUCTIONS);
    oldest + random.below(newest - oldest + 1 + ID_LEAD)
}

/// Cents, evenly spread over six orders of magnitude.
fn price(random: &mut Random) -> i64 {
    (10.0_f32.powf(random.unit() * 6.0) * 100.0).round() as i64
}

fn letters(random: &mut Random, count: usize, out: &mut Vec<u8>) {
    out.extend((0..count).map(|_| random.letter()));
}

/// Letters that bring a row of `written` bytes to about `wanted`.
fn fill(random: &mut Random, written: usize, wanted: usize, out: &mut Vec<u8>) {
    let Some(missing) = wanted.checked_sub(written) else {
        return;
    };
    let spread = (missing + 2) / 5;
    let more = if spread == 0 { 0 } else { random.below(2 * spread as u64) as usize };
    letters(random, missing - spread + more, out);
}

/// Rows that a range of events makes of a kind that has `share` in a group.
fn capacity(events: &Range<u64>, share: u64) -> usize {
    let groups = events.end.saturating_sub(events.start).div_ceil(GROUP) + 1;
    (groups * share) as usize
}

fn numbers(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn timestamps(values: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values))
}

fn texts(column: TextColumn) -> Result<ArrayRef> {
    Ok(Arc::new(column.finish(None)?))
}
