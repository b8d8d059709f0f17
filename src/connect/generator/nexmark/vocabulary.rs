//! The words that Nexmark's rows are made of.

use std::sync::LazyLock;

use super::random::Random;

pub const FIRST_NAMES: &[&str] =
    &["peter", "paul", "luke", "john", "saul", "vicky", "kate", "julie", "sarah", "deiter", "walter"];
pub const LAST_NAMES: &[&str] =
    &["shultz", "abrams", "spencer", "white", "bartels", "walton", "smith", "jones", "noris"];
pub const CITIES: &[&str] =
    &["phoenix", "los angeles", "san francisco", "boise", "portland", "bend", "redmond", "seattle", "kent", "cheyenne"];
/// In capitals, as the published queries compare them.
pub const STATES: &[&str] = &["AZ", "CA", "ID", "OR", "WA", "WY"];

/// Where a bid came from: a channel's name and its address.
pub struct Channel {
    pub name: String,
    pub url: String,
}

/// The channels of every second bid.
pub static HOT_CHANNELS: LazyLock<Vec<Channel>> = LazyLock::new(|| {
    let names = ["Google", "Facebook", "Baidu", "Apple"];
    let channel = |(seed, name): (usize, &&str)| Channel { name: name.to_string(), url: base_url(seed as u64) };
    names.iter().enumerate().map(channel).collect()
});

/// The channels of the others.
pub static CHANNELS: LazyLock<Vec<Channel>> = LazyLock::new(|| {
    let channel = |number: u32| {
        let mut url = base_url(u64::from(number));
        if Random::of_event(u64::from(number)).below_u32(10) > 0 {
            let id = i64::from((number as i32).reverse_bits()).abs();
            url.push_str(&format!("&channel_id={id}"));
        }
        Channel { name: format!("channel-{number}"), url }
    };
    (0..10_000).map(channel).collect()
});

fn base_url(seed: u64) -> String {
    let mut random = Random::of_event(seed);
    let mut directory = || {
        let length = 3 + random.below(2);
        let letter = |_| {
            if random.below_u32(13) == 0 { '_' } else { random.letter() as char }
        };
        (0..length).map(letter).collect::<String>()
    };
    let (first, second, third) = (directory(), directory(), directory());
    format!("https://www.nexmark.com/{first}/{second}/{third}/item.htm?query=1")
}
