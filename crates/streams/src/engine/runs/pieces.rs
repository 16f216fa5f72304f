//! Entries on their way into pieces of a run.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use iobuf::crc32c;

use super::{BLOCK_BYTES, HEAD_BYTES, Held, PIECE_BYTES, REMOVED, ROWS, sorted};
use crate::{Delta, delta::CHUNK_ROWS, graph::StateKey, row::RowCodec};

/// Of a buffer, behind `PIECE_BYTES`: most entries are smaller.
const SLACK_BYTES: usize = 32 << 10;
/// So many stay when nothing is written.
const BUFFERS_MAX: usize = 16;

/// What becomes a piece, in the order in which it came.
pub enum Unsorted {
    Entries {
        has_rows: bool,
        bytes: Vec<u8>,
    },
    /// Rows of the relation, not encoded yet, and memory for that.
    Rows(Vec<Delta>, Vec<u8>),
}

impl Unsorted {
    pub fn has_rows(&self) -> bool {
        match self {
            Self::Entries { has_rows, .. } => *has_rows,
            Self::Rows(..) => true,
        }
    }

    /// As entries one behind the other.
    pub async fn into_entries(self) -> Vec<u8> {
        match self {
            Self::Entries { bytes, .. } => bytes,
            Self::Rows(deltas, mut bytes) => {
                encode(&deltas, &mut bytes).await;
                bytes
            }
        }
    }

    /// The blocks of the piece, in a buffer that comes with it, and a buffer that is free now.
    pub async fn sorted(self, buffer: Vec<u8>, believe_removals: bool) -> (Blocks, Vec<u8>) {
        let has_rows = self.has_rows();
        let bytes = self.into_entries().await;
        let mut blocks = Blocks::new(buffer);
        let put = |entry: &[u8]| blocks.put(entry);
        sorted::each(&bytes, has_rows, believe_removals, put).await;
        blocks.close();
        (blocks, bytes)
    }
}

async fn encode(deltas: &[Delta], out: &mut Vec<u8>) {
    let Some(first) = deltas.first() else {
        return;
    };
    let schema = first.rows().schema();
    let types = schema.fields().iter().map(|field| field.data_type());
    let codec = RowCodec::ascending(types).expect("views have rows of these types");
    for delta in deltas {
        for from in (0..delta.len()).step_by(CHUNK_ROWS) {
            let count = CHUNK_ROWS.min(delta.len() - from);
            let chunk = delta.rows().slice(from, count);
            let keys = codec.encode(chunk.columns(), count);
            for (at, key) in keys.iter().enumerate() {
                let key = StateKey {
                    node: ROWS,
                    table: 0,
                    key,
                };
                put(out, key, Some(&delta.weight(from + at).to_le_bytes()));
            }
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
    }
}

/// Memory for pieces, used again: to touch fresh memory costs more than what is done with it.
#[derive(Clone, Default)]
pub struct Buffers(Rc<RefCell<Vec<Vec<u8>>>>);

impl Buffers {
    pub fn take(&self) -> Vec<u8> {
        let known = self.0.borrow_mut().pop();
        known.unwrap_or_else(|| Vec::with_capacity(PIECE_BYTES + SLACK_BYTES))
    }

    pub fn give_back(&self, mut buffer: Vec<u8>) {
        let mut all = self.0.borrow_mut();
        let is_usual = (PIECE_BYTES..=2 * PIECE_BYTES).contains(&buffer.capacity());
        if all.len() < BUFFERS_MAX && is_usual {
            buffer.clear();
            all.push(buffer);
        }
    }
}

/// Pieces as they fill, each with entries of one kind.
#[derive(Default)]
pub struct Pieces {
    buffers: Buffers,
    all: VecDeque<Unsorted>,
}

impl Pieces {
    pub fn new(buffers: Buffers) -> Self {
        let all = VecDeque::new();
        Self { buffers, all }
    }

    pub fn put(&mut self, key: StateKey<'_>, value: Option<&[u8]>) {
        let is_row = key.node == ROWS;
        if let Some(Unsorted::Entries { has_rows, bytes }) = self.all.back_mut()
            && *has_rows == is_row
            && bytes.len() < PIECE_BYTES
        {
            return put(bytes, key, value);
        }
        let mut bytes = self.buffers.take();
        put(&mut bytes, key, value);
        self.all.push_back(Unsorted::Entries {
            has_rows: is_row,
            bytes,
        });
    }

    pub fn rows(&self, deltas: Vec<Delta>) -> Unsorted {
        Unsorted::Rows(deltas, self.buffers.take())
    }

    /// One that is full.
    pub fn take_full(&mut self) -> Option<Unsorted> {
        match self.all.len() {
            0 | 1 => None,
            _ => self.all.pop_front(),
        }
    }

    pub fn take(&mut self) -> Option<Unsorted> {
        self.all.pop_front()
    }
}

fn put(out: &mut Vec<u8>, key: StateKey<'_>, value: Option<&[u8]>) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("entries fit into blocks");
    out.reserve(HEAD_BYTES + key.key.len() + value.map_or(0, <[u8]>::len));
    out.extend((key.node.0 as u32).to_le_bytes());
    out.push(key.table);
    out.extend(length(key.key).to_le_bytes());
    out.extend(value.map_or(REMOVED, length).to_le_bytes());
    out.extend_from_slice(key.key);
    out.extend_from_slice(value.unwrap_or_default());
}

/// Entries in order, as they stand in a file.
#[derive(Default)]
pub struct Blocks {
    pub bytes: Vec<u8>,
    /// Where the head of the present block is.
    open_at: Option<usize>,
    pub tables: Vec<Held>,
}

impl Blocks {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            open_at: None,
            tables: Vec::new(),
        }
    }

    /// An entry as it stands in `Unsorted::Entries`.
    pub fn put(&mut self, entry: &[u8]) {
        let open_at = *self.open_at.get_or_insert_with(|| {
            self.bytes.extend([0; 8]);
            self.bytes.len() - 8
        });
        self.bytes.extend_from_slice(entry);
        self.count(entry);
        if self.bytes.len() - open_at >= BLOCK_BYTES {
            self.close();
        }
    }

    fn count(&mut self, entry: &[u8]) {
        let (node, table) = (entry[..4].try_into().expect("four bytes"), entry[4]);
        let one = Held {
            node: u32::from_le_bytes(node),
            table,
            entries: 1,
        };
        one.add_to(&mut self.tables);
    }

    /// Ends the present block, if there is one.
    pub fn close(&mut self) {
        let Some(open_at) = self.open_at.take() else {
            return;
        };
        let (head, payload) = self.bytes[open_at..].split_at_mut(8);
        let (length, checksum) = (payload.len() as u32, crc32c(payload));
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..].copy_from_slice(&checksum.to_le_bytes());
    }
}
