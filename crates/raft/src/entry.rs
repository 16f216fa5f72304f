//! Descriptors of entries: what consensus needs to know of a payload that lies elsewhere.

use base::RaftIndex;

use crate::Term;

/// What an entry carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A record batch, or whatever else the group's state machine reads.
    Records,
    /// The first entry of a leader, without a payload: with it the entries of earlier terms commit (thesis 3.6.2).
    TermStart,
    /// A `Configuration`, in force from the moment it stands in the log (thesis 4.1).
    Configuration,
}

/// One entry without its payload. Its index is its place in the slice it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor {
    pub term: Term,
    /// Size of the payload, for the bounds of messages and windows.
    pub bytes: u32,
    /// CRC32C of the payload; whoever stages the payload compares it. Zero for entries that the core itself makes.
    pub checksum: u32,
    pub kind: EntryKind,
}

/// An index with the term of the entry that stands there. Ordered as "up to date" is (thesis 3.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    pub term: Term,
    pub index: RaftIndex,
}
