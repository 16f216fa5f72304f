//! Positions in a log: record offsets, entry indexes, byte positions, epochs, timestamps.

use std::fmt;

macro_rules! position {
    ($(#[$doc:meta])* $name:ident($raw:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $raw);

        impl $name {
            pub const ZERO: Self = Self(0);

            /// The raw integer, for the codec.
            pub const fn get(self) -> $raw {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

position! {
    /// Number of a record in its partition, as Kafka's clients see it.
    Offset(i64)
}
position! {
    /// Number of an entry (one batch or one control entry) in its partition's Raft log.
    RaftIndex(u64)
}
position! {
    /// Byte position in a file.
    FilePos(u64)
}
position! {
    /// Kafka's partition leader epoch, which is the Raft term of the partition's group.
    LeaderEpoch(i32)
}
position! {
    /// Counter of a partition's truncations: a durable position counts only under the log epoch it was written in.
    LogEpoch(u32)
}
position! {
    /// Milliseconds since the Unix epoch, as in Kafka's record timestamps; -1 is "no timestamp".
    TimestampMs(i64)
}

impl Offset {
    /// The offset `count` records further on.
    ///
    /// Panics on overflow: an offset above `i64::MAX` means a bug upstream, batches are validated at the door.
    #[must_use]
    pub fn plus(self, count: i64) -> Self {
        Self(
            self.0
                .checked_add(count)
                .expect("offsets stay below i64::MAX"),
        )
    }
}

impl RaftIndex {
    /// The index of the next entry.
    #[must_use]
    pub fn next(self) -> Self {
        Self(
            self.0
                .checked_add(1)
                .expect("raft indexes stay below u64::MAX"),
        )
    }
}

impl FilePos {
    /// The position `bytes` further on.
    #[must_use]
    pub fn plus(self, bytes: u64) -> Self {
        Self(
            self.0
                .checked_add(bytes)
                .expect("file positions stay below u64::MAX"),
        )
    }
}

impl LogEpoch {
    /// The log epoch after one more truncation.
    #[must_use]
    pub fn next(self) -> Self {
        Self(
            self.0
                .checked_add(1)
                .expect("log epochs stay below u32::MAX"),
        )
    }
}
