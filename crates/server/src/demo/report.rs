//! What a set of flight records amounts to, and how the demo tells it.

use std::{collections::BTreeMap, fmt::Write};

use base::TimestampMs;

use crate::{
    cli::format::{bytes, grouped},
    demo::Style,
    time,
};

/// Airports in the report.
const AIRPORTS_SHOWN: usize = 8;
/// Cells of the longest bar.
const BAR_CELLS: u64 = 32;
/// A flight counts as late from here on, as the Department of Transportation counts.
const LATE_MINUTES: i64 = 15;

/// Sums over records, the same in whatever order they come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub records: u64,
    /// Of keys and values.
    pub bytes: u64,
    /// Sum of a checksum of each record's time, key and value.
    pub fingerprint: u64,
}

impl Tally {
    pub fn add(&mut self, at: TimestampMs, key: &[u8], value: &[u8]) {
        self.records += 1;
        self.bytes += (key.len() + value.len()) as u64;
        let crc = iobuf::crc32c(&at.0.to_be_bytes());
        let crc = iobuf::crc32c_append(iobuf::crc32c_append(crc, key), value);
        self.fingerprint = self.fingerprint.wrapping_add(crc.into());
    }

    pub fn add_all(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
    }
}

/// Departures and arrivals of one airport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traffic {
    departures: u64,
    arrivals: u64,
}

/// What reading the log back found.
#[derive(Debug, Default)]
pub struct Report {
    pub tally: Tally,
    times: Option<(TimestampMs, TimestampMs)>,
    airports: BTreeMap<String, Traffic>,
    delay_minutes: i64,
    late: u64,
    miles: u64,
    /// Records that are no flights as the demo writes them.
    pub foreign: u64,
}

impl Report {
    /// Takes one record into account, as it came out of the log.
    pub fn add(&mut self, at: TimestampMs, key: &[u8], value: &[u8]) {
        self.tally.add(at, key, value);
        if self.add_flight(value).is_none() {
            self.foreign += 1;
            return;
        }
        let (first, last) = self.times.unwrap_or((at, at));
        self.times = Some((first.min(at), last.max(at)));
    }

    fn add_flight(&mut self, value: &[u8]) -> Option<()> {
        let flight: serde_json::Value = serde_json::from_slice(value).ok()?;
        let (origin, destination) = (flight["origin"].as_str()?, flight["destination"].as_str()?);
        let (delay, miles) = (flight["delay"].as_i64()?, flight["distance"].as_u64()?);
        self.airport(origin).departures += 1;
        self.airport(destination).arrivals += 1;
        self.delay_minutes = self.delay_minutes.saturating_add(delay);
        self.miles = self.miles.saturating_add(miles);
        self.late += u64::from(delay >= LATE_MINUTES);
        Some(())
    }

    fn airport(&mut self, name: &str) -> &mut Traffic {
        if !self.airports.contains_key(name) {
            self.airports.insert(name.to_owned(), Traffic::default());
        }
        self.airports.get_mut(name).expect("it was just inserted")
    }

    fn busiest(&self) -> Vec<(&str, Traffic)> {
        let mut airports: Vec<_> = self
            .airports
            .iter()
            .map(|(n, t)| (n.as_str(), *t))
            .collect();
        // Sorting is stable: equals stay in the order of their names.
        airports
            .sort_by_key(|(_, traffic)| std::cmp::Reverse(traffic.departures + traffic.arrivals));
        airports.truncate(AIRPORTS_SHOWN);
        airports
    }

    /// The report, with what the log takes on disk when that is known.
    #[must_use]
    pub fn text(&self, topic: &TopicShape, style: &Style) -> String {
        let mut out = String::new();
        let mut line = |name: &str, text: String| {
            let name = style.dim(&format!("{name:<9}"));
            writeln!(out, "  {name}  {text}").expect("writing to memory does not fail");
        };
        let flights = self.tally.records - self.foreign;
        line(
            "records",
            format!(
                "{} flights in {} partitions by origin",
                style.bold(&grouped(flights)),
                topic.partitions
            ),
        );
        let on_disk = topic.bytes_on_disk;
        let on_disk = on_disk.map_or(String::new(), |on_disk| {
            format!(", {} in the log", bytes(on_disk))
        });
        line(
            "bytes",
            format!(
                "{} of JSON and keys{on_disk}",
                style.bold(&bytes(self.tally.bytes))
            ),
        );
        if let Some((first, last)) = self.times {
            let show = |at| time::show(at).trim_end_matches(":00Z").replace('T', " ");
            let text = format!("{} to {}, local", show(first), show(last));
            line("time", text);
        }
        let flights = flights.max(1) as f64;
        line(
            "delay",
            format!(
                "{:.1} minutes on average; {:.0} % were {LATE_MINUTES} minutes late or more",
                self.delay_minutes as f64 / flights,
                self.late as f64 * 100.0 / flights
            ),
        );
        line(
            "distance",
            format!("{:.0} miles on average", self.miles as f64 / flights),
        );
        out.push_str(&self.airports_text(style));
        out
    }

    fn airports_text(&self, style: &Style) -> String {
        let mut out = String::new();
        let busiest = self.busiest();
        let most = busiest
            .first()
            .map_or(1, |(_, t)| t.departures + t.arrivals);
        for (at, (name, traffic)) in busiest.iter().enumerate() {
            let head = if at == 0 { "busiest" } else { "" };
            let total = traffic.departures + traffic.arrivals;
            let bar = "█".repeat(usize::try_from((total * BAR_CELLS).div_ceil(most)).unwrap_or(0));
            writeln!(
                out,
                "  {}  {name} {:>7}  {}",
                style.dim(&format!("{head:<9}")),
                grouped(total),
                style.blue(&bar),
            )
            .expect("writing to memory does not fail");
        }
        let text = "           departures and arrivals per airport";
        writeln!(out, "  {}", style.dim(text)).expect("writing to memory does not fail");
        out
    }
}

/// The topic as the node describes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopicShape {
    pub partitions: usize,
    pub bytes_on_disk: Option<u64>,
}
