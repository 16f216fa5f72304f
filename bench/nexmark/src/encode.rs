//! Events as records: JSON with times as milliseconds, and Protobuf as `events.proto` says.

use std::io::Write;

use crate::events::{Auction, Bid, Event, Person};

/// How records hold events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Protobuf,
}

/// The record's value in place of what `out` holds.
pub fn encode(format: Format, event: &Event<'_>, out: &mut Vec<u8>) {
    out.clear();
    match (format, event) {
        (Format::Json, event) => json(event, out),
        (Format::Protobuf, Event::Person(person)) => person_message(person, out),
        (Format::Protobuf, Event::Auction(auction)) => auction_message(auction, out),
        (Format::Protobuf, Event::Bid(bid)) => bid_message(bid, out),
    }
}

// No text of these events needs an escape.
fn json(event: &Event<'_>, out: &mut Vec<u8>) {
    let written = match event {
        Event::Person(p) => write!(
            out,
            r#"{{"id":{},"name":"{}","emailAddress":"{}","creditCard":"{}","city":"{}","state":"{}","dateTime":{},"extra":"{}"}}"#,
            p.id, p.name, p.email_address, p.credit_card, p.city, p.state, p.date_time, p.extra
        ),
        Event::Auction(a) => write!(
            out,
            r#"{{"id":{},"itemName":"{}","description":"{}","initialBid":{},"reserve":{},"dateTime":{},"expires":{},"seller":{},"category":{},"extra":"{}"}}"#,
            a.id,
            a.item_name,
            a.description,
            a.initial_bid,
            a.reserve,
            a.date_time,
            a.expires,
            a.seller,
            a.category,
            a.extra
        ),
        Event::Bid(b) => write!(
            out,
            r#"{{"auction":{},"bidder":{},"price":{},"channel":"{}","url":"{}","dateTime":{},"extra":"{}"}}"#,
            b.auction, b.bidder, b.price, b.channel, b.url, b.date_time, b.extra
        ),
    };
    written.expect("writing to memory does not fail");
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value, out);
}

fn text(field: u64, value: &str, out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value.as_bytes());
}

fn person_message(person: &Person<'_>, out: &mut Vec<u8>) {
    number(1, person.id, out);
    text(2, person.name, out);
    text(3, person.email_address, out);
    text(4, person.credit_card, out);
    text(5, person.city, out);
    text(6, person.state, out);
    number(7, person.date_time as u64, out);
    text(8, person.extra, out);
}

fn auction_message(auction: &Auction<'_>, out: &mut Vec<u8>) {
    number(1, auction.id, out);
    text(2, auction.item_name, out);
    text(3, auction.description, out);
    number(4, auction.initial_bid, out);
    number(5, auction.reserve, out);
    number(6, auction.date_time as u64, out);
    number(7, auction.expires as u64, out);
    number(8, auction.seller, out);
    number(9, auction.category, out);
    text(10, auction.extra, out);
}

fn bid_message(bid: &Bid<'_>, out: &mut Vec<u8>) {
    number(1, bid.auction, out);
    number(2, bid.bidder, out);
    number(3, bid.price, out);
    text(4, bid.channel, out);
    text(5, bid.url, out);
    number(6, bid.date_time as u64, out);
    text(7, bid.extra, out);
}
