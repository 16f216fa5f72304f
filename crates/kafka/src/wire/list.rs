//! Arrays of messages: read lazily from the frame, or owned for encoding.

use std::fmt;

use super::{DecodeError, EncodeError, Reader, Wire, Writer};

/// Array: over the wire bytes (validated when the message was decoded, items decoded again while iterating: no
/// allocation), or owned for encoding.
#[derive(Clone)]
pub struct List<'a, T>(Repr<'a, T>);

#[derive(Clone)]
enum Repr<'a, T> {
    /// A reader positioned at the first of `count` items.
    Wire {
        items: Reader<'a>,
        count: u32,
    },
    Owned(Vec<T>),
}

impl<'a, T: Wire<'a>> List<'a, T> {
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::read_nullable(reader)?.ok_or(DecodeError::Null)
    }

    pub fn read_nullable(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        let Some(count) = reader.count(T::BYTES_MIN)? else {
            return Ok(None);
        };
        let mut items = reader.clone();
        for _ in 0..count {
            T::read(reader)?;
        }
        items.truncate(items.remaining() - reader.remaining());
        Ok(Some(Self(Repr::Wire { items, count })))
    }
}

impl<'a, T: Wire<'a> + Clone> List<'a, T> {
    pub fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.count(Some(self.len()))?;
        match &self.0 {
            Repr::Wire { .. } => self.iter().try_for_each(|item| item.write(writer)),
            Repr::Owned(items) => items.iter().try_for_each(|item| item.write(writer)),
        }
    }

    /// Items by value: decoded from the wire, or cloned from the owned vector.
    pub fn iter(&self) -> ListIter<'_, 'a, T> {
        ListIter(match &self.0 {
            Repr::Wire { items, count } => Items::Wire {
                items: items.clone(),
                left: *count,
            },
            Repr::Owned(items) => Items::Owned(items.iter()),
        })
    }
}

impl<T> List<'_, T> {
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Wire { count, .. } => *count as usize,
            Repr::Owned(items) => items.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Iterator over the items of a [`List`].
pub struct ListIter<'l, 'a, T>(Items<'l, 'a, T>);

enum Items<'l, 'a, T> {
    Wire { items: Reader<'a>, left: u32 },
    Owned(std::slice::Iter<'l, T>),
}

impl<'a, T: Wire<'a> + Clone> Iterator for ListIter<'_, 'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Items::Wire { items, left } => {
                *left = left.checked_sub(1)?;
                let item = T::read(items);
                debug_assert!(item.is_ok(), "the list was read when it was decoded");
                item.ok()
            }
            Items::Owned(items) => items.next().cloned(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Items::Wire { left, .. } => *left as usize,
            Items::Owned(items) => items.len(),
        };
        (left, Some(left))
    }
}

impl<'a, T: Wire<'a> + Clone> ExactSizeIterator for ListIter<'_, 'a, T> {}

impl<'l, 'a, T: Wire<'a> + Clone> IntoIterator for &'l List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'l, 'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self(Repr::Owned(Vec::new()))
    }
}

impl<T> From<Vec<T>> for List<'_, T> {
    fn from(items: Vec<T>) -> Self {
        Self(Repr::Owned(items))
    }
}

impl<T> FromIterator<T> for List<'_, T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(Repr::Owned(items.into_iter().collect()))
    }
}

impl<'a, T: Wire<'a> + Clone + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Wire<'a> + Clone + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
