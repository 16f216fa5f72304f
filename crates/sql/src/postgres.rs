//! The Postgres protocol, versions 3.0 to 3.2, over a byte stream that the node gives: no sockets and no threads here.
//!
//! # Place   the front thread; a connection is one future
//! # Limits  sizes of messages (`message`), statements and cursors (`session`); the node bounds connections, those that have
//!   not begun among them, and the time that a client may take to start

mod binary;
pub mod certificate;
mod connection;
mod copy;
mod encoding;
mod login;
pub mod message;
pub(crate) mod parameter;
pub mod scram;
pub mod users;

use std::{
    collections::BTreeMap,
    future::{pending, poll_fn, ready},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use crate::{
    backend::{Backend, BoxFuture, SqlError},
    session::{Identity, Session, Settings},
};
use connection::{AHEAD_BYTES_MAX, Connection, Failure, Portals, Wire, protocol_violation};
pub use login::Admission;
use message::{First, Severity, Startup, first_frame};
use scram::NONCE_BYTES;

/// The only database.
pub const DATABASE: &str = "forebay";
/// The newest minor version of the protocol that is spoken.
const MINOR_MAX: u16 = 2;
/// Of version 3.0, where a secret has so many bytes; later ones take more.
const SECRET_BYTES_3_0: usize = 4;
/// Postgres's words for what somebody between the two may have put there.
const INJECTED: &str = "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.";
/// Requests for encryption that are refused before a client must begin.
const REFUSALS_MAX: usize = 2;

/// A client's byte stream, and the clock beside it.
pub trait Peer: Send {
    /// Appends what has come; 0: the client has closed. Giving the future up loses nothing.
    fn read<'a>(&'a mut self, into: &'a mut Vec<u8>) -> BoxFuture<'a, io::Result<usize>>;

    /// Returns when all is written.
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, io::Result<()>>;

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()>;

    fn encryption(&self) -> Encryption<'_> {
        Encryption::Absent
    }

    /// Takes up TLS where it is offered: what the client sends next is its part of a handshake.
    fn encrypt(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(ready(Err(io::ErrorKind::Unsupported.into())))
    }

    /// Says goodbye where encryption has words for it.
    fn close(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(ready(Ok(())))
    }
}

/// How a client's byte stream is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption<'a> {
    Absent,
    Offered,
    /// By TLS; with the hash of the server's certificate, where it has one (`certificate::end_point`).
    Taken {
        end_point: Option<&'a [u8]>,
    },
}

/// Sessions by their process number: the secret key, and what cancels them.
type Running = BTreeMap<u32, (Vec<u8>, Arc<Cancellation>)>;

/// What all connections share.
pub struct Access {
    backend: Arc<dyn Backend>,
    now: fn() -> i64,
    admission: Admission,
    running: Mutex<Running>,
}

/// A connection's own number and what a request to cancel its statement must know.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub process: u32,
    /// Random, of 32 bytes.
    pub secret: Vec<u8>,
    /// Random.
    pub nonce: [u8; NONCE_BYTES],
    pub address: Option<SocketAddr>,
}

/// Whether the statement in progress is to end.
#[derive(Debug, Default)]
pub struct Cancellation {
    is_asked: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Cancellation {
    fn ask(&self) {
        self.is_asked.store(true, Ordering::Release);
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Answers once for each time it was asked.
    async fn asked(&self) {
        poll_fn(|context| {
            *self.waker.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(context.waker().clone());
            if self.is_asked.swap(false, Ordering::Acquire) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// What may end a statement before it is done.
struct Guard {
    cancellation: Arc<Cancellation>,
    timeout: Option<BoxFuture<'static, ()>>,
}

impl Guard {
    /// What was asked before the statement began concerns another one.
    fn new(cancellation: Arc<Cancellation>, timeout: Option<BoxFuture<'static, ()>>) -> Self {
        cancellation.is_asked.store(false, Ordering::Release);
        Self {
            cancellation,
            timeout,
        }
    }

    /// Why the statement is to end, once it is.
    async fn ended(&mut self) -> SqlError {
        let mut cancelled = pin!(self.cancellation.asked());
        let timeout = &mut self.timeout;
        let why = poll_fn(|context| {
            if cancelled.as_mut().poll(context).is_ready() {
                return Poll::Ready("user request");
            }
            match timeout {
                Some(timeout) => timeout.as_mut().poll(context).map(|()| "statement timeout"),
                None => Poll::Pending,
            }
        });
        let message = format!("canceling statement due to {}", why.await);
        SqlError::new(*b"57014", message)
    }

    async fn race<T>(
        &mut self,
        peer: &mut dyn Peer,
        input: &mut Vec<u8>,
        work: impl Future<Output = Result<T, SqlError>>,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        let mut ended = pin!(self.ended());
        let mut gone = pin!(async {
            loop {
                if input.len() >= AHEAD_BYTES_MAX {
                    pending::<()>().await;
                }
                match peer.read(input).await {
                    Ok(0) => return io::Error::from(io::ErrorKind::UnexpectedEof),
                    Ok(_) => {}
                    Err(error) => return error,
                }
            }
        });
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done.map_err(Failure::Sql));
            }
            if let Poll::Ready(error) = ended.as_mut().poll(context) {
                return Poll::Ready(Err(error.into()));
            }
            gone.as_mut().poll(context).map(|error| Err(error.into()))
        })
        .await
    }

    /// What the client says next, unless the statement that waits for it is to end.
    async fn read(&mut self, peer: &mut dyn Peer, input: &mut Vec<u8>) -> Result<usize, Failure> {
        let mut ended = pin!(self.ended());
        let mut read = pin!(peer.read(input));
        poll_fn(|context| {
            if let Poll::Ready(error) = ended.as_mut().poll(context) {
                return Poll::Ready(Err(error.into()));
            }
            read.as_mut().poll(context).map_err(Failure::Gone)
        })
        .await
    }
}

impl Access {
    /// `now` gives microseconds since 1970.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, now: fn() -> i64, admission: Admission) -> Self {
        Self {
            backend,
            now,
            admission,
            running: Mutex::default(),
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says nothing of whether there was anything to cancel, as the protocol has it.
    fn cancel(&self, process: u32, secret: &[u8]) {
        let running = self.running();
        let found = running.get(&process);
        if let Some((_, cancellation)) = found.filter(|(known, _)| same_bytes(known, secret)) {
            cancellation.ask();
        }
    }

    /// From the first byte to the first ReadyForQuery; `None`: there is no more to do.
    pub async fn begin(
        &self,
        peer: Box<dyn Peer>,
        credentials: Credentials,
    ) -> io::Result<Option<Begun<'_>>> {
        let mut wire = Wire::new(peer);
        match self.admit(&mut wire, credentials).await {
            // Without this word clients take a request to cancel for one that failed.
            Ok(None) => wire.peer.close().await.map(|()| None),
            Ok(Some(admitted)) => Ok(Some(self.open(wire, admitted))),
            Err(failure) => end(&mut wire, failure).await.map(|()| None),
        }
    }

    /// Serves a client until it goes.
    pub async fn run(&self, mut begun: Begun<'_>) -> io::Result<()> {
        begun.connection.welcome();
        match begun.connection.run().await {
            // Whoever says goodbye may still want to hear what was asked before.
            Ok(()) => {
                begun.connection.wire.flush().await?;
                begun.connection.wire.peer.close().await
            }
            Err(failure) => end(&mut begun.connection.wire, failure).await,
        }
    }

    /// Tells a client that it cannot be served.
    pub async fn refuse(&self, mut begun: Begun<'_>, refusal: Refusal) -> io::Result<()> {
        let error = match refusal {
            Refusal::TooMany => SqlError::new(*b"53300", "sorry, too many clients already"),
            Refusal::Stopping => SqlError::new(*b"57P03", "the database system is shutting down"),
        };
        end(&mut begun.connection.wire, error.into()).await
    }

    async fn admit(
        &self,
        wire: &mut Wire,
        mut credentials: Credentials,
    ) -> Result<Option<Admitted>, Failure> {
        let Some(startup) = self.greet(wire).await? else {
            return Ok(None);
        };
        let minor = negotiate(wire, &startup);
        if minor < 2 {
            credentials.secret.truncate(SECRET_BYTES_3_0);
        }
        let user = self.admission.check(wire, &startup, &credentials).await?;
        // What the node has and what it lacks is only for those who may know.
        let (identity, settings) = identify(&startup, user, &credentials)?;
        Ok(Some(Admitted {
            identity,
            settings,
            secret: credentials.secret,
        }))
    }

    /// Up to the startup packet; `None`: there is none to come.
    async fn greet(&self, wire: &mut Wire) -> Result<Option<Startup>, Failure> {
        let mut refusals = 0;
        let mut frame = Vec::new();
        loop {
            if !wire.next(first_frame, &mut frame).await? {
                return Ok(None);
            }
            match First::decode(&frame).map_err(protocol_violation)? {
                First::Ssl if wire.peer.encryption() == Encryption::Offered => {
                    if wire.is_ahead() {
                        let message = "received unencrypted data after SSL request";
                        let mut error = SqlError::new(*b"08P01", message);
                        error.detail = Some(INJECTED.into());
                        return Err(error.into());
                    }
                    wire.replies.accept_encryption();
                    wire.flush().await?;
                    wire.peer.encrypt().await?;
                }
                First::Ssl | First::Gss if refusals < REFUSALS_MAX => {
                    refusals += 1;
                    wire.replies.refuse_encryption();
                    wire.flush().await?;
                }
                First::Ssl | First::Gss => return Ok(None),
                First::Cancel { process, secret } => {
                    self.cancel(process, secret);
                    return Ok(None);
                }
                First::Startup(startup) => return Ok(Some(startup)),
            }
        }
    }

    fn open(&self, wire: Wire, admitted: Admitted) -> Begun<'_> {
        let cancellation = Arc::new(Cancellation::default());
        let process = admitted.identity.process;
        let entry = (admitted.secret.clone(), cancellation.clone());
        self.running().insert(process, entry);
        let session = Session::new(
            self.backend.clone(),
            admitted.identity,
            admitted.settings,
            self.now,
        );
        Begun {
            access: self,
            process,
            connection: Connection {
                wire,
                session,
                cancellation,
                secret: admitted.secret,
                process,
                portals: Portals::default(),
                is_skipping: false,
            },
        }
    }
}

/// Tells a client of what it asked for and does not get; the minor version that is spoken.
fn negotiate(wire: &mut Wire, startup: &Startup) -> u16 {
    let names = startup.parameters.iter().map(|(name, _)| name.as_str());
    let unknown: Vec<&str> = names.filter(|name| name.starts_with("_pq_.")).collect();
    // There never was a 3.1.
    let minor = if startup.minor >= MINOR_MAX {
        MINOR_MAX
    } else {
        0
    };
    if minor < startup.minor || !unknown.is_empty() {
        wire.replies.negotiate_version(minor, unknown.into_iter());
    }
    minor
}

struct Admitted {
    identity: Identity,
    settings: Settings,
    secret: Vec<u8>,
}

/// Why a client is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TooMany,
    Stopping,
}

/// A client that has said who it is.
pub struct Begun<'a> {
    access: &'a Access,
    process: u32,
    connection: Connection,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.access.running().remove(&self.process);
    }
}

fn identify(
    startup: &Startup,
    user: &str,
    credentials: &Credentials,
) -> Result<(Identity, Settings), SqlError> {
    // Clients that are told no database ask for one that is called as their user.
    let database = startup
        .get("database")
        .filter(|name| !name.is_empty())
        .unwrap_or(user);
    if ![DATABASE, "postgres", user].contains(&database) {
        let message = format!("database \"{database}\" does not exist");
        return Err(SqlError::new(*b"3D000", message).with_hint("The database is called forebay."));
    }
    let replication = startup.get("replication");
    if replication.is_some_and(|value| !["false", "off", "no", "0"].contains(&value)) {
        return Err(SqlError::new(*b"0A000", "there is no replication protocol"));
    }
    let own = ["user", "database", "replication", "options"];
    let mut given: Vec<(String, String)> = startup
        .parameters
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()) && !name.starts_with("_pq_."))
        .cloned()
        .collect();
    given.extend(startup.get("options").map(options).unwrap_or_default());
    let identity = Identity {
        user: user.to_owned(),
        database: DATABASE.to_owned(),
        process: credentials.process,
        address: credentials.address,
    };
    Ok((identity, Settings::new(&given, user)?))
}

/// `-c name=value` and `--name=value`, a backslash before blanks that belong to a value.
fn options(text: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let last = words.last_mut().expect("there is always one");
        match character {
            '\\' => last.extend(characters.next()),
            blank if blank.is_whitespace() => words.push(String::new()),
            other => last.push(other),
        }
    }
    words
        .iter()
        .filter_map(|word| {
            let word = word
                .strip_prefix("--")
                .or(word.strip_prefix("-c"))
                .unwrap_or(word);
            let (name, value) = word.split_once('=')?;
            Some((name.trim().replace('-', "_"), value.to_owned()))
        })
        .collect()
}

/// Tells the client why, when it can still be told.
async fn end(wire: &mut Wire, failure: Failure) -> io::Result<()> {
    let error = match failure {
        Failure::Sql(error) => error,
        Failure::Gone(gone) => match gone.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => SqlError::clone(error),
            None => return Err(gone),
        },
    };
    wire.replies.error(Severity::Fatal, &error);
    wire.flush().await?;
    wire.peer.close().await
}

/// In a time that does not tell where two secrets of one length differ.
fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differing == 0
}
