//! One client connection: frames in, requests in order, responses in the same order.
//!
//! # Place
//! Two tasks on the shard that was handed the socket: one reads and sequences, one answers.
//!
//! # Invariants
//! 1. A request's memory is granted before its body is read, and given back when its response is made, or the request is
//!    parked. What its response takes is granted then, and given back when that is written or the connection is gone.
//! 2. The next request is read only when the place of the one before it is decided; responses leave in request order.
//! 3. A frame makes this node allocate at most four times the bytes received of it, until its sender has once sent one of
//!    that size.
//!
//! # Yields
//! At reads, writes, permits and handlers. What a handler waits for after its place is decided, the answering task awaits.
//!
//! # Limits
//! `PIPELINE` unanswered requests, or `UNSENT_BYTES` of responses and one more, then the connection is not read. Frames up
//! to `limits::REQUEST_BYTES_MAX`. A frame once begun must arrive within `FRAME_TIME` and a second per
//! `FRAME_BYTES_PER_SECOND`; a response must be taken at the same rate. Both must keep moving while others wait for memory.
//! What a handler makes of a request other than Produce counts as `BUILDING_FACTOR` times the request, and none begins
//! while answers wait for memory; an answer that gets none within `FRAME_TIME` closes its connection. So does a connection
//! that keeps more than `UNSENT_BYTES` waiting behind a parked join or sync while others wait for memory.
//! What breaks a bound is closed, with a trace at debug: a stranger on the network must not fill the trace.

mod frames;
mod memory;

use std::{cell::Cell, net::SocketAddr, pin::pin, rc::Rc, time::Duration};

use iobuf::{Buf, IoBuf};
use kafka::{
    error::ErrorCode,
    messages::api_versions::ApiVersionsResponse,
    wire::{DecodeError, EncodeError, Reader, RequestHeader, encode_response},
};
use runtime::{
    Class, Instant,
    budget::Permit,
    net::TcpStream,
    sync::{self, Notify, channel},
};

use crate::{
    broker::Broker,
    dispatch,
    request::{LocalFuture, Reply, RequestContext, RequestError, Response},
};
use frames::{FrameError, FrameReader};

pub use memory::RequestMemory;

/// Requests sequenced and not yet answered. librdkafka keeps many in flight; beyond this the socket's buffer holds them.
const PIPELINE: usize = 64;

/// Responses gathered into one write.
const GATHER_BYTES: usize = 64 << 10;

/// Responses that wait for those before them, or for their client to read. Where a fetch's records are in it they have a
/// budget of their own.
const UNSENT_BYTES: usize = 256 << 10;

/// A response goes out in pieces of this size,
const PIECE_BYTES: usize = 512 << 10;

/// and each piece must be taken in this time while others wait for memory.
const PIECE_TIME: Duration = Duration::from_secs(4);

/// A frame, or a response, may always take this long.
const FRAME_TIME: Duration = Duration::from_secs(30);

/// And so much longer per byte: what the slowest honest client manages.
const FRAME_BYTES_PER_SECOND: usize = 256 << 10;

/// A handler's lists take this many times the bytes that name their items on the wire: a key of one byte with its length
/// becomes a string, its place in a set and an answer of some hundred bytes, but keys that differ are longer than that.
const BUILDING_FACTOR: u64 = 32;

const API_VERSIONS_KEY: i16 = 18;

/// Its records stay where they were received.
const PRODUCE_KEY: i16 = 0;

/// Who is on the other side.
pub struct Peer {
    pub address: SocketAddr,
}

struct Pending {
    answer: Answer,
    /// Position in `dispatch::APIS`.
    api: usize,
    started: Instant,
    memory: Rc<RequestMemory>,
    /// Of what waits in `Unsent`.
    unsent: usize,
}

/// Bytes of finished responses that wait to be written.
#[derive(Default)]
struct Unsent {
    bytes: Cell<usize>,
    /// What requests hold that wait for their answers.
    requests: Rc<Cell<u64>>,
    less: Notify,
    is_over: Cell<bool>,
}

enum Answer {
    Now(Response),
    Later(LocalFuture<Result<Response, RequestError>>),
}

/// Why a connection is closed, other than by its client's wish.
#[derive(Debug, thiserror::Error)]
enum Closing {
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Header(#[from] DecodeError),
    #[error("API key {0} is unknown")]
    UnknownApi(i16),
    #[error("{name} has no version {version}")]
    UnknownVersion { name: &'static str, version: i16 },
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("the answering side is gone")]
    Answering,
}

fn time_for(bytes: usize) -> Duration {
    FRAME_TIME + Duration::from_secs((bytes / FRAME_BYTES_PER_SECOND) as u64)
}

/// Serves `stream` until either side ends it.
pub fn spawn(broker: Rc<Broker>, stream: TcpStream) {
    broker.connections.set(broker.connections.get() + 1);
    let count = Counted(broker.clone());
    let (sender, receiver) = channel::bounded(PIPELINE);
    let peer = Rc::new(Peer {
        address: stream.peer_addr(),
    });
    let unsent = Rc::new(Unsent::default());
    let answering = runtime::spawn(Class::Produce, "answers", {
        let (broker, stream, unsent) = (broker.clone(), stream.clone(), unsent.clone());
        async move {
            let _count = count;
            answer(&broker, &stream, &unsent, receiver).await;
            unsent.end(&broker);
            stream.shutdown();
        }
    });
    runtime::spawn(Class::Produce, "connection", async move {
        let reading = Reading {
            frames: FrameReader::new(stream, &broker),
            broker,
            peer,
            sender,
            unsent,
        };
        reading.run().await;
        // Answers to what was sequenced still leave; then the other task closes the socket.
        drop(answering);
    });
}

/// Counts the connection as open until its last answer is out.
struct Counted(Rc<Broker>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.connection_closed.notify_all();
    }
}

struct Reading {
    broker: Rc<Broker>,
    peer: Rc<Peer>,
    frames: FrameReader,
    sender: channel::Sender<Pending>,
    unsent: Rc<Unsent>,
}

impl Unsent {
    /// Waits until `bytes` more may wait, and counts them.
    async fn add(&self, broker: &Broker, bytes: usize) {
        while self.bytes.get() > 0 && self.bytes.get() + bytes > UNSENT_BYTES && !self.is_over.get()
        {
            self.less.notified().await;
        }
        self.bytes.set(self.bytes.get() + bytes);
        broker
            .unsent_bytes
            .set(broker.unsent_bytes.get() + bytes as u64);
    }

    fn remove(&self, broker: &Broker, bytes: usize) {
        self.bytes.set(self.bytes.get() - bytes);
        broker
            .unsent_bytes
            .set(broker.unsent_bytes.get() - bytes as u64);
        self.less.notify_all();
    }

    /// Nothing will be written any more.
    fn end(&self, broker: &Broker) {
        self.is_over.set(true);
        self.remove(broker, self.bytes.get());
    }
}

impl Reading {
    async fn run(mut self) {
        loop {
            let stopping = self.broker.shutdown.triggered();
            let idle = self.broker.settings.connection_idle;
            let frame = match sync::first(self.frames.next(idle), stopping).await {
                // The node stops, or the client has said all it had to say.
                None | Some(Ok(None)) => return,
                Some(Ok(Some(frame))) => frame,
                Some(Err(error)) => return self.close(&error.into()),
            };
            if let Err(closing) = self.handle(frame).await {
                return self.close(&closing);
            }
        }
    }

    fn close(&self, closing: &Closing) {
        match closing {
            Closing::Frame(FrameError::Io(_) | FrameError::Idle) | Closing::Answering => {}
            Closing::Request(
                RequestError::Stopping | RequestError::Unacknowledged(_) | RequestError::Memory,
            ) => {}
            _ => self.broker.metrics.update(|m| m.connections_hostile += 1),
        }
        if let Closing::Request(RequestError::Encode(error)) = closing {
            return encode_failed(error);
        }
        tracing::debug!(peer = %self.peer.address, %closing, "closing a connection");
    }

    /// For what the handler of a request makes of it.
    async fn building(&self, key: i16, bytes: usize) -> Option<Permit> {
        if key == PRODUCE_KEY {
            return None;
        }
        // Behind answers that wait for their memory: until they have it no more are made.
        drop(self.broker.responses.acquire(1).await);
        let bytes = BUILDING_FACTOR * bytes as u64;
        Some(self.broker.building.acquire(bytes).await)
    }

    async fn handle(&mut self, (frame, permit): (Buf, Permit)) -> Result<(), Closing> {
        let started = runtime::now();
        let mut reader = Reader::new(&frame);
        let header = RequestHeader::decode(&mut reader)?;
        let (key, version) = (header.api_key, header.api_version);
        let correlation_id = header.correlation_id;
        let body_at = reader.position();
        let api = dispatch::api_index(key).ok_or(Closing::UnknownApi(key))?;
        let known = &dispatch::APIS[api];
        let memory;
        let reply = if (known.answered_min..=known.version_max).contains(&version) {
            let building = self.building(key, frame.len()).await;
            memory = Rc::new(RequestMemory::new(permit, building, &self.unsent.requests));
            let context = RequestContext {
                broker: self.broker.clone(),
                peer: self.peer.clone(),
                frame,
                body_at,
                memory: memory.clone(),
                version,
                correlation_id,
            };
            (known.handler)(context).await?
        } else if key == API_VERSIONS_KEY {
            memory = Rc::new(RequestMemory::new(permit, None, &self.unsent.requests));
            Reply::Now(unsupported_api_versions(correlation_id)?)
        } else {
            // Kafka closes here too: no form of the response is sure to be understood.
            let name = known.name;
            return Err(Closing::UnknownVersion { name, version });
        };
        let answer = match reply {
            Reply::Now(response) => {
                memory.let_go();
                Answer::Now(granted(&self.broker, response).await?)
            }
            Reply::Later(response) => Answer::Later(response),
            Reply::Silent => {
                self.broker
                    .metrics
                    .on_request(api, runtime::now().since(started));
                return Ok(());
            }
        };
        let mut unsent = 0;
        if let Answer::Now(response) = &answer
            && response.permit.is_none()
        {
            unsent = response.frame.len();
            self.unsent.add(&self.broker, unsent).await;
            if self.unsent.is_over.get() {
                self.unsent.end(&self.broker);
                return Err(Closing::Answering);
            }
        }
        let pending = Pending {
            answer,
            api,
            started,
            memory,
            unsent,
        };
        self.sender
            .send(pending)
            .await
            .map_err(|_| Closing::Answering)
    }
}

/// The answer with its memory, waited for in line.
async fn granted(broker: &Broker, mut response: Response) -> Result<Response, RequestError> {
    if !try_grant(broker, &mut response) {
        let permit = broker.responses.acquire(answer_bytes(&response));
        let permit = runtime::timeout(FRAME_TIME, permit).await;
        response.memory = Some(permit.map_err(|_| RequestError::Memory)?);
    }
    Ok(response)
}

/// Whether the answer has its memory.
fn try_grant(broker: &Broker, response: &mut Response) -> bool {
    if response.memory.is_none() {
        response.memory = broker.responses.try_acquire(answer_bytes(response));
    }
    response.memory.is_some()
}

/// Without its records.
fn answer_bytes(response: &Response) -> u64 {
    let records = response.permit.as_ref().map_or(0, Permit::bytes);
    (response.frame.len() as u64).saturating_sub(records)
}

/// Whether somebody waits for memory.
fn others_wait(broker: &Broker) -> bool {
    let budgets = [
        &broker.network,
        &broker.building,
        &broker.responses,
        &broker.fetch,
    ];
    budgets.iter().any(|budget| budget.waiting() > 0)
}

/// An ApiVersions request of a version from the future is answered in version 0, which says what is known (KIP-511).
fn unsupported_api_versions(correlation_id: i32) -> Result<Response, RequestError> {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: crate::api::api_versions::advertised(),
        ..ApiVersionsResponse::default()
    };
    Ok(Response {
        frame: encode_response(correlation_id, 0, &response)?,
        permit: None,
        memory: None,
    })
}

/// What goes out in one write, and what it frees.
#[derive(Default)]
struct Gathered {
    frames: IoBuf,
    permits: Vec<Permit>,
    requests: Vec<Rc<RequestMemory>>,
    /// Of what waits in `Unsent`.
    unsent: usize,
    /// Requests answered: position in `APIS` and start.
    answered: Vec<(usize, Instant)>,
}

impl Gathered {
    fn push(
        &mut self,
        response: Response,
        api: usize,
        started: Instant,
        memory: Rc<RequestMemory>,
    ) {
        self.frames.append(response.frame);
        self.requests.push(memory);
        self.permits.extend(response.permit);
        self.permits.extend(response.memory);
        self.answered.push((api, started));
    }
}

/// A response that breaks the protocol's own rules is a bug of ours, and the client sees only a closed connection.
fn encode_failed(error: &EncodeError) {
    tracing::error!(%error, "a response cannot be encoded");
}

async fn answer(
    broker: &Broker,
    stream: &TcpStream,
    unsent: &Unsent,
    mut pending: channel::Receiver<Pending>,
) {
    let mut carried = None;
    loop {
        let first = match carried.take() {
            Some(first) => first,
            None => match pending.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let gathered = match gather(broker, unsent, first, &mut pending, &mut carried).await {
            Ok(gathered) => gathered,
            Err(error) => {
                match &error {
                    RequestError::Encode(error) => encode_failed(error),
                    _ => {
                        tracing::debug!(peer = %stream.peer_addr(), %error, "closing a connection");
                    }
                }
                return;
            }
        };
        if !write(broker, stream, gathered.frames).await {
            return;
        }
        unsent.remove(broker, gathered.unsent);
        let now = runtime::now();
        for (api, started) in gathered.answered {
            broker.metrics.on_request(api, now.since(started));
        }
    }
}

/// Writes all of it; false when the client is gone, or does not read.
async fn write(broker: &Broker, stream: &TcpStream, mut frames: IoBuf) -> bool {
    let deadline = runtime::now().plus(time_for(frames.len()));
    while !frames.is_empty() {
        let bytes = frames.len().min(PIECE_BYTES);
        let mut piece = pin!(stream.write(frames.slice(0..bytes)));
        frames.advance(bytes);
        let written = loop {
            let waited = sync::first(piece.as_mut(), runtime::sleep(PIECE_TIME)).await;
            match waited {
                Some(written) => break written,
                None if runtime::now() >= deadline || others_wait(broker) => return false,
                None => {}
            }
        };
        if written.is_err() {
            return false;
        }
    }
    true
}

/// Waits for the first response and takes along those behind it that are ready as well. One that is not is `carried`.
async fn gather(
    broker: &Broker,
    unsent: &Unsent,
    first: Pending,
    pending: &mut channel::Receiver<Pending>,
    carried: &mut Option<Pending>,
) -> Result<Gathered, RequestError> {
    let mut gathered = Gathered::default();
    let response = match first.answer {
        Answer::Now(response) => response,
        Answer::Later(response) => wait(broker, unsent, &first.memory, response).await?,
    };
    let response = granted(broker, response).await?;
    gathered.unsent += first.unsent;
    gathered.push(response, first.api, first.started, first.memory);
    while gathered.frames.len() < GATHER_BYTES {
        let Some(mut next) = pending.try_recv() else {
            break;
        };
        if let Answer::Later(response) = &mut next.answer {
            match sync::now(response.as_mut()).await {
                Some(response) => next.answer = Answer::Now(response?),
                None => {
                    *carried = Some(next);
                    break;
                }
            }
        }
        if let Answer::Now(mut response) = next.answer {
            if !try_grant(broker, &mut response) {
                next.answer = Answer::Now(response);
                *carried = Some(next);
                break;
            }
            gathered.unsent += next.unsent;
            gathered.push(response, next.api, next.started, next.memory);
        }
    }
    Ok(gathered)
}

/// An answer that comes later. Whoever keeps much waiting behind one that has let go makes room for others.
async fn wait(
    broker: &Broker,
    unsent: &Unsent,
    memory: &RequestMemory,
    mut response: LocalFuture<Result<Response, RequestError>>,
) -> Result<Response, RequestError> {
    loop {
        match sync::first(response.as_mut(), runtime::sleep(PIECE_TIME)).await {
            Some(response) => return response,
            None => {
                let behind = unsent.requests.get() + unsent.bytes.get() as u64;
                let is_much = behind > UNSENT_BYTES as u64;
                if is_much && memory.is_let_go() && others_wait(broker) {
                    return Err(RequestError::Memory);
                }
            }
        }
    }
}
