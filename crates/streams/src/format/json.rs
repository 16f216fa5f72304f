//! Records that are JSON objects.
//!
//! One pass over the bytes: members that are read go straight into their columns, others are skipped, but looked at just
//! as strictly. Where members are found is guessed from the records before, whose members mostly came in the same order;
//! a guess costs one comparison and a wrong one a look into the table of names.
//!
//! What is read:
//! - A record is one object of RFC 8259 in UTF-8 with nothing behind it. Of members with the same name the last counts.
//! - A column's value is what PostgreSQL's `->>` and a cast to its type would make of the member: a string may hold a
//!   number, text may be any value. Beyond that: integers may be written `1e3` or `5.0`; numbers for timestamps are
//!   milliseconds since 1970 and for dates days; bytes are base64, or hexadecimal behind `\x`; lists are arrays and
//!   structs objects; numeric is rounded to its scale.
//! - What is absent, null, or lies within something that is neither object nor array, is NULL.
//! - Text with the character U+0000 is malformed, since PostgreSQL has none; so is a number out of its column's range.
//!
//! What is written:
//! Integers and decimals as numbers, floating point too but for `"NaN"`, `"Infinity"` and `"-Infinity"`; times as ISO
//! 8601 with microseconds, in UTC with a `Z` where the column has a zone; bytes as base64; JSON as it is.

mod scan;
mod value;
mod write;

pub(super) use write::Writer;

use arrow_schema::SchemaRef;

use super::{DEPTH_MAX, Failure, FormatError, Reason, column::Column};
use scan::Cursor;

/// Names remembered of each object, to guess by.
const GUESSES_MAX: usize = 64;
/// Longer names are not remembered: whoever writes such has no speed to lose.
const GUESS_BYTES_MAX: usize = 256;
/// How many of them are tried for a member: as many may be missing in a row.
const GUESSES_TRIED: usize = 4;

/// What is read of the records: a tree of names.
pub(super) struct Members {
    /// The first is the record.
    nodes: Vec<Node>,
    /// Records so far: tells what was met in this one.
    record: u64,
    /// Room for strings with escapes.
    scratch: Vec<u8>,
}

/// An object or array some of whose members are read.
#[derive(Default)]
struct Node {
    /// Columns that are all of this value.
    whole: Vec<usize>,
    /// By name, sorted.
    members: Vec<(Box<[u8]>, Target)>,
    /// By place, sorted: those members whose name is a number.
    elements: Vec<(usize, Target)>,
    /// Columns anywhere within.
    columns: Vec<usize>,
    guesses: Vec<Guess>,
    /// Number of the record that it was last met in.
    met: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Skip,
    Column(usize),
    Node(usize),
}

/// A member by its name with quotes and colon.
struct Guess {
    text: Box<[u8]>,
    /// Its first eight bytes, and which of them there are.
    head: u64,
    mask: u64,
    /// Its last eight bytes, if there are more. Most names are no longer than both together.
    tail: u64,
    target: Target,
}

impl Guess {
    fn new(text: &[u8], target: Target) -> Self {
        let mut head = [0; 8];
        let count = text.len().min(8);
        head[..count].copy_from_slice(&text[..count]);
        Self {
            text: text.into(),
            head: u64::from_le_bytes(head),
            mask: u64::MAX >> (64 - 8 * count),
            tail: text
                .last_chunk()
                .map_or(0, |tail| u64::from_le_bytes(*tail)),
            target,
        }
    }

    /// Whether the text begins so.
    #[inline]
    fn is_at(&self, text: &[u8]) -> bool {
        let Some(head) = text.first_chunk::<8>() else {
            return text.starts_with(&self.text);
        };
        if u64::from_le_bytes(*head) & self.mask != self.head {
            return false;
        }
        match self.text.len() {
            ..=8 => true,
            bytes @ 9..=16 => {
                let tail = text.get(..bytes).and_then(|text| text.last_chunk::<8>());
                tail.is_some_and(|tail| u64::from_le_bytes(*tail) == self.tail)
            }
            _ => text.starts_with(&self.text),
        }
    }
}

impl Members {
    pub fn new(
        paths: &[Vec<String>],
        schema: &SchemaRef,
        columns: &[usize],
    ) -> Result<Self, FormatError> {
        super::check_paths(paths, schema)?;
        let mut members = Self {
            nodes: vec![Node::default()],
            record: 0,
            scratch: Vec::new(),
        };
        for (column, source) in columns.iter().enumerate() {
            let name = [schema.field(*source).name().clone()];
            let path = paths.get(*source).map_or(&name[..], |path| path);
            if path.len() >= DEPTH_MAX {
                let [column] = name;
                return Err(FormatError::PathDepth { column });
            }
            members.add(0, path, column);
        }
        for node in &mut members.nodes {
            let by_place = node.members.iter().filter_map(|(name, target)| {
                let name = std::str::from_utf8(name).ok()?;
                let is_canonical = name == "0" || !name.starts_with(['0', '+']);
                Some((name.parse().ok().filter(|_| is_canonical)?, *target))
            });
            node.elements = by_place.collect();
            node.elements.sort_by_key(|(place, _)| *place);
        }
        Ok(members)
    }

    fn add(&mut self, node: usize, path: &[String], column: usize) {
        self.nodes[node].columns.push(column);
        let [name, rest @ ..] = path else {
            self.nodes[node].whole.push(column);
            return;
        };
        let name = name.as_bytes();
        let found = self.nodes[node]
            .members
            .binary_search_by(|(other, _)| (**other).cmp(name));
        let place = match found {
            Ok(place) => place,
            Err(place) => {
                let target = if rest.is_empty() {
                    Target::Column(column)
                } else {
                    Target::Skip
                };
                self.nodes[node]
                    .members
                    .insert(place, (name.into(), target));
                if rest.is_empty() {
                    return;
                }
                place
            }
        };
        let child = match self.nodes[node].members[place].1 {
            Target::Node(child) => child,
            before => {
                let child = self.nodes.len();
                self.nodes.push(Node::default());
                self.nodes[node].members[place].1 = Target::Node(child);
                if let Target::Column(column) = before {
                    self.add(child, &[], column);
                }
                child
            }
        };
        self.add(child, rest, column);
    }

    /// Adds a value to each column, whose `rows` values are those of the records before. On failure some have more.
    pub fn decode(
        &mut self,
        text: &[u8],
        columns: &mut [Column],
        rows: usize,
    ) -> Result<(), Failure> {
        self.record += 1;
        let mut record = Record {
            cursor: Cursor::new(text),
            nodes: &mut self.nodes,
            columns,
            rows,
            record: self.record,
            scratch: &mut self.scratch,
        };
        if record.cursor.next() != Some(b'{') {
            return Err(record.cursor.fail(Reason::NotAnObject));
        }
        record.node(0)?;
        if record.cursor.next().is_some() {
            return Err(record.cursor.fail(Reason::Trailing));
        }
        record.cursor.check_utf8()?;
        for column in columns {
            if column.len() == rows {
                column.push_null();
            }
        }
        Ok(())
    }
}

/// Whether a text is one JSON value and nothing else.
pub(super) fn is_value(text: &[u8]) -> bool {
    let mut cursor = Cursor::new(text);
    cursor.next();
    cursor.skip().is_ok() && cursor.next().is_none() && cursor.check_utf8().is_ok()
}

/// A record while it is read.
struct Record<'a> {
    cursor: Cursor<'a>,
    nodes: &'a mut [Node],
    columns: &'a mut [Column],
    rows: usize,
    record: u64,
    scratch: &'a mut Vec<u8>,
}

impl Record<'_> {
    /// Recursion ends with the paths, which are shorter than [`DEPTH_MAX`].
    fn node(&mut self, at: usize) -> Result<(), Failure> {
        let node = &mut self.nodes[at];
        if node.met == self.record {
            // A second member of this name: nothing of the first one counts.
            for column in &node.columns {
                self.columns[*column].truncate(self.rows);
            }
        }
        node.met = self.record;
        let start = self.cursor.at;
        for place in 0..self.nodes[at].whole.len() {
            self.column(self.nodes[at].whole[place])?;
            self.cursor.at = start;
        }
        match self.cursor.peek() {
            Some(b'{') if !self.nodes[at].members.is_empty() => self.object(at),
            Some(b'[') if !self.nodes[at].elements.is_empty() => self.array(at),
            _ => self.cursor.skip().map(|_| ()),
        }
    }

    fn object(&mut self, at: usize) -> Result<(), Failure> {
        let mut guess = 0;
        let mut has_more = self.cursor.begin(b'}')?;
        while has_more {
            let target = self.member(at, &mut guess)?;
            self.cursor.next();
            self.target(target)?;
            has_more = self.cursor.has_more(b'}')?;
        }
        Ok(())
    }

    fn array(&mut self, at: usize) -> Result<(), Failure> {
        let mut place = 0;
        let mut has_more = self.cursor.begin(b']')?;
        while has_more {
            self.cursor.next();
            let elements = &self.nodes[at].elements;
            let found = elements.binary_search_by_key(&place, |(place, _)| *place);
            self.target(found.map_or(Target::Skip, |found| elements[found].1))?;
            place += 1;
            has_more = self.cursor.has_more(b']')?;
        }
        Ok(())
    }

    #[inline]
    fn target(&mut self, target: Target) -> Result<(), Failure> {
        match target {
            Target::Skip => self.cursor.skip().map(|_| ()),
            Target::Column(column) => self.column(column),
            Target::Node(node) => self.node(node),
        }
    }

    #[inline]
    fn column(&mut self, at: usize) -> Result<(), Failure> {
        let column = &mut self.columns[at];
        if column.len() > self.rows {
            column.truncate(self.rows);
        }
        value::push(&mut self.cursor, column, self.scratch).map_err(|failure| failure.of(at))
    }

    /// Reads a name; where its value goes.
    #[inline]
    fn member(&mut self, at: usize, guess: &mut usize) -> Result<Target, Failure> {
        self.cursor.next();
        let rest = &self.cursor.text[self.cursor.at..];
        let guesses = self.nodes[at].guesses.get(*guess..).unwrap_or_default();
        if let [guessed, ..] = guesses
            && guessed.is_at(rest)
        {
            *guess += 1;
            self.cursor.at += guessed.text.len();
            return Ok(guessed.target);
        }
        self.ahead(at, guess)
    }

    /// The members guessed next are missing, or else it is none that was guessed.
    fn ahead(&mut self, at: usize, guess: &mut usize) -> Result<Target, Failure> {
        let rest = &self.cursor.text[self.cursor.at..];
        let guesses = self.nodes[at].guesses.iter().enumerate();
        for (place, guessed) in guesses.skip(*guess + 1).take(GUESSES_TRIED) {
            if guessed.is_at(rest) {
                *guess = place + 1;
                self.cursor.at += guessed.text.len();
                return Ok(guessed.target);
            }
        }
        self.unforeseen(at, guess)
    }

    #[cold]
    fn unforeseen(&mut self, at: usize, guess: &mut usize) -> Result<Target, Failure> {
        let from = self.cursor.at;
        let name = self.cursor.name()?;
        let node = &mut self.nodes[at];
        self.scratch.clear();
        scan::unescape(name.text, self.scratch);
        let found = node
            .members
            .binary_search_by(|(other, _)| (**other).cmp(self.scratch));
        let target = found.map_or(Target::Skip, |place| node.members[place].1);
        let text = &self.cursor.text[from..self.cursor.at];
        // Only ASCII is remembered, since a name that was guessed right is not looked at.
        if text.len() > GUESS_BYTES_MAX || !text.is_ascii() {
            return Ok(target);
        }
        if node.guesses.len() == GUESSES_MAX {
            node.guesses.clear();
            *guess = 0;
        }
        node.guesses.insert(*guess, Guess::new(text, target));
        *guess += 1;
        Ok(target)
    }
}

#[cfg(test)]
mod tests;
