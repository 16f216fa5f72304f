//! What a single value of a field may be.

use super::{DecodeError, Event, Input, Schema, Timestamp, fields::plain, input::put_bytes};
use proto_schema::{COUNTED, EIGHT_BYTES, FOUR_BYTES, VARINT, put_varint};
use streams::format::Reason;

/// The usual way of a type on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

/// Integers of which many are negative.
#[derive(Clone, Copy, Debug)]
pub struct Sint;

/// Integers as wide as their type.
#[derive(Clone, Copy, Debug)]
pub struct Fixed;

/// A value, in one of the ways that it may lie on the wire.
pub trait Element<E = Plain>: Clone + Send + 'static {
    const WIRE: u8;
    /// Repeated ones lie together, without tags.
    const PACKS: bool;

    /// Its type in a `.proto` file; adds it to the schema if it is declared there.
    fn kind(schema: &mut Schema) -> String;

    fn zero() -> Self;

    /// Left out where there is no presence.
    fn is_zero(&self) -> bool;

    fn put_value(&self, out: &mut Vec<u8>);

    fn merge_value(&mut self, input: &mut Input<'_>) -> Result<(), DecodeError>;
}

/// An enum without fields. Of numbers that it does not know it makes its first value.
pub trait Enumeration: Clone + Send + 'static {
    fn name() -> String;

    fn values() -> &'static [(&'static str, i32)];

    fn from_number(number: i32) -> Self;

    fn number(&self) -> i32;
}

/// Implements [`Element`] for a type that is a message.
#[macro_export]
macro_rules! message_element {
    ($message:ty) => {
        impl $crate::event::Element for $message {
            const WIRE: u8 = 2;
            const PACKS: bool = false;

            fn kind(schema: &mut $crate::event::Schema) -> ::std::string::String {
                <Self as $crate::Event>::describe(schema);
                <Self as $crate::Event>::name()
            }

            fn zero() -> Self {
                <Self as $crate::Event>::empty()
            }

            fn is_zero(&self) -> bool {
                false
            }

            fn put_value(&self, out: &mut ::std::vec::Vec<u8>) {
                $crate::event::put_message(self, out);
            }

            fn merge_value(
                &mut self,
                input: &mut $crate::event::Input<'_>,
            ) -> ::std::result::Result<(), $crate::event::DecodeError> {
                $crate::event::merge_message(self, input)
            }
        }
    };
}

/// Implements [`Element`] for an [`Enumeration`].
#[macro_export]
macro_rules! enumeration_element {
    ($values:ty) => {
        impl $crate::event::Element for $values {
            const WIRE: u8 = 0;
            const PACKS: bool = true;

            fn kind(schema: &mut $crate::event::Schema) -> ::std::string::String {
                schema.enumeration::<Self>()
            }

            fn zero() -> Self {
                <Self as $crate::event::Enumeration>::from_number(0)
            }

            fn is_zero(&self) -> bool {
                $crate::event::Enumeration::number(self) == 0
            }

            fn put_value(&self, out: &mut ::std::vec::Vec<u8>) {
                let number = $crate::event::Enumeration::number(self);
                <i32 as $crate::event::Element>::put_value(&number, out);
            }

            fn merge_value(
                &mut self,
                input: &mut $crate::event::Input<'_>,
            ) -> ::std::result::Result<(), $crate::event::DecodeError> {
                let mut number = 0i32;
                <i32 as $crate::event::Element>::merge_value(&mut number, input)?;
                *self = <Self as $crate::event::Enumeration>::from_number(number);
                ::std::result::Result::Ok(())
            }
        }
    };
}

/// With its length in front.
pub fn put_message<T: Event>(message: &T, out: &mut Vec<u8>) {
    // The length takes a byte of most messages; where it takes more, what stands behind it moves.
    let at = out.len();
    out.push(0);
    message.put(out);
    let bytes = out.len() - at - 1;
    if bytes < 0x80 {
        out[at] = bytes as u8;
        return;
    }
    let mut length = Vec::new();
    put_varint(bytes as u64, &mut length);
    out.splice(at..=at, length);
}

pub fn merge_message<T: Event>(message: &mut T, input: &mut Input<'_>) -> Result<(), DecodeError> {
    message.merge(&mut input.within()?)
}

macro_rules! scalar {
    ($type:ty, $encoding:ty, $kind:literal, $wire:expr, $packs:literal, $is_zero:expr,
     |$value:ident, $out:ident| $put:expr, |$input:ident| $read:expr) => {
        impl Element<$encoding> for $type {
            const WIRE: u8 = $wire;
            const PACKS: bool = $packs;

            fn kind(_schema: &mut Schema) -> String {
                $kind.to_owned()
            }

            fn zero() -> Self {
                Self::default()
            }

            fn is_zero(&self) -> bool {
                let is_zero: fn(&Self) -> bool = $is_zero;
                is_zero(self)
            }

            fn put_value(&self, $out: &mut Vec<u8>) {
                let $value = self;
                $put
            }

            fn merge_value(&mut self, $input: &mut Input<'_>) -> Result<(), DecodeError> {
                *self = $read;
                Ok(())
            }
        }
    };
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

// Negative ones of 32 bits are as long as those of 64, and of what is too long the lower bits count: so says Protobuf.
scalar!(
    i32,
    Plain,
    "int32",
    VARINT,
    true,
    |v| *v == 0,
    |v, out| put_varint(i64::from(*v).cast_unsigned(), out),
    |input| input.varint()? as i32
);
scalar!(
    i64,
    Plain,
    "int64",
    VARINT,
    true,
    |v| *v == 0,
    |v, out| put_varint(v.cast_unsigned(), out),
    |input| input.varint()?.cast_signed()
);
scalar!(
    u32,
    Plain,
    "uint32",
    VARINT,
    true,
    |v| *v == 0,
    |v, out| put_varint(u64::from(*v), out),
    |input| input.varint()? as u32
);
scalar!(
    u64,
    Plain,
    "uint64",
    VARINT,
    true,
    |v| *v == 0,
    |v, out| put_varint(*v, out),
    |input| input.varint()?
);
scalar!(
    bool,
    Plain,
    "bool",
    VARINT,
    true,
    |v| !*v,
    |v, out| out.push(u8::from(*v)),
    |input| input.varint()? != 0
);
scalar!(
    i32,
    Sint,
    "sint32",
    VARINT,
    true,
    |v| *v == 0,
    |v, out| put_varint(zigzag(i64::from(*v)), out),
    |input| unzigzag(input.varint()? & 0xFFFF_FFFF) as i32
);
scalar!(
    i64,
    Sint,
    "sint64",
    VARINT,
    true,
    |v| *v == 0,
    |v, out| put_varint(zigzag(*v), out),
    |input| unzigzag(input.varint()?)
);
scalar!(
    i32,
    Fixed,
    "sfixed32",
    FOUR_BYTES,
    true,
    |v| *v == 0,
    |v, out| out.extend(v.to_le_bytes()),
    |input| i32::from_le_bytes(input.array()?)
);
scalar!(
    i64,
    Fixed,
    "sfixed64",
    EIGHT_BYTES,
    true,
    |v| *v == 0,
    |v, out| out.extend(v.to_le_bytes()),
    |input| i64::from_le_bytes(input.array()?)
);
scalar!(
    u32,
    Fixed,
    "fixed32",
    FOUR_BYTES,
    true,
    |v| *v == 0,
    |v, out| out.extend(v.to_le_bytes()),
    |input| u32::from_le_bytes(input.array()?)
);
scalar!(
    u64,
    Fixed,
    "fixed64",
    EIGHT_BYTES,
    true,
    |v| *v == 0,
    |v, out| out.extend(v.to_le_bytes()),
    |input| u64::from_le_bytes(input.array()?)
);
scalar!(
    f32,
    Plain,
    "float",
    FOUR_BYTES,
    true,
    |v| v.to_bits() == 0,
    |v, out| out.extend(v.to_le_bytes()),
    |input| f32::from_le_bytes(input.array()?)
);
scalar!(
    f64,
    Plain,
    "double",
    EIGHT_BYTES,
    true,
    |v| v.to_bits() == 0,
    |v, out| out.extend(v.to_le_bytes()),
    |input| f64::from_le_bytes(input.array()?)
);
scalar!(
    String,
    Plain,
    "string",
    COUNTED,
    false,
    |v| v.is_empty(),
    |v, out| put_bytes(v.as_bytes(), out),
    |input| text(input)?
);
scalar!(
    Vec<u8>,
    Plain,
    "bytes",
    COUNTED,
    false,
    |v| v.is_empty(),
    |v, out| put_bytes(v, out),
    |input| input.counted()?.to_vec()
);

fn text(input: &mut Input<'_>) -> Result<String, DecodeError> {
    let bytes = input.counted()?;
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => input.fail(Reason::Utf8),
    }
}

impl Element for Timestamp {
    const WIRE: u8 = COUNTED;
    const PACKS: bool = false;

    fn kind(_schema: &mut Schema) -> String {
        "google.protobuf.Timestamp".to_owned()
    }

    fn zero() -> Self {
        Self(0)
    }

    fn is_zero(&self) -> bool {
        false
    }

    fn put_value(&self, out: &mut Vec<u8>) {
        let mut message = Vec::new();
        let seconds = self.0.div_euclid(1_000_000);
        let nanos = self.0.rem_euclid(1_000_000) as i32 * 1000;
        plain::put::<i64, Plain>(&seconds, 1, &mut message);
        plain::put::<i32, Plain>(&nanos, 2, &mut message);
        put_bytes(&message, out);
    }

    fn merge_value(&mut self, input: &mut Input<'_>) -> Result<(), DecodeError> {
        let mut within = input.within()?;
        let mut seconds = self.0.div_euclid(1_000_000);
        let mut nanos = self.0.rem_euclid(1_000_000) as i32 * 1000;
        while let Some((number, wire)) = within.tag()? {
            match number {
                1 => plain::merge::<i64, Plain>(&mut seconds, wire, &mut within)?,
                2 => plain::merge::<i32, Plain>(&mut nanos, wire, &mut within)?,
                _ => within.skip(wire)?,
            }
        }
        let micros = seconds.checked_mul(1_000_000);
        match micros.and_then(|micros| micros.checked_add(i64::from(nanos / 1000))) {
            Some(micros) => self.0 = micros,
            None => return input.fail(Reason::Range("timestamp")),
        }
        Ok(())
    }
}

impl<T: Element<E>, E: 'static> Element<E> for Box<T> {
    const WIRE: u8 = T::WIRE;
    const PACKS: bool = T::PACKS;

    fn kind(schema: &mut Schema) -> String {
        T::kind(schema)
    }

    fn zero() -> Self {
        Self::new(T::zero())
    }

    fn is_zero(&self) -> bool {
        (**self).is_zero()
    }

    fn put_value(&self, out: &mut Vec<u8>) {
        (**self).put_value(out);
    }

    fn merge_value(&mut self, input: &mut Input<'_>) -> Result<(), DecodeError> {
        (**self).merge_value(input)
    }
}

/// A single value as an event: the message that Google's wrappers are, with the value as number 1.
macro_rules! wrapped {
    ($($type:ty, $name:literal);+ $(;)?) => {$(
        impl Event for $type {
            fn name() -> String {
                $name.to_owned()
            }

            fn describe(schema: &mut Schema) {
                schema.message::<Self>(|message| plain::describe::<Self, Plain>(message, 1, "value"));
            }

            fn empty() -> Self {
                <Self as Element>::zero()
            }

            fn put(&self, out: &mut Vec<u8>) {
                plain::put::<Self, Plain>(self, 1, out);
            }

            fn merge(&mut self, input: &mut Input<'_>) -> Result<(), DecodeError> {
                while let Some((number, wire)) = input.tag()? {
                    match number {
                        1 => plain::merge::<Self, Plain>(self, wire, input)?,
                        _ => input.skip(wire)?,
                    }
                }
                Ok(())
            }
        }
    )+};
}

wrapped! {
    i32, "Int32Value";
    i64, "Int64Value";
    u32, "UInt32Value";
    u64, "UInt64Value";
    bool, "BoolValue";
    f32, "FloatValue";
    f64, "DoubleValue";
    String, "StringValue";
    Vec<u8>, "BytesValue";
    Timestamp, "TimestampValue";
}

impl Event for () {
    fn name() -> String {
        "Empty".to_owned()
    }

    fn describe(schema: &mut Schema) {
        schema.message::<Self>(|_| {});
    }

    fn empty() -> Self {}

    fn put(&self, _out: &mut Vec<u8>) {}

    fn merge(&mut self, input: &mut Input<'_>) -> Result<(), DecodeError> {
        while let Some((_, wire)) = input.tag()? {
            input.skip(wire)?;
        }
        Ok(())
    }
}

impl<A: Event + Element, B: Event + Element> Event for (A, B) {
    fn name() -> String {
        format!("{}_{}", <A as Event>::name(), <B as Event>::name())
    }

    fn describe(schema: &mut Schema) {
        schema.message::<Self>(|message| {
            plain::describe::<A, Plain>(message, 1, "first");
            plain::describe::<B, Plain>(message, 2, "second");
        });
    }

    fn empty() -> Self {
        (A::empty(), B::empty())
    }

    fn put(&self, out: &mut Vec<u8>) {
        plain::put::<A, Plain>(&self.0, 1, out);
        plain::put::<B, Plain>(&self.1, 2, out);
    }

    fn merge(&mut self, input: &mut Input<'_>) -> Result<(), DecodeError> {
        while let Some((number, wire)) = input.tag()? {
            match number {
                1 => plain::merge::<A, Plain>(&mut self.0, wire, input)?,
                2 => plain::merge::<B, Plain>(&mut self.1, wire, input)?,
                _ => input.skip(wire)?,
            }
        }
        Ok(())
    }
}
