//! A schema registry as Confluent's clients speak with it: subjects, versions, ids, compatibility levels.
//!
//! It performs no I/O: a request goes in, and an answer comes out with the records that must last before it may be given.
//! Its state is the sum of the records, in the order of their topic; their form is Confluent's own, see
//! `docs/formats/schemas-topic.md`.
//!
//! # Limits
//! See [`limits`].

mod answer;
mod api;
mod compatibility;
pub mod limits;
mod record;
mod schema;
mod state;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Refusal};
pub use api::{Method, Request};
pub use record::Record;
pub use schema::{Resolved, SchemaType};
pub use state::Registry;
