//! A node on real files and loopback sockets, spoken to in frames made by hand.

mod admin;
mod fetching;
mod harness;
mod hostile;
mod producing;
mod restart;
