//! The listener of Postgres clients: sockets, TLS, bounds and time for `sql::postgres`.
//!
//! # Place   tasks of the front thread
//! # Limits  `CONNECTIONS_MAX`; `HALF_OPEN_MAX` and `START_TIME_MAX` until a client has begun; `WRITE_TIME_MAX` for a
//!   client to take what it asked for

mod security;

use std::{
    collections::VecDeque,
    io::{self, Read},
    net::TcpListener,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use runtime::sync::first;
use sql::{
    backend::{Backend, BoxFuture},
    postgres::{Access, Admission, Begun, Credentials, Encryption, Peer, Refusal},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, oneshot},
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;

use security::{ALPN, Tls};
pub use security::{Security, SecurityError};

/// One more is told that there are too many.
const CONNECTIONS_MAX: usize = 256;
/// Of those that are not let in yet, are being refused, or ask for a cancellation. One more ends the oldest, so that
/// whoever only opens connections does not keep the others out.
const HALF_OPEN_MAX: usize = 256;
/// Postgres's `authentication_timeout`.
const START_TIME_MAX: Duration = Duration::from_secs(60);
const WRITE_TIME_MAX: Duration = Duration::from_secs(600);
/// For the last words of TLS.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
/// Read at once.
const READ_BYTES: usize = 16 << 10;
/// What a TLS handshake begins with, and no message of Postgres's.
const HANDSHAKE: u8 = 0x16;

/// Connections that have not begun, the oldest first: dropping one ends it.
#[derive(Default)]
struct HalfOpen(VecDeque<oneshot::Sender<()>>);

impl HalfOpen {
    /// What resolves when the connection must end; it goes when the connection has begun.
    fn enter(&mut self) -> oneshot::Receiver<()> {
        if self.0.len() >= HALF_OPEN_MAX {
            self.0.retain(|entry| !entry.is_closed());
        }
        if self.0.len() >= HALF_OPEN_MAX {
            tracing::debug!("too many Postgres connections have not begun: the oldest is ended");
            self.0.pop_front();
        }
        let (entry, ended) = oneshot::channel();
        self.0.push_back(entry);
        ended
    }
}

/// Serves clients for as long as the thread lives.
pub async fn accept(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    security: Security,
    admission: Admission,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the Postgres listener does not start"),
    };
    let access = Arc::new(Access::new(backend, now_us, admission));
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut half_open = HalfOpen::default();
    let mut process = 0;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a Postgres connection failed");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        process = process % i32::MAX.cast_unsigned() + 1;
        let (access, seats) = (access.clone(), seats.clone());
        let socket = Socket {
            stream: Stream::Plain(stream),
            tls: security.tls.clone(),
        };
        let ended = half_open.enter();
        tokio::spawn(async move {
            let served = serve(&access, socket, process, &seats, ended);
            if let Err(error) = served.await {
                tracing::debug!(%error, "a Postgres connection ended");
            }
        });
    }
}

async fn serve(
    access: &Access,
    socket: Socket,
    process: u32,
    seats: &Arc<Semaphore>,
    ended: oneshot::Receiver<()>,
) -> io::Result<()> {
    let begun = async {
        let Some(connection) = begin(access, socket, process).await? else {
            return Ok::<_, io::Error>(None);
        };
        let Ok(seat) = seats.clone().try_acquire_owned() else {
            access.refuse(connection, Refusal::TooMany).await?;
            return Ok(None);
        };
        Ok(Some((connection, seat)))
    };
    // Unless it takes too long, or others need the place.
    let begun = first(timeout(START_TIME_MAX, begun), async { _ = ended.await });
    let begun = begun.await.ok_or(io::ErrorKind::ConnectionAborted)?;
    match begun?? {
        Some((connection, _seat)) => access.run(connection).await,
        None => Ok(()),
    }
}

async fn begin<'a>(
    access: &'a Access,
    mut socket: Socket,
    process: u32,
) -> io::Result<Option<Begun<'a>>> {
    let Stream::Plain(stream) = &socket.stream else {
        return Ok(None);
    };
    stream.set_nodelay(true)?;
    let address = stream.peer_addr().ok();
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    if first == [HANDSHAKE] {
        socket.encrypt().await?;
        if !socket.speaks_postgres() {
            let message = "it began with TLS, but did not name the protocol in it (ALPN)";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
    }
    let credentials = Credentials {
        process,
        secret: random::<32>()?.to_vec(),
        nonce: random()?,
        address,
    };
    access.begin(Box::new(socket), credentials).await
}

fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// From the kernel: whoever guesses it can cancel another's statement.
fn random<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut random = [0; BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random)
}

struct Socket {
    stream: Stream,
    /// What is offered, and what the stream is encrypted with once it is.
    tls: Option<Tls>,
}

enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
    /// In or after a handshake that failed.
    Lost,
}

impl Socket {
    /// Whether the client has said so when it began with TLS.
    fn speaks_postgres(&self) -> bool {
        match &self.stream {
            Stream::Encrypted(stream) => stream.get_ref().1.alpn_protocol() == Some(ALPN),
            Stream::Plain(_) | Stream::Lost => false,
        }
    }
}

impl Peer for Socket {
    fn read<'a>(&'a mut self, into: &'a mut Vec<u8>) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async move {
            into.reserve(READ_BYTES);
            match &mut self.stream {
                Stream::Plain(stream) => stream.read_buf(into).await,
                Stream::Encrypted(stream) => stream.read_buf(into).await,
                Stream::Lost => Err(io::ErrorKind::NotConnected.into()),
            }
        })
    }

    fn write<'a>(&'a mut self, mut bytes: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        // Mostly there is room for all of it, and nothing to wait for.
        if let Stream::Plain(stream) = &self.stream
            && let Ok(written) = stream.try_write(bytes)
        {
            bytes = &bytes[written..];
            if bytes.is_empty() {
                return Box::pin(async {
                    // Others have their turn, too, when this client takes much and fast.
                    tokio::task::consume_budget().await;
                    Ok(())
                });
            }
        }
        let written = async move {
            match &mut self.stream {
                Stream::Plain(stream) => stream.write_all(bytes).await,
                Stream::Encrypted(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
                Stream::Lost => Err(io::ErrorKind::NotConnected.into()),
            }
        };
        Box::pin(async move { timeout(WRITE_TIME_MAX, written).await? })
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(sleep(span))
    }

    fn encryption(&self) -> Encryption<'_> {
        match (&self.tls, &self.stream) {
            (Some(tls), Stream::Encrypted(_)) => Encryption::Taken {
                end_point: tls.end_point.as_deref(),
            },
            (Some(_), Stream::Plain(_)) => Encryption::Offered,
            _ => Encryption::Absent,
        }
    }

    fn encrypt(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let stream = std::mem::replace(&mut self.stream, Stream::Lost);
            let (Some(tls), Stream::Plain(stream)) = (&self.tls, stream) else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            let stream = tls.acceptor.accept(stream).await?;
            self.stream = Stream::Encrypted(Box::new(stream));
            Ok(())
        })
    }

    fn close(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            match &mut self.stream {
                Stream::Encrypted(stream) => timeout(CLOSE_TIME_MAX, stream.shutdown()).await?,
                Stream::Plain(_) | Stream::Lost => Ok(()),
            }
        })
    }
}
