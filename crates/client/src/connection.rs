//! One connection to a broker: frames, correlation, pipelining and version negotiation.
//!
//! # Place       on the client's shard; lives until either side closes it
//! # Invariants
//! 1. Requests leave in the order of `begin`, and answers are matched in that order; an answer with another
//!    correlation id closes the connection.
//! 2. At most `in_flight_max` requests wait for answers; `begin` waits in line.
//! # Yields      `begin` before its place in line is taken, never after
//! # Limits      one received frame holds at most `response_bytes_max`

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use iobuf::{Buf, BufMut, IoBuf};
use kafka::{
    Message,
    error::ErrorCode,
    messages::{
        ApiKey,
        api_versions::{ApiVersionsRequest, ApiVersionsResponse},
    },
    wire::{RequestHeader, decode_response_header, encode_request, frame_bytes},
};
use runtime::{
    Class,
    budget::{Budget, Permit},
    net::TcpStream,
    sync::{channel, oneshot},
};

use crate::error::ClientError;

/// First read of a connection; larger frames get a buffer of their size.
const READ_BYTES: usize = 64 << 10;
/// Frames joined into one write at most.
const WRITE_FRAMES_MAX: usize = 32;

/// What a connection needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionConfig {
    pub client_id: String,
    pub in_flight_max: usize,
    pub request_timeout: Duration,
    pub response_bytes_max: usize,
    pub class: Class,
}

/// Cheap to clone; the socket closes when the last clone is gone.
#[derive(Clone)]
pub struct Connection {
    inner: Rc<Inner>,
    _open: Rc<CloseOnDrop>,
}

struct Inner {
    addr: String,
    config: ConnectionConfig,
    stream: TcpStream,
    versions: RefCell<BTreeMap<i16, (i16, i16)>>,
    pending: RefCell<VecDeque<Pending>>,
    next_correlation: Cell<i32>,
    slots: Budget,
    outgoing: channel::Sender<Outgoing>,
    closed: RefCell<Option<String>>,
}

/// A frame to write, and who wants to know when it is written.
struct Outgoing {
    frame: IoBuf,
    written: Option<oneshot::Sender<()>>,
}

struct Pending {
    correlation: i32,
    answer: oneshot::Sender<Buf>,
    /// Held until the answer is here, even when nobody waits for it any more.
    _slot: Permit,
}

struct CloseOnDrop(Rc<Inner>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close("not needed any more");
    }
}

/// A request on the wire, to be awaited for its answer.
pub struct InFlight {
    connection: Rc<Inner>,
    api: &'static str,
    api_key: i16,
    version: i16,
    receiver: oneshot::Receiver<Buf>,
}

/// A received frame that can be decoded, borrowing from it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub frame: Buf,
    pub api: &'static str,
    pub api_key: i16,
    pub version: i16,
}

impl Answer {
    /// The response message; `M` must be the response of the request that was sent.
    pub fn decode<'a, M: Message<'a>>(&'a self) -> Result<M, ClientError> {
        debug_assert_eq!(M::API_KEY, self.api_key);
        let decoded = decode_response_header(&self.frame, self.api_key, self.version)
            .and_then(|(_, mut reader)| M::decode(&mut reader, self.version));
        decoded.map_err(|error| ClientError::Decode {
            api: self.api,
            error,
        })
    }
}

impl Connection {
    /// Connects and asks for the broker's versions.
    pub(crate) async fn open(
        addr: SocketAddr,
        config: ConnectionConfig,
    ) -> Result<Self, ClientError> {
        let connect = runtime::timeout(config.request_timeout, TcpStream::connect(addr)).await;
        let stream = match connect {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Err(ClientError::Connect {
                    addr: addr.to_string(),
                    error: error.to_string(),
                });
            }
            Err(_) => {
                return Err(ClientError::Timeout {
                    what: "connecting",
                    after: config.request_timeout,
                });
            }
        };
        // One more than may be in flight: a request without an answer (acks=0) takes a place in the queue only.
        let (outgoing, queue) = channel::bounded(config.in_flight_max + 1);
        let class = config.class;
        let inner = Rc::new(Inner {
            addr: addr.to_string(),
            slots: Budget::new("client requests in flight", config.in_flight_max as u64),
            config,
            stream,
            versions: RefCell::new(BTreeMap::new()),
            pending: RefCell::new(VecDeque::new()),
            next_correlation: Cell::new(0),
            outgoing,
            closed: RefCell::new(None),
        });
        runtime::spawn(class, "client write", write_frames(inner.clone(), queue));
        runtime::spawn(class, "client read", read_frames(inner.clone()));
        let connection = Self {
            _open: Rc::new(CloseOnDrop(inner.clone())),
            inner,
        };
        connection.negotiate().await?;
        Ok(connection)
    }

    /// Asks with version 3, and again with 0 when the broker knows only older ones (KIP-511).
    async fn negotiate(&self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "forebay".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut version = 3;
        loop {
            let body = if version == 0 {
                ApiVersionsRequest::default()
            } else {
                request.clone()
            };
            let mut answer = self.begin_at(&body, version).await?;
            answer.version = version;
            let mut answer = answer.answer().await?;
            // A broker that does not know the version answers in form 0, error code first.
            let code = answer
                .frame
                .get(4..6)
                .map(|b| i16::from_be_bytes([b[0], b[1]]));
            if code == Some(ErrorCode::UnsupportedVersion.code()) && version > 0 {
                version = 0;
                continue;
            }
            answer.version = version;
            let response: ApiVersionsResponse<'_> = answer.decode()?;
            ClientError::check(response.error_code, || "ApiVersions".into(), None)?;
            *self.inner.versions.borrow_mut() = response
                .api_keys
                .iter()
                .map(|api| (api.api_key, (api.min_version, api.max_version)))
                .collect();
            return Ok(());
        }
    }

    /// The newest version of `M` that both sides know, at most `version_max`.
    pub fn version<'a, M: Message<'a>>(&self, version_max: i16) -> Result<i16, ClientError> {
        let offered = self.inner.versions.borrow().get(&M::API_KEY).copied();
        let known = (M::MIN_VERSION, M::MAX_VERSION.min(version_max));
        offered
            .map(|(min, max)| (min.max(known.0), max.min(known.1)))
            .filter(|(min, max)| min <= max)
            .map(|(_, max)| max)
            .ok_or(ClientError::Version {
                api: api_name(M::API_KEY),
                offered,
                known,
            })
    }

    /// Every key and its versions the broker offered.
    #[must_use]
    pub fn offered(&self) -> BTreeMap<i16, (i16, i16)> {
        self.inner.versions.borrow().clone()
    }

    #[must_use]
    pub fn addr(&self) -> &str {
        &self.inner.addr
    }

    /// Why no request can be sent any more.
    #[must_use]
    pub fn closed(&self) -> Option<String> {
        self.inner.closed.borrow().clone()
    }

    pub fn close(&self, reason: &str) {
        self.inner.close(reason);
    }

    /// Sends at the newest common version and waits for the answer.
    pub async fn call<'a, M: Message<'a>>(
        &self,
        request: &M,
        version_max: i16,
    ) -> Result<Answer, ClientError> {
        let version = self.version::<M>(version_max)?;
        self.begin_at(request, version).await?.answer().await
    }

    /// Puts the request on the wire, behind all earlier ones.
    pub async fn begin_at<'a, M: Message<'a>>(
        &self,
        request: &M,
        version: i16,
    ) -> Result<InFlight, ClientError> {
        let slot = self.inner.slots.acquire(1).await;
        let (sender, receiver) = oneshot::channel();
        let correlation = self.inner.enqueue(request, version)?;
        self.inner.pending.borrow_mut().push_back(Pending {
            correlation,
            answer: sender,
            _slot: slot,
        });
        Ok(InFlight {
            connection: self.inner.clone(),
            api: api_name(M::API_KEY),
            api_key: M::API_KEY,
            version,
            receiver,
        })
    }

    /// Sends a request that gets no answer (produce with acks=0); returns when it is written to the socket.
    pub async fn send_unanswered<'a, M: Message<'a>>(
        &self,
        request: &M,
        version: i16,
    ) -> Result<(), ClientError> {
        let _slot = self.inner.slots.acquire(1).await;
        let frame = self.inner.frame(request, version)?.1;
        let (written, is_written) = oneshot::channel();
        let outgoing = Outgoing {
            frame,
            written: Some(written),
        };
        let sent = self.inner.outgoing.send(outgoing).await.is_ok();
        if sent && is_written.await.is_some() {
            return Ok(());
        }
        Err(self.inner.closed_error())
    }
}

impl Inner {
    fn frame<'a, M: Message<'a>>(
        &self,
        request: &M,
        version: i16,
    ) -> Result<(i32, IoBuf), ClientError> {
        if self.closed.borrow().is_some() {
            return Err(self.closed_error());
        }
        let correlation = self.next_correlation.get();
        self.next_correlation.set(correlation.wrapping_add(1));
        let header = RequestHeader {
            api_key: M::API_KEY,
            api_version: version,
            correlation_id: correlation,
            client_id: Some(&self.config.client_id),
        };
        let frame = encode_request(&header, request).map_err(|error| ClientError::Encode {
            api: api_name(M::API_KEY),
            error,
        })?;
        Ok((correlation, frame))
    }

    fn enqueue<'a, M: Message<'a>>(&self, request: &M, version: i16) -> Result<i32, ClientError> {
        let (correlation, frame) = self.frame(request, version)?;
        let outgoing = Outgoing {
            frame,
            written: None,
        };
        if self.outgoing.try_send(outgoing).is_err() {
            // Full only when unanswered requests crowd it: the writer is far behind.
            self.close("the send queue is full");
            return Err(self.closed_error());
        }
        Ok(correlation)
    }

    fn closed_error(&self) -> ClientError {
        ClientError::Closed {
            addr: self.addr.clone(),
            reason: self.closed.borrow().clone().unwrap_or_default(),
        }
    }

    /// Fails everything pending; the first reason stays.
    fn close(&self, reason: &str) {
        if self.closed.borrow().is_some() {
            return;
        }
        *self.closed.borrow_mut() = Some(reason.to_owned());
        let pending = std::mem::take(&mut *self.pending.borrow_mut());
        drop(pending);
        self.stream.shutdown();
    }

    fn received(&self, frame: Buf) -> Result<(), String> {
        let id = frame.get(..4).ok_or("a frame without correlation id")?;
        let id = i32::from_be_bytes([id[0], id[1], id[2], id[3]]);
        let pending = self.pending.borrow_mut().pop_front();
        match pending {
            Some(pending) if pending.correlation == id => {
                pending.answer.send(frame);
                Ok(())
            }
            Some(pending) => Err(format!(
                "an answer with correlation id {id} where {} was due",
                pending.correlation
            )),
            None => Err(format!(
                "an answer with correlation id {id} that nobody asked for"
            )),
        }
    }
}

impl InFlight {
    /// The version the request was sent at.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Waits for the answer; a time-out closes the connection, because answers come in order.
    pub async fn answer(self) -> Result<Answer, ClientError> {
        let after = self.connection.config.request_timeout;
        self.answer_within(after).await
    }

    /// [`InFlight::answer`] with a time of its own, for requests that may wait long at the broker.
    pub async fn answer_within(self, after: Duration) -> Result<Answer, ClientError> {
        match runtime::timeout(after, self.receiver).await {
            Ok(Some(frame)) => Ok(Answer {
                frame,
                api: self.api,
                api_key: self.api_key,
                version: self.version,
            }),
            Ok(None) => Err(self.connection.closed_error()),
            Err(_) => {
                self.connection.close("a request timed out");
                Err(ClientError::Timeout {
                    what: self.api,
                    after,
                })
            }
        }
    }
}

fn api_name(api_key: i16) -> &'static str {
    ApiKey::from_i16(api_key).map_or("an unknown API", ApiKey::name)
}

async fn write_frames(inner: Rc<Inner>, mut queue: channel::Receiver<Outgoing>) {
    // `Inner` holds the sender, so the queue never ends by itself: `close` shuts the socket and the write fails.
    let stream = inner.stream.clone();
    let inner = {
        let weak = Rc::downgrade(&inner);
        drop(inner);
        weak
    };
    while let Some(first) = queue.recv().await {
        let mut data = first.frame;
        let mut written: Vec<_> = first.written.into_iter().collect();
        for _ in 1..WRITE_FRAMES_MAX {
            let Some(next) = queue.try_recv() else { break };
            data.append(next.frame);
            written.extend(next.written);
        }
        if let Err(error) = stream.write(data).await {
            if let Some(inner) = inner.upgrade() {
                inner.close(&error.to_string());
            }
            return;
        }
        written.into_iter().for_each(|written| written.send(()));
    }
}

async fn read_frames(inner: Rc<Inner>) {
    let mut buffer = BufMut::with_capacity(READ_BYTES);
    loop {
        let (read, filled) = inner.stream.read(buffer).await;
        buffer = filled;
        match read {
            Ok(0) => return inner.close("closed by the broker"),
            Ok(_) => {}
            Err(error) => return inner.close(&error.to_string()),
        }
        match take_frames(&inner, buffer) {
            Ok(rest) => buffer = rest,
            Err(reason) => return inner.close(&reason),
        }
    }
}

/// Hands out whole frames; what is left moves to the front of a buffer with room for its frame.
fn take_frames(inner: &Inner, buffer: BufMut) -> Result<BufMut, String> {
    let bytes_max = inner.config.response_bytes_max;
    let need = |bytes: &[u8]| -> Result<usize, String> {
        let Some(size) = bytes.first_chunk::<4>() else {
            return Ok(4);
        };
        let body = frame_bytes(*size, bytes_max).map_err(|error| error.to_string())?;
        Ok(4 + body)
    };
    let first = need(&buffer)?;
    if buffer.len() < first || buffer.len() < 4 {
        if buffer.capacity() >= first {
            return Ok(buffer);
        }
        let mut larger = BufMut::with_capacity(first);
        larger.extend_from_slice(&buffer);
        return Ok(larger);
    }
    let received = buffer.freeze();
    let mut at = 0;
    loop {
        let left = &received[at..];
        let bytes = need(left)?;
        if left.len() < 4 || left.len() < bytes {
            let mut rest = BufMut::with_capacity(bytes.max(READ_BYTES));
            rest.extend_from_slice(left);
            return Ok(rest);
        }
        inner.received(received.slice(at + 4..at + bytes))?;
        at += bytes;
    }
}
