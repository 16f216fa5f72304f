//! Frames off a socket: sizes checked, memory granted before bodies are read, slow senders cut off.
//!
//! # Invariants
//! 1. Memory for a frame is granted (`Budget`) before its body is read. A frame above `OPENING_BYTES` first shows that many
//!    bytes, under a budget of its own, so that a size alone pins nothing of the large one; who holds an opening grant
//!    waits only for the large budget, whose holders wait for no grant: no cycle.
//! 2. A buffer grows to at most `GROWTH` times what has arrived and `READ_BYTES_MIN`, unless the connection has sent a frame of that size.
//!
//! # Limits
//! See `connection`. An idle connection holds `READ_BYTES_MIN`; more only as far as the `reading` budget goes.

use std::{future::Future, io, pin::pin, time::Duration};

use base::limits;
use iobuf::{Buf, BufMut};
use kafka::wire::{DecodeError, frame_bytes};
use runtime::{
    budget::{Budget, Permit},
    net::TcpStream,
    sync::first,
};

use super::{PRODUCE_KEY, time_for};
use crate::{broker::Broker, group::GROUP_RECORD_BYTES_MAX};

/// Bytes of the size in front of each frame.
const SIZE_BYTES: usize = 4;

/// First read of a connection. An idle one holds this much.
const READ_BYTES_MIN: usize = 4 << 10;

/// Reads grow to this when they come back full: many small requests then share one system call.
const READ_BYTES_MAX: usize = 64 << 10;

/// What a frame shows before it is granted all of its memory.
const OPENING_BYTES: usize = 64 << 10;

/// Requests other than Produce carry no records: a sync with everybody's assignments is the largest, and those must fit a
/// group's record.
const PLAIN_REQUEST_BYTES_MAX: usize = GROUP_RECORD_BYTES_MAX + (1 << 20);

/// See the invariants.
const GROWTH: usize = 4;

/// How often a frame's progress is looked at.
const TICK: Duration = Duration::from_secs(2);

/// Progress per tick that a frame must make while others wait for memory.
const TICK_BYTES_MIN: usize = 128 << 10;

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("reading failed: {0}")]
    Io(io::Error),
    #[error("{0}")]
    Size(#[from] DecodeError),
    #[error("the connection was idle for too long")]
    Idle,
    #[error("a frame of {bytes} bytes did not arrive in time, {received} did")]
    Slow { bytes: usize, received: usize },
    #[error("a request of key {api_key} with {bytes} bytes; the limit is {bytes_max}")]
    TooLarge {
        api_key: i16,
        bytes: usize,
        bytes_max: usize,
    },
    #[error("the client stopped inside a frame of {bytes} bytes")]
    Cut { bytes: usize },
}

/// Cuts a stream into frames.
pub struct FrameReader {
    stream: TcpStream,
    budget: Budget,
    opening: Budget,
    /// Received and not yet cut.
    held: Buf,
    /// Size of the next read.
    read_bytes: usize,
    reading: Budget,
    /// For reads above `READ_BYTES_MIN`.
    read_permit: Option<Permit>,
    /// Largest frame this connection has sent whole.
    trusted_bytes: usize,
}

impl FrameReader {
    pub fn new(stream: TcpStream, broker: &Broker) -> Self {
        Self {
            stream,
            budget: broker.network.clone(),
            opening: broker.opening.clone(),
            reading: broker.reading.clone(),
            held: Buf::new(),
            read_bytes: READ_BYTES_MIN,
            read_permit: None,
            trusted_bytes: 0,
        }
    }

    /// The next frame without its size, and the memory granted for it; `None` when the client has ended between frames.
    pub async fn next(&mut self, idle: Duration) -> Result<Option<(Buf, Permit)>, FrameError> {
        while self.held.len() < SIZE_BYTES {
            if self.held.is_empty() {
                // Lets go of the last frame's buffer before what may be a long wait.
                self.held = Buf::new();
            }
            let mut buffer = BufMut::with_capacity(self.read_bytes);
            buffer.extend_from_slice(&self.held);
            let read = runtime::timeout(idle, self.stream.read(buffer));
            let (count, buffer) = read.await.map_err(|_| FrameError::Idle)?;
            let count = count.map_err(FrameError::Io)?;
            if count == 0 {
                return match self.held.len() {
                    0 => Ok(None),
                    _ => Err(FrameError::Cut { bytes: SIZE_BYTES }),
                };
            }
            self.on_read(count);
            self.held = buffer.freeze();
        }
        let size = self.held[..SIZE_BYTES].try_into().expect("a slice of four");
        let bytes = frame_bytes(size, limits::REQUEST_BYTES_MAX)?;
        let total = SIZE_BYTES + bytes;
        let is_opened = self.held.len() >= total || total <= OPENING_BYTES.max(self.trusted_bytes);
        let permit = if is_opened && bytes <= PLAIN_REQUEST_BYTES_MAX {
            self.budget.acquire(total as u64).await
        } else {
            self.open_large(total).await?
        };
        self.receive(total, total, &self.budget.clone()).await?;
        let frame = self.held.slice(SIZE_BYTES..total);
        self.held.advance(total);
        if self.held.is_empty() {
            // The frame alone keeps its bytes: who lets go of it frees them.
            self.held = Buf::new();
        }
        self.trusted_bytes = self.trusted_bytes.max(total);
        Ok(Some((frame, permit)))
    }

    /// A large frame shows its first bytes before it gets the rest of its memory; what it is must be worth as much.
    async fn open_large(&mut self, total: usize) -> Result<Permit, FrameError> {
        let opening = self.opening.acquire(OPENING_BYTES as u64).await;
        self.receive(total, OPENING_BYTES, &self.opening.clone())
            .await?;
        let key = self.held.get(SIZE_BYTES..SIZE_BYTES + 2);
        let key = key.and_then(|key| key.try_into().ok());
        let api_key = i16::from_be_bytes(key.unwrap_or_default());
        let (bytes, bytes_max) = (total - SIZE_BYTES, PLAIN_REQUEST_BYTES_MAX);
        if api_key != PRODUCE_KEY && bytes > bytes_max {
            return Err(FrameError::TooLarge {
                api_key,
                bytes,
                bytes_max,
            });
        }
        let permit = self.budget.acquire(total as u64).await;
        drop(opening);
        Ok(permit)
    }

    fn on_read(&mut self, count: usize) {
        if count >= self.read_bytes && self.read_permit.is_none() {
            self.read_permit = self.reading.try_acquire(READ_BYTES_MAX as u64);
        }
        if count >= self.read_bytes && self.read_permit.is_some() {
            self.read_bytes = (self.read_bytes * GROWTH).min(READ_BYTES_MAX);
        }
    }

    /// Reads until `until` bytes of a frame of `total` are held, on a grant of `budget`.
    async fn receive(
        &mut self,
        total: usize,
        until: usize,
        budget: &Budget,
    ) -> Result<(), FrameError> {
        if self.held.len() >= until {
            return Ok(());
        }
        let deadline = runtime::now().plus(time_for(total));
        let mut buffer = self.grow(&self.held, until);
        self.held = Buf::new();
        let mut looked = (runtime::now(), buffer.len());
        while buffer.len() < until {
            if buffer.len() == buffer.capacity() {
                buffer = self.grow(&buffer, until);
            }
            let received = buffer.len();
            let slow = || FrameError::Slow {
                bytes: total,
                received,
            };
            let now = runtime::now();
            if now.since(looked.0) >= TICK {
                let moved = received - looked.1 >= TICK_BYTES_MIN;
                if now >= deadline || (!moved && budget.waiting() > 0) {
                    return Err(slow());
                }
                looked = (now, received);
            }
            let read = self.stream.read(buffer);
            let (count, filled) = self
                .in_time(read, deadline, budget)
                .await
                .ok_or_else(slow)?;
            if count.map_err(FrameError::Io)? == 0 {
                return Err(FrameError::Cut { bytes: total });
            }
            buffer = filled;
        }
        self.held = buffer.freeze();
        Ok(())
    }

    /// A larger buffer with the same bytes, as far as what has arrived justifies.
    fn grow(&self, received: &[u8], until: usize) -> BufMut {
        let justified = received.len() * GROWTH + READ_BYTES_MIN;
        let bytes = until.min(justified.max(self.trusted_bytes));
        let mut larger = BufMut::with_capacity(bytes.max(received.len()));
        larger.extend_from_slice(received);
        larger
    }

    /// What a read gives, or `None` when the frame is too slow. The read is kept across looks at the clock: dropping it
    /// would drop the bytes.
    async fn in_time<T>(
        &self,
        read: impl Future<Output = T>,
        deadline: runtime::Instant,
        budget: &Budget,
    ) -> Option<T> {
        let mut read = pin!(read);
        loop {
            if let Some(outcome) = first(read.as_mut(), runtime::sleep(TICK)).await {
                return Some(outcome);
            }
            // A whole tick without a byte is less than `TICK_BYTES_MIN`.
            if runtime::now() >= deadline || budget.waiting() > 0 {
                return None;
            }
        }
    }
}
