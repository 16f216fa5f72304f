//! The schema registry's listener: HTTP in front of [`SchemaStore`].
//!
//! # Limits
//! `BODY_BYTES_MAX` of a request, `BODY_TIME_MAX` until it is there; `ALL_BODIES_BYTES_MAX` of all that have come, beyond which
//! one is refused. `CHANGES_MAX` and `READS_MAX` at once, others wait: they count when they are there as a whole, and as long as
//! they are worked on, whether or not somebody still waits for the answer.

use std::{convert::Infallible, sync::Arc, time::Duration};

use ::registry::{Method, Refusal, limits::BODY_BYTES_MAX};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::registry::{Asked, SchemaStore, Unanswered};

const CONTENT: &str = "application/vnd.schemaregistry.v1+json";
/// Requests that may change something, and so all with a body.
const CHANGES_MAX: usize = 16;
const READS_MAX: usize = 16;
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
const ALL_BODIES_BYTES_MAX: usize = 64 << 20;

/// See the module head.
#[derive(Clone)]
pub struct Subjects {
    store: Arc<SchemaStore>,
    changes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    /// Bytes of bodies.
    bodies: Arc<Semaphore>,
}

impl Subjects {
    pub fn new(store: Arc<SchemaStore>) -> Self {
        Self {
            store,
            changes: Arc::new(Semaphore::new(CHANGES_MAX)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            bodies: Arc::new(Semaphore::new(ALL_BODIES_BYTES_MAX)),
        }
    }

    pub async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let method = match *request.method() {
            hyper::Method::GET => Method::Get,
            hyper::Method::POST => Method::Post,
            hyper::Method::PUT => Method::Put,
            hyper::Method::DELETE => Method::Delete,
            _ => {
                let mut response = refusal(&Refusal::Method);
                let allowed = HeaderValue::from_static("GET, POST, PUT, DELETE");
                response.headers_mut().insert(ALLOW, allowed);
                return Ok(response);
            }
        };
        // No page of a browser may send such without being allowed to, which nobody is.
        let has_body = matches!(method, Method::Post | Method::Put);
        if has_body && !is_json(request.headers().get(CONTENT_TYPE)) {
            return Ok(failed(415, "HTTP 415 Unsupported Media Type"));
        }
        let (head, body) = request.into_parts();
        let read = async {
            match has_body {
                true => read(body, &self.bodies).await,
                false => Ok((Vec::new(), None)),
            }
        };
        let late = Err((408, "HTTP 408 Request Timeout"));
        let (body, room) = match timeout(BODY_TIME_MAX, read).await.unwrap_or(late) {
            Ok(body) => body,
            Err((status, message)) => return Ok(failed(status, message)),
        };
        // Who sends slowly keeps nobody from being answered.
        let permits = match method {
            Method::Get => self.reads,
            Method::Post | Method::Put | Method::Delete => self.changes,
        };
        let Ok(permit) = permits.acquire_owned().await else {
            return Ok(failed(503, "stopping"));
        };
        let asked = Asked {
            method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body,
            permits: (permit, room),
        };
        Ok(match self.store.ask(asked).await {
            Ok(body) => response(StatusCode::OK, body),
            Err(Unanswered::Refused(refused)) => refusal(&refused),
            Err(unanswered) => {
                let said = error(50001, &unanswered.to_string());
                response(StatusCode::INTERNAL_SERVER_ERROR, said)
            }
        })
    }
}

/// All of a request's body, with room for it; else status and message.
async fn read(
    mut body: Incoming,
    bodies: &Arc<Semaphore>,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), (u16, &'static str)> {
    let mut bytes = Vec::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| (400, "HTTP 400 Bad Request"))?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if bytes.len() + piece.len() > BODY_BYTES_MAX {
            return Err((413, "HTTP 413 Request Entity Too Large"));
        }
        let more = bodies.clone().try_acquire_many_owned(piece.len() as u32);
        let more = more.map_err(|_| (503, "HTTP 503 Service Unavailable"))?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, room))
}

fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let value = content_type.and_then(|value| value.to_str().ok());
    let value = value.and_then(|value| value.split(';').next());
    let kind = value.and_then(|value| value.trim().strip_prefix("application/"));
    kind.is_some_and(|kind| kind.ends_with("json") || kind == "octet-stream")
}

fn error(code: u32, message: &str) -> String {
    serde_json::json!({ "error_code": code, "message": message }).to_string()
}

fn failed(status: u16, message: &str) -> Response<Full<Bytes>> {
    let said = error(status.into(), message);
    response(status_of(status), said)
}

fn status_of(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn refusal(refusal: &Refusal) -> Response<Full<Bytes>> {
    response(status_of(refusal.code().0), refusal.body())
}

fn response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content = HeaderValue::from_static(CONTENT);
    response.headers_mut().insert(CONTENT_TYPE, content);
    response
}
