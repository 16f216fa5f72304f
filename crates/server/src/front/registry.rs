//! The schema registry's listener: HTTP in front of [`SchemaStore`].
//!
//! # Limits
//! `BODY_BYTES_MAX` of a request, `BODY_TIME_MAX` until it is there; `CHANGES_MAX` and `READS_MAX` at once, others wait. They
//! count as long as they are worked on, whether or not somebody still waits for the answer.

use std::{convert::Infallible, sync::Arc, time::Duration};

use ::registry::{Method, Refusal, limits::BODY_BYTES_MAX};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use tokio::{sync::Semaphore, time::timeout};

use crate::registry::{Asked, SchemaStore, Unanswered};

const CONTENT: &str = "application/vnd.schemaregistry.v1+json";
/// Requests that may change something, and so all with a body.
const CHANGES_MAX: usize = 16;
const READS_MAX: usize = 16;
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// See the module head.
#[derive(Clone)]
pub struct Subjects {
    store: Arc<SchemaStore>,
    changes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl Subjects {
    pub fn new(store: Arc<SchemaStore>) -> Self {
        Self {
            store,
            changes: Arc::new(Semaphore::new(CHANGES_MAX)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
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
            let said = error(415, "HTTP 415 Unsupported Media Type");
            return Ok(response(StatusCode::UNSUPPORTED_MEDIA_TYPE, said));
        }
        let permits = match method {
            Method::Get => self.reads,
            Method::Post | Method::Put | Method::Delete => self.changes,
        };
        let Ok(permit) = permits.acquire_owned().await else {
            return Ok(response(
                StatusCode::SERVICE_UNAVAILABLE,
                error(503, "stopping"),
            ));
        };
        let (head, body) = request.into_parts();
        let body = match has_body {
            true => read(body).await,
            false => Ok(Vec::new()),
        };
        let body = match body {
            Ok(body) => body,
            Err(refused) => return Ok(refused),
        };
        let asked = Asked {
            method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body,
            permit,
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

/// All of a request's body; else what is answered.
async fn read(body: Incoming) -> Result<Vec<u8>, Response<Full<Bytes>>> {
    let body = Limited::new(body, BODY_BYTES_MAX).collect();
    match timeout(BODY_TIME_MAX, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(_)) => {
            let said = error(413, "HTTP 413 Request Entity Too Large");
            Err(response(StatusCode::PAYLOAD_TOO_LARGE, said))
        }
        Err(_) => {
            let said = error(408, "HTTP 408 Request Timeout");
            Err(response(StatusCode::REQUEST_TIMEOUT, said))
        }
    }
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

fn refusal(refusal: &Refusal) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(refusal.code().0);
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response(status, refusal.body())
}

fn response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content = HeaderValue::from_static(CONTENT);
    response.headers_mut().insert(CONTENT_TYPE, content);
    response
}
