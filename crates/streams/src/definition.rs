//! What relations are made of: topics and how their records hold rows, and plans.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow_schema::SchemaRef;

use crate::{Plan, format::Format, source::RowReader};

/// What makes a relation, planned.
#[derive(Clone, Debug)]
pub enum Definition {
    Source(Source),
    Table(Table),
    View(View),
    Sink(Sink),
    Index(Index),
    Stream(Stream),
}

impl Definition {
    /// The topic that it reads itself.
    #[must_use]
    pub fn topic_read(&self) -> Option<&str> {
        match self {
            Self::Source(source) => Some(&source.topic),
            Self::Stream(stream) => Some(&stream.topic.as_ref()?.topic),
            _ => None,
        }
    }

    /// The topic that it writes to.
    #[must_use]
    pub fn topic_written(&self) -> Option<&str> {
        match self {
            Self::Sink(sink) => sink.topic.as_deref(),
            _ => None,
        }
    }
}

/// Records of a topic as rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub topic: String,
    /// Of all its columns.
    pub schema: SchemaRef,
    /// Of the columns that are not in what the record holds.
    pub format: Format,
    /// Columns that say something of the record itself, by their place.
    pub metadata: BTreeMap<usize, Metadata>,
    pub watermark: Option<Watermark>,
    pub on_malformed: OnMalformed,
}

/// How far behind the newest event time rows are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    pub column: usize,
    pub delay_us: i64,
    /// Times further ahead of the epoch's clock are not believed: they are in their rows, and move nothing.
    pub future_us_max: i64,
}

impl Watermark {
    /// A day, where nothing else is said.
    pub const FUTURE_US_MAX: i64 = 24 * 60 * 60 * 1_000_000;
}

/// What a record has beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// When it was made, or appended where the topic says so: a timestamp in microseconds.
    Timestamp,
    /// A 32-bit integer.
    Partition,
    /// A 64-bit integer.
    Offset,
    /// Text or bytes.
    Key,
}

/// What happens to a record that holds no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnMalformed {
    /// It is counted.
    Skip,
    /// It is counted, and written to that topic with the reason in a header.
    DeadLetter { topic: String },
    /// The views that read it stop there and say why.
    Stop,
}

/// Rows that INSERT, UPDATE and DELETE change.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub schema: SchemaRef,
    /// Columns of the primary key.
    pub key: Option<Vec<usize>>,
}

/// Rows that a plan keeps up to date.
#[derive(Clone, Debug)]
pub struct View {
    pub plan: Plan,
    /// Columns that no two rows share.
    pub key: Option<Vec<usize>>,
}

/// Rows that nobody keeps: what a program's own functions make of a topic's records, or of the rows of other streams.
/// Those that read it read what comes from then on.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Of one input, where there is a topic.
    pub plan: Plan,
    pub topic: Option<TopicInput>,
}

/// Records of a topic as a program's own functions read them.
#[derive(Clone)]
pub struct TopicInput {
    pub topic: String,
    pub reader: Arc<dyn RowReader>,
    /// Of the rows that come.
    pub schema: SchemaRef,
    pub watermark: Option<Watermark>,
}

/// Only what must stay the same for as long as its state is kept.
impl fmt::Debug for TopicInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicInput")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Rows into a topic.
#[derive(Clone, Debug)]
pub struct Sink {
    /// `None`: rows are computed and counted, and go nowhere.
    pub topic: Option<String>,
    pub plan: Plan,
    pub format: Format,
    pub envelope: Envelope,
    /// Columns of the record's key.
    pub key: Vec<usize>,
}

/// Rows of a view or table, to be found by some of its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub relation: String,
    pub columns: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// A record for each row; rows never go.
    Append,
    /// The newest row of each key; a tombstone when it is gone.
    Upsert,
    /// `before` and `after`, as Debezium writes them.
    Debezium,
}
