//! Nexmark's events: people who register, auctions they open, bids they make.
//!
//! Ids, hot keys and prices follow the settings that the Nexmark suite uses (Tucker et al., "NEXMark – A Benchmark for Queries over Data
//! Streams"; github.com/nexmark/nexmark): person : auction : bid = 1 : 3 : 46, half of the bids on a hot auction, three of
//! four by a hot bidder, 100 auctions in flight, 1,000 active people. Event `n` happens at `BASE_MS + n / rate`. The same
//! arguments give the same events on every machine.

use std::fmt::Write;

/// 2026-01-01T00:00:00Z.
pub const BASE_MS: i64 = 1_767_225_600_000;

const FIRST_ID: u64 = 1_000;
const IN_ROUND: u64 = 50;
const ACTIVE_PEOPLE: u64 = 1_000;
const AUCTIONS_IN_FLIGHT: u64 = 100;
const HOT_EVERY: u64 = 100;
const URLS: usize = 10_000;

const FIRST_NAMES: [&str; 11] = [
    "Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter",
];
const LAST_NAMES: [&str; 9] = [
    "Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris",
];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// One event, its text borrowed from the generator. Times in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'g> {
    Person(Person<'g>),
    Auction(Auction<'g>),
    Bid(Bid<'g>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person<'g> {
    pub id: u64,
    pub name: &'g str,
    pub email_address: &'g str,
    pub credit_card: &'g str,
    pub city: &'g str,
    pub state: &'g str,
    pub date_time: i64,
    pub extra: &'g str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auction<'g> {
    pub id: u64,
    pub item_name: &'g str,
    pub description: &'g str,
    pub initial_bid: u64,
    pub reserve: u64,
    pub date_time: i64,
    pub expires: i64,
    pub seller: u64,
    pub category: u64,
    pub extra: &'g str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bid<'g> {
    pub auction: u64,
    pub bidder: u64,
    pub price: u64,
    pub channel: &'g str,
    pub url: &'g str,
    pub date_time: i64,
    pub extra: &'g str,
}

/// See the module head.
pub struct Generator {
    random: Random,
    rate: u64,
    urls: Vec<String>,
    channels: Vec<String>,
    text: [String; 4],
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    fn letters(&mut self, count: u64, text: &mut String) {
        for _ in 0..count {
            text.push(char::from(b'a' + self.below(26) as u8));
        }
    }

    /// 3 to `most` letters, a space now and then.
    fn words(&mut self, most: u64, text: &mut String) {
        text.clear();
        for _ in 0..3 + self.below(most - 3) {
            match self.below(13) {
                0 => text.push(' '),
                _ => self.letters(1, text),
            }
        }
    }

    /// What fills a record of `size` bytes up to about `desired`.
    fn extra(&mut self, size: u64, desired: u64, text: &mut String) {
        text.clear();
        let missing = desired.saturating_sub(size);
        let spread = missing / 5;
        let count = missing - spread + self.below(2 * spread);
        self.letters(count, text);
    }

    /// 100 to 100,000,000, each order of magnitude as often as the next.
    fn price(&mut self) -> u64 {
        let exponent = self.below(6_000_000) as f64 / 1e6;
        (10_f64.powf(exponent) * 100.0).round() as u64
    }
}

impl Generator {
    /// `rate`: events in a second of event time.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        let mut random = Random(42);
        let mut urls = Vec::with_capacity(URLS);
        for id in 0..URLS as u32 {
            let mut url = "https://www.nexmark.com/".to_owned();
            for end in ["/", "/", "/item.htm?query=1&channel_id="] {
                random.letters(5, &mut url);
                url.push_str(end);
            }
            write!(url, "{}", id.reverse_bits() >> 1).expect("writing to memory does not fail");
            urls.push(url);
        }
        Self {
            random,
            rate: rate.max(1),
            urls,
            channels: (0..URLS).map(|id| format!("channel-{id}")).collect(),
            text: Default::default(),
        }
    }

    /// Event `number`; to be asked for in order, because the random numbers go on from one to the next.
    pub fn event(&mut self, number: u64) -> Event<'_> {
        let at = BASE_MS + (number * 1_000 / self.rate) as i64;
        match number % IN_ROUND {
            0 => Event::Person(self.person(number, at)),
            1..=3 => Event::Auction(self.auction(number, at)),
            _ => Event::Bid(self.bid(number, at)),
        }
    }

    fn person(&mut self, number: u64, date_time: i64) -> Person<'_> {
        let Self { random, text, .. } = self;
        let [name, email, card, extra] = text;
        name.clear();
        name.push_str(random.pick(&FIRST_NAMES));
        name.push(' ');
        name.push_str(random.pick(&LAST_NAMES));
        email.clear();
        random.letters(7, email);
        email.push('@');
        random.letters(5, email);
        email.push_str(".com");
        card.clear();
        for at in 0..4 {
            let space = if at > 0 { " " } else { "" };
            let digits = 1_000 + random.below(9_000);
            write!(card, "{space}{digits}").expect("writing to memory does not fail");
        }
        let (city, state) = (random.pick(&CITIES), random.pick(&STATES));
        random.extra(75, 200, extra);
        Person {
            id: last_person(number) + FIRST_ID,
            name,
            email_address: email,
            credit_card: card,
            city,
            state,
            date_time,
            extra,
        }
    }

    fn auction(&mut self, number: u64, date_time: i64) -> Auction<'_> {
        let Self {
            random, text, rate, ..
        } = self;
        let [item, description, extra, _] = text;
        random.words(20, item);
        random.words(100, description);
        let initial_bid = random.price();
        let reserve = initial_bid + random.price();
        // About as long as it takes for as many more auctions to open as are in flight.
        let horizon = AUCTIONS_IN_FLIGHT * IN_ROUND / 3 * 1_000 / *rate;
        let expires = date_time + 1 + random.below((2 * horizon).max(1)) as i64;
        let seller = match random.below(4) {
            0 => next_person(random, number),
            _ => last_person(number) / HOT_EVERY * HOT_EVERY,
        };
        let category = 10 + random.below(5);
        random.extra(150, 500, extra);
        Auction {
            id: last_auction(number) + FIRST_ID,
            item_name: item,
            description,
            initial_bid,
            reserve,
            date_time,
            expires,
            seller: seller + FIRST_ID,
            category,
            extra,
        }
    }

    fn bid(&mut self, number: u64, date_time: i64) -> Bid<'_> {
        let Self {
            random,
            text: [extra, ..],
            urls,
            channels,
            ..
        } = self;
        let auction = match random.below(2) {
            0 => next_auction(random, number),
            _ => last_auction(number) / HOT_EVERY * HOT_EVERY,
        };
        let bidder = match random.below(4) {
            0 => next_person(random, number),
            _ => last_person(number) / HOT_EVERY * HOT_EVERY + 1,
        };
        let price = random.price();
        let (channel, url) = match random.below(2) {
            0 => {
                let hot = random.below(HOT_CHANNELS.len() as u64) as usize;
                (HOT_CHANNELS[hot], &urls[hot])
            }
            _ => {
                let one = random.below(URLS as u64) as usize;
                (channels[one].as_str(), &urls[one])
            }
        };
        random.extra(32, 100, extra);
        Bid {
            auction: auction + FIRST_ID,
            bidder: bidder + FIRST_ID,
            price,
            channel,
            url,
            date_time,
            extra,
        }
    }
}

/// The person who registered last before event `number`, counted from 0.
fn last_person(number: u64) -> u64 {
    number / IN_ROUND
}

fn last_auction(number: u64) -> u64 {
    let (round, place) = (number / IN_ROUND, number % IN_ROUND);
    match place {
        0 => (round * 3).saturating_sub(1),
        1..=3 => round * 3 + place - 1,
        _ => round * 3 + 2,
    }
}

/// One of those active, or one of the next ten.
fn next_person(random: &mut Random, number: u64) -> u64 {
    let people = last_person(number) + 1;
    let active = people.min(ACTIVE_PEOPLE);
    people - active + random.below(active + 10)
}

fn next_auction(random: &mut Random, number: u64) -> u64 {
    let last = last_auction(number);
    let first = last.saturating_sub(AUCTIONS_IN_FLIGHT);
    first + random.below(last - first + 11)
}
