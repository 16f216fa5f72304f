//! Events: Rust structs as Protobuf messages with numbered fields.
//!
//! `#[derive(Event)]` writes the implementations; the modules here are what they call. Bytes are those of the numbers'
//! order, and defaults are left out, so that equal values have equal bytes: keys are compared so.

mod elements;
mod fields;
mod input;
mod schema;

pub use elements::{Element, Enumeration, Fixed, Plain, Sint, merge_message, put_message};
pub use fields::{map, optional, plain, repeated};
pub use input::{Allowance, DecodeError, Input};
pub use schema::{FieldSchema, Message, Schema};

pub(crate) use schema::flat;

pub(crate) use input::{counted, put_counted};

/// A message. See the module head.
pub trait Event: Clone + Send + 'static {
    /// With its package, if it has one.
    fn name() -> String;

    /// Adds the message and all that it is made of.
    fn describe(schema: &mut Schema);

    /// Every field as if it was left out.
    fn empty() -> Self;

    /// Adds its fields.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads fields to the end; what was there already is merged as Protobuf merges.
    fn merge(&mut self, input: &mut Input<'_>) -> Result<(), DecodeError>;

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut event = Self::empty();
        event.merge(&mut Input::new(bytes, &Allowance::for_message(bytes)))?;
        Ok(event)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }
}

/// A moment, in microseconds since the epoch of UNIX; in messages a `google.protobuf.Timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    #[must_use]
    pub fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    #[must_use]
    pub fn plus(self, by: std::time::Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }

    #[must_use]
    pub fn minus(self, by: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }
}

pub(crate) fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
