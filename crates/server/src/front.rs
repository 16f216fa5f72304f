//! The front thread: HTTP for people, monitoring and serialisers, apart from the shards.
//!
//! # Place   one thread with an executor of its own; it asks the shards by messages and may be slow unnoticed
//! # Limits  connections, header size, time for a request's head, and time for the shards' answers

mod metrics;
#[cfg(feature = "pipelines")]
mod postgres;
pub mod prometheus;
mod registry;

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use base::ShardId;
use broker::Broker;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::{Class, ShardsHandle};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

#[cfg(feature = "pipelines")]
use crate::pipelines::NodeBackend;
use crate::{Programs, registry::SchemaStore};
#[cfg(feature = "pipelines")]
pub use postgres::{Security, SecurityError};

/// One more waits in the listener's queue. So many that slow ones, which end after `HEAD_TIME_MAX`, do not keep probes
/// out; one costs a task and a buffer of some KiB.
const CONNECTIONS_MAX: usize = 1024;
/// Those of the schema registry.
const REGISTRY_CONNECTIONS_MAX: usize = 256;
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// Idle or busy, a connection ends after this: scrapers and serialisers connect again.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(300);
/// What was asked before that is answered within this.
const LAST_ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// A shard that does not answer within this is reported as such.
const SHARD_TIME_MAX: Duration = Duration::from_secs(2);

const INDEX: &str = "Forebay node\n\n\
    /metrics  counters, gauges and latency histograms (Prometheus text)\n\
    /health   200 while every shard answers\n\
    /ready    200 while the node serves Kafka clients\n";

/// The thread, and how to end it.
pub struct Front {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    shards: ShardsHandle,
    is_ready: AtomicBool,
    stop: Notify,
    connections: Arc<Semaphore>,
}

/// What it listens on.
pub struct Listeners {
    pub http: TcpListener,
    /// `None`: the node is built without SQL.
    pub postgres: Option<TcpListener>,
    /// Of `postgres`.
    #[cfg(feature = "pipelines")]
    pub security: Security,
    /// `None`: the schema registry answers nowhere.
    pub registry: Option<TcpListener>,
}

/// Why it does not come up.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    #[error("the front thread does not start: {0}")]
    Thread(#[from] io::Error),
    #[error("the key of salts cannot be kept in the data directory: {0}")]
    SaltKey(io::Error),
}

/// Binds before the node starts, so that a taken port is known at once.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Front {
    /// Serves until stopped; once the node serves. `state_bytes`: of all pipelines, as it is set.
    pub fn start(
        listeners: Listeners,
        shards: ShardsHandle,
        programs: Programs,
        state_bytes: u64,
    ) -> Result<Self, FrontError> {
        let shared = Arc::new(Shared {
            shards,
            is_ready: AtomicBool::new(true),
            stop: Notify::new(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        });
        #[cfg(feature = "pipelines")]
        let admission = listeners.security.admission();
        #[cfg(feature = "pipelines")]
        let admission = admission.map_err(FrontError::SaltKey)?;
        let mut executor = tokio::runtime::Builder::new_current_thread();
        // Of the threads that plan statements.
        #[cfg(feature = "pipelines")]
        executor.thread_stack_size(sql::STACK_BYTES);
        let executor = executor.enable_all().build()?;
        // Before the engine, whose sources ask for schemas by their numbers.
        let schemas = executor.block_on(SchemaStore::start(shared.shards.clone()));
        #[cfg(feature = "pipelines")]
        let backend = executor.block_on(NodeBackend::start(
            shared.shards.clone(),
            programs,
            state_bytes,
            schemas.clone(),
        ));
        #[cfg(not(feature = "pipelines"))]
        let (Programs {}, _) = (programs, state_bytes);
        let here = shared.clone();
        let thread = std::thread::Builder::new().name("front".into());
        // It reads statements, and lets them go.
        #[cfg(feature = "pipelines")]
        let thread = thread.stack_size(sql::STACK_BYTES);
        let thread = thread.spawn(move || {
            runtime::host::run_in_short_turns();
            executor.block_on(async {
                // Dropped with the executor, and every connection with it.
                let connections = here.connections.clone();
                let shared = here.clone();
                let pages = move |request| answer(request, shared.clone());
                tokio::spawn(accept("HTTP", listeners.http, connections, pages));
                if let Some(listener) = listeners.registry {
                    let subjects = registry::Subjects::new(schemas);
                    let answered = move |request| subjects.clone().answer(request);
                    // Of their own: who registers schemas is not to keep probes out.
                    let connections = Arc::new(Semaphore::new(REGISTRY_CONNECTIONS_MAX));
                    tokio::spawn(accept("the registry", listener, connections, answered));
                }
                #[cfg(feature = "pipelines")]
                if let Some(listener) = listeners.postgres {
                    let security = listeners.security;
                    tokio::spawn(postgres::accept(listener, backend, security, admission));
                }
                here.stop.notified().await;
            });
        })?;
        Ok(Self { shared, thread })
    }

    /// `/ready` says no from now on: the node is about to stop.
    pub fn set_stopping(&self) {
        self.shared.is_ready.store(false, Ordering::Relaxed);
    }

    /// Ends the thread; before the shards end, which it may be asking.
    pub fn stop(self) {
        self.shared.stop.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the front thread panicked");
        }
    }
}

async fn accept<A, F>(
    name: &'static str,
    listener: TcpListener,
    connections: Arc<Semaphore>,
    answer: A,
) where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "{name} does not start"),
    };
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection of {name} failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            let mut connection = pin!(connection);
            let mut ended = timeout(CONNECTION_TIME_MAX, connection.as_mut()).await;
            if ended.is_err() {
                connection.as_mut().graceful_shutdown();
                ended = timeout(LAST_ANSWER_TIME_MAX, connection).await;
            }
            // Whatever the peer did wrong concerns nobody else.
            if let Ok(Err(error)) = ended {
                tracing::debug!(%error, "a connection of {name} ended");
            }
            drop(permit);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n"));
    }
    Ok(match request.uri().path() {
        "/" => text(StatusCode::OK, INDEX),
        "/metrics" => metrics(&shared).await,
        "/health" => health(&shared).await,
        "/ready" => {
            if shared.is_ready.load(Ordering::Relaxed) {
                health(&shared).await
            } else {
                text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
            }
        }
        _ => text(StatusCode::NOT_FOUND, INDEX),
    })
}

async fn metrics(shared: &Shared) -> Response<Full<Bytes>> {
    let mut reports = Vec::new();
    for shard in (0..shared.shards.shard_count()).map(ShardId) {
        let asked = shared
            .shards
            .call(shard, Class::Admin, "metrics", || async {
                metrics::ShardReport::take()
            });
        match timeout(SHARD_TIME_MAX, asked).await {
            Ok(report) => reports.push(report),
            Err(_) => {
                let said = format!("shard {shard} does not answer\n");
                return text(StatusCode::SERVICE_UNAVAILABLE, said);
            }
        }
    }
    let mut response = text(StatusCode::OK, metrics::render(&reports));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

async fn health(shared: &Shared) -> Response<Full<Bytes>> {
    for shard in (0..shared.shards.shard_count()).map(ShardId) {
        let asked = shared.shards.call(shard, Class::Admin, "health", || async {
            runtime::local::<Broker>().is_some()
        });
        match timeout(SHARD_TIME_MAX, asked).await {
            Ok(true) => {}
            Ok(false) => return text(StatusCode::SERVICE_UNAVAILABLE, "stopped\n"),
            Err(_) => {
                let said = format!("shard {shard} does not answer\n");
                return text(StatusCode::SERVICE_UNAVAILABLE, said);
            }
        }
    }
    text(StatusCode::OK, "ok\n")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
