//! The listener of Postgres clients: sockets, bounds and time for `sql::postgres`.
//!
//! # Place   tasks of the front thread
//! # Limits  `CONNECTIONS_MAX`; `START_TIME_MAX` until a client has begun; `WRITE_TIME_MAX` for a client to take what it
//!   asked for

use std::{
    future::Future,
    io::{self, Read},
    net::TcpListener,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sql::{
    backend::{Backend, BoxFuture},
    postgres::{Access, Credentials, Peer, Refusal},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};

/// One more is told that there are too many.
const CONNECTIONS_MAX: usize = 256;
/// Beside those, so many are being told, or ask for a cancellation.
const REFUSED_MAX: usize = 64;
const START_TIME_MAX: Duration = Duration::from_secs(30);
const WRITE_TIME_MAX: Duration = Duration::from_secs(600);
const SECRET_BYTES: usize = 32;
/// Read at once.
const READ_BYTES: usize = 16 << 10;

/// Serves clients for as long as the thread lives.
pub async fn accept(listener: TcpListener, backend: Arc<dyn Backend>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the Postgres listener does not start"),
    };
    let access = Arc::new(Access::new(backend, now_us));
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let refusals = Arc::new(Semaphore::new(REFUSED_MAX));
    let mut process = 0;
    loop {
        let Ok(waiting) = refusals.clone().acquire_owned().await else {
            return;
        };
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
        tokio::spawn(async move {
            let served = serve(&access, stream, process, async move {
                // Admitted or refused, it waits no more.
                let seat = seats.try_acquire_owned().ok();
                drop(waiting);
                seat
            });
            if let Err(error) = served.await {
                tracing::debug!(%error, "a Postgres connection ended");
            }
        });
    }
}

async fn serve(
    access: &Access,
    stream: TcpStream,
    process: u32,
    seat: impl Future<Output = Option<tokio::sync::OwnedSemaphorePermit>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let credentials = Credentials {
        process,
        secret: secret()?,
        address: stream.peer_addr().ok(),
    };
    let begun = access.begin(Box::new(Socket(stream)), credentials);
    let mut begun = pin!(begun);
    let Some(connection) = timeout(START_TIME_MAX, &mut begun).await?? else {
        return Ok(());
    };
    match seat.await {
        Some(_seat) => access.run(connection).await,
        None => access.refuse(connection, Refusal::TooMany).await,
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// From the kernel: whoever guesses it can cancel another's statement.
fn secret() -> io::Result<Vec<u8>> {
    let mut secret = vec![0; SECRET_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(secret)
}

struct Socket(TcpStream);

impl Peer for Socket {
    fn read<'a>(&'a mut self, into: &'a mut Vec<u8>) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async move {
            into.reserve(READ_BYTES);
            self.0.read_buf(into).await
        })
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { timeout(WRITE_TIME_MAX, self.0.write_all(bytes)).await? })
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(sleep(span))
    }
}
