//! Scheduling classes and their shares.

/// Scheduling class of a task: shares of CPU slices and of the in-flight I/O budget (after Redpanda's groups).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    Produce,
    Fetch,
    Streams,
    Query,
    Background,
    Admin,
}

impl Class {
    pub const ALL: [Class; 6] = [
        Class::Produce,
        Class::Fetch,
        Class::Streams,
        Class::Query,
        Class::Background,
        Class::Admin,
    ];

    /// Relative CPU time when classes compete, 1 to 1024. Background gets a twentieth of what Produce gets: enough to
    /// finish, too little to be felt.
    pub const fn shares(self) -> u64 {
        match self {
            Class::Produce => 1000,
            Class::Fetch => 700,
            Class::Streams => 300,
            Class::Query => 150,
            Class::Background => 50,
            Class::Admin => 200,
        }
    }

    /// Reads, writes and syncs of the class in flight at most, per shard. What waits in the device's queue delays
    /// everybody behind it, so classes that can wait may not fill it.
    pub(crate) const fn file_io_max(self) -> usize {
        match self {
            Class::Produce => 128,
            Class::Fetch => 64,
            Class::Streams | Class::Query => 32,
            Class::Background => 8,
            Class::Admin => 16,
        }
    }

    /// Whether its tasks tend to use whole slices: what is queued for the kernel goes out before they run.
    pub(crate) const fn is_batch(self) -> bool {
        matches!(self, Class::Streams | Class::Query | Class::Background)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Class::Produce => "produce",
            Class::Fetch => "fetch",
            Class::Streams => "streams",
            Class::Query => "query",
            Class::Background => "background",
            Class::Admin => "admin",
        }
    }
}
