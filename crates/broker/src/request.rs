//! A request on its way through a shard, and what its handler gives back.
//!
//! # Place
//! Made by the connection that received the frame, owned by the handler, on the connection's shard.
//!
//! # Invariants
//! 1. A handler returns when the request's place in the order of its connection is decided: the next request is read only
//!    then. What is left to wait for (durability) travels in `Reply::Later`.
//! 2. Replies leave in request order, whatever resolves first.

use std::{future::Future, pin::Pin, rc::Rc};

use iobuf::{Buf, IoBuf};
use kafka::{
    Message,
    wire::{DecodeError, EncodeError, Reader, encode_response},
};
use runtime::budget::Permit;

use crate::{
    broker::Broker,
    connection::{Peer, RequestMemory},
};

/// A future on one shard.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// One received request.
pub struct RequestContext {
    pub broker: Rc<Broker>,
    pub peer: Rc<Peer>,
    /// Header and body, without the size in front.
    pub frame: Buf,
    /// Where the body starts in `frame`.
    pub body_at: usize,
    pub memory: Rc<RequestMemory>,
    pub version: i16,
    pub correlation_id: i32,
}

/// Why a request gets no answer: its connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the request cannot be decoded: {0}")]
    Decode(#[from] DecodeError),
    #[error("the response cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// A produce with acks=0 failed: closing is the only way to tell (Kafka does the same).
    #[error("an unacknowledged produce failed: {0}")]
    Unacknowledged(String),
    #[error("the request names {partitions} partitions; the limit is {partitions_max}")]
    TooMany {
        partitions: usize,
        partitions_max: usize,
    },
    #[error("no memory for the answer in time")]
    Memory,
    #[error("the node is stopping")]
    Stopping,
}

/// An encoded response with its frame size in front, and the memory it was granted.
pub struct Response {
    pub frame: IoBuf,
    /// For its records. Given back, as is `memory`, when the response is on the wire.
    pub permit: Option<Permit>,
    /// For the rest of it, granted by the connection.
    pub memory: Option<Permit>,
}

/// What a handler gives back.
pub enum Reply {
    Now(Response),
    Later(LocalFuture<Result<Response, RequestError>>),
    /// acks=0.
    Silent,
}

impl RequestContext {
    /// The body as a message of the request's version, borrowed from the frame.
    pub fn decode<'a, M: Message<'a>>(&'a self) -> Result<M, DecodeError> {
        M::decode(&mut Reader::new(&self.frame[self.body_at..]), self.version)
    }

    /// Gives the frame and its memory back before a wait that others decide the length of. Nothing can be decoded after.
    pub fn let_go(&mut self) {
        self.frame = Buf::new();
        self.body_at = 0;
        self.memory.let_go();
    }

    pub fn encode<'a, M: Message<'a>>(&self, body: &M) -> Result<Response, RequestError> {
        let frame = encode_response(self.correlation_id, self.version, body)?;
        Ok(Response {
            frame,
            permit: None,
            memory: None,
        })
    }

    /// The finished answer.
    pub fn reply<'a, M: Message<'a>>(&self, body: &M) -> Result<Reply, RequestError> {
        Ok(Reply::Now(self.encode(body)?))
    }

    /// The client's name for itself; empty when it gave none.
    #[must_use]
    pub fn client_id(&self) -> String {
        // key, version, correlation id, then a string behind a 16-bit length in every header version.
        let header = &self.frame[..self.body_at];
        let length = header.get(8..10).and_then(|bytes| bytes.try_into().ok());
        let length = length.map_or(-1, i16::from_be_bytes);
        let bytes = usize::try_from(length).ok();
        let text = bytes.and_then(|bytes| header.get(10..10 + bytes));
        String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
    }

    /// The client's address as groups show it.
    #[must_use]
    pub fn client_host(&self) -> String {
        format!("/{}", self.peer.address.ip())
    }
}
