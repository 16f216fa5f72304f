//! The demo's flights, out of the packed file in the binary.
//!
//! # Layout  `crates/server/demo/README.md`; JSON records as [`Flights::write_json`] says

use std::io::Write;

use anyhow::{Context, ensure};
use base::TimestampMs;

use crate::time;

const PACKED: &[u8] = include_bytes!("../../demo/flights-2001-01.zst");
/// Above what the file unpacks to, so that a wrong file cannot take the memory.
const UNPACKED_BYTES_MAX: usize = 16 << 20;
const MAGIC: &[u8] = b"FLT1";
const MINUTE_MS: i64 = 60_000;

/// From one airport to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub origin: String,
    pub destination: String,
    pub miles: u16,
}

/// One flight; its route by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Scheduled departure, local, as if that were UTC.
    pub at: TimestampMs,
    pub route: u16,
    /// Arrival after schedule in minutes; negative before.
    pub delay_minutes: i32,
}

/// All flights by time.
#[derive(Clone, Debug)]
pub struct Flights {
    pub routes: Vec<Route>,
    pub flights: Vec<Flight>,
}

/// What is left of the unpacked file.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("it ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn count(&mut self) -> anyhow::Result<usize> {
        Ok(usize::try_from(u32::from_le_bytes(self.array()?))?)
    }

    fn airport(&mut self) -> anyhow::Result<String> {
        Ok(str::from_utf8(self.take(3)?)?.to_owned())
    }

    /// A column: its length in bytes, then its bytes.
    fn column(&mut self) -> anyhow::Result<Input<'a>> {
        let count = self.count()?;
        Ok(Input(self.take(count)?))
    }

    fn varint(&mut self) -> anyhow::Result<u32> {
        let mut value = 0_u32;
        for shift in (0..32).step_by(7) {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        anyhow::bail!("a number is too long")
    }
}

impl Flights {
    /// Those in the binary.
    pub fn built_in() -> anyhow::Result<Self> {
        let unpacked = zstd::bulk::decompress(PACKED, UNPACKED_BYTES_MAX)?;
        Self::decode(&unpacked).context("the flights in this binary cannot be read")
    }

    pub(super) fn decode(unpacked: &[u8]) -> anyhow::Result<Self> {
        let mut input = Input(unpacked);
        ensure!(
            input.take(MAGIC.len())? == MAGIC,
            "it is no file of flights"
        );
        let mut minute = i64::from_le_bytes(input.array()?);
        let (count, route_count) = (input.count()?, input.count()?);
        let mut routes = Vec::new();
        for _ in 0..route_count {
            routes.push(Route {
                origin: input.airport()?,
                destination: input.airport()?,
                miles: u16::from_le_bytes(input.array()?),
            });
        }
        let (mut minutes, mut low, mut high) = (input.column()?, input.column()?, input.column()?);
        let mut delays = input.column()?;
        let mut flights = Vec::new();
        for _ in 0..count {
            minute = minute
                .checked_add(minutes.varint()?.into())
                .context("a time is out of range")?;
            let at = minute
                .checked_mul(MINUTE_MS)
                .context("a time is out of range")?;
            let route = u16::from_le_bytes([low.array::<1>()?[0], high.array::<1>()?[0]]);
            ensure!(usize::from(route) < routes.len(), "a route is unknown");
            let coded = i64::from(delays.varint()?);
            let delay = if coded % 2 == 0 {
                coded / 2
            } else {
                -(coded + 1) / 2
            };
            flights.push(Flight {
                at: TimestampMs(at),
                route,
                delay_minutes: i32::try_from(delay)?,
            });
        }
        Ok(Self { routes, flights })
    }

    #[must_use]
    pub fn route(&self, flight: &Flight) -> &Route {
        // Decoding checked the number.
        &self.routes[usize::from(flight.route)]
    }

    /// The record's value in place of what `line` holds: `{"at":"2001-01-01T00:10:00","origin":"ANC",
    /// "destination":"SEA","delay":-4,"distance":1449}`; the time is local to the origin, so it names no zone.
    pub fn write_json(&self, flight: &Flight, line: &mut Vec<u8>) {
        let route = self.route(flight);
        line.clear();
        write!(
            line,
            r#"{{"at":"{}","origin":"{}","destination":"{}","delay":{},"distance":{}}}"#,
            time::show(flight.at).trim_end_matches('Z'),
            route.origin,
            route.destination,
            flight.delay_minutes,
            route.miles,
        )
        .expect("writing to memory does not fail");
    }
}
