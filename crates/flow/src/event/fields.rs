//! The four shapes of a field: with a default, optional, repeated, a map.

use super::{
    DecodeError, Element, Input,
    input::{put_counted, put_tag},
    schema::Message,
};
use proto_schema::COUNTED;
use streams::format::Reason;

fn merge_one<T: Element<E>, E>(
    value: &mut T,
    wire: u8,
    input: &mut Input<'_>,
) -> Result<(), DecodeError> {
    if wire != T::WIRE {
        return input.fail(Reason::WireType);
    }
    value.merge_value(input)
}

fn put_one<T: Element<E>, E>(value: &T, number: u32, out: &mut Vec<u8>) {
    put_tag(number, T::WIRE, out);
    value.put_value(out);
}

/// A value, or its type's default when it is left out.
pub mod plain {
    use super::{DecodeError, Element, Input, Message, merge_one, put_one};

    pub fn describe<T: Element<E>, E>(message: &mut Message<'_>, number: u32, name: &str) {
        let kind = T::kind(message.schema());
        message.field(number, "", &kind, name);
    }

    #[must_use]
    pub fn empty<T: Element<E>, E>() -> T {
        T::zero()
    }

    pub fn put<T: Element<E>, E>(value: &T, number: u32, out: &mut Vec<u8>) {
        if !value.is_zero() {
            put_one(value, number, out);
        }
    }

    pub fn merge<T: Element<E>, E>(
        value: &mut T,
        wire: u8,
        input: &mut Input<'_>,
    ) -> Result<(), DecodeError> {
        merge_one(value, wire, input)
    }
}

/// A value, or none.
pub mod optional {
    use super::{DecodeError, Element, Input, Message, merge_one, put_one};

    pub fn describe<T: Element<E>, E>(message: &mut Message<'_>, number: u32, name: &str) {
        let kind = T::kind(message.schema());
        message.field(number, "optional", &kind, name);
    }

    #[must_use]
    pub fn empty<T: Element<E>, E>() -> Option<T> {
        None
    }

    pub fn put<T: Element<E>, E>(value: &Option<T>, number: u32, out: &mut Vec<u8>) {
        if let Some(value) = value {
            put_one(value, number, out);
        }
    }

    pub fn merge<T: Element<E>, E>(
        value: &mut Option<T>,
        wire: u8,
        input: &mut Input<'_>,
    ) -> Result<(), DecodeError> {
        merge_one(value.get_or_insert_with(T::zero), wire, input)
    }
}

/// Any number of values; numbers lie together.
pub mod repeated {
    use super::{COUNTED, DecodeError, Element, Input, Message, merge_one, put_counted, put_one};

    pub fn describe<T: Element<E>, E>(message: &mut Message<'_>, number: u32, name: &str) {
        let kind = T::kind(message.schema());
        message.field(number, "repeated", &kind, name);
    }

    #[must_use]
    pub fn empty<T: Element<E>, E>() -> Vec<T> {
        Vec::new()
    }

    pub fn put<T: Element<E>, E>(values: &[T], number: u32, out: &mut Vec<u8>) {
        if !T::PACKS {
            values.iter().for_each(|value| put_one(value, number, out));
        } else if !values.is_empty() {
            let mut packed = Vec::new();
            values.iter().for_each(|value| value.put_value(&mut packed));
            put_counted(number, &packed, out);
        }
    }

    pub fn merge<T: Element<E>, E>(
        values: &mut Vec<T>,
        wire: u8,
        input: &mut Input<'_>,
    ) -> Result<(), DecodeError> {
        if T::PACKS && wire == COUNTED {
            let mut packed = input.packed()?;
            while !packed.is_empty() {
                let mut value = T::zero();
                value.merge_value(&mut packed)?;
                values.push(value);
            }
            return Ok(());
        }
        input.allow(size_of::<T>())?;
        let mut value = T::zero();
        merge_one(&mut value, wire, input)?;
        values.push(value);
        Ok(())
    }
}

/// Values by key; on the wire, messages of both.
pub mod map {
    use std::collections::BTreeMap;

    use super::{COUNTED, DecodeError, Element, Input, Message, Reason, plain, put_counted};

    pub fn describe<K: Element, V: Element>(message: &mut Message<'_>, number: u32, name: &str) {
        let key = K::kind(message.schema());
        let value = V::kind(message.schema());
        message.field(number, "", &format!("map<{key},{value}>"), name);
    }

    #[must_use]
    pub fn empty<K: Element + Ord, V: Element>() -> BTreeMap<K, V> {
        BTreeMap::new()
    }

    pub fn put<K: Element + Ord, V: Element>(
        values: &BTreeMap<K, V>,
        number: u32,
        out: &mut Vec<u8>,
    ) {
        let mut entry = Vec::new();
        for (key, value) in values {
            entry.clear();
            plain::put(key, 1, &mut entry);
            plain::put(value, 2, &mut entry);
            put_counted(number, &entry, out);
        }
    }

    pub fn merge<K: Element + Ord, V: Element>(
        values: &mut BTreeMap<K, V>,
        wire: u8,
        input: &mut Input<'_>,
    ) -> Result<(), DecodeError> {
        if wire != COUNTED {
            return input.fail(Reason::WireType);
        }
        input.allow(size_of::<(K, V)>())?;
        let mut within = input.within()?;
        let (mut key, mut value) = (K::zero(), V::zero());
        while let Some((number, wire)) = within.tag()? {
            match number {
                1 => plain::merge(&mut key, wire, &mut within)?,
                2 => plain::merge(&mut value, wire, &mut within)?,
                _ => within.skip(wire)?,
            }
        }
        values.insert(key, value);
        Ok(())
    }
}
