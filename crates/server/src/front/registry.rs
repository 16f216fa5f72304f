//! The schema registry's listener: HTTP in front of [`SchemaStore`].
//!
//! # Limits
//! `BODY_BYTES_MAX` of a request, `BODY_TIME_MAX` until it is there, `BODIES_MAX` at once.

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
const BODIES_MAX: usize = 16;
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// See the module head.
#[derive(Clone)]
pub struct Subjects {
    store: Arc<SchemaStore>,
    bodies: Arc<Semaphore>,
}

impl Subjects {
    pub fn new(store: Arc<SchemaStore>) -> Self {
        Self {
            store,
            bodies: Arc::new(Semaphore::new(BODIES_MAX)),
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
        let Ok(_permit) = self.bodies.acquire().await else {
            return Ok(response(
                StatusCode::SERVICE_UNAVAILABLE,
                error(503, "stopping"),
            ));
        };
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect();
        let body = match timeout(BODY_TIME_MAX, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                let said = error(413, "HTTP 413 Request Entity Too Large");
                return Ok(response(StatusCode::PAYLOAD_TOO_LARGE, said));
            }
            Err(_) => {
                let said = error(408, "HTTP 408 Request Timeout");
                return Ok(response(StatusCode::REQUEST_TIMEOUT, said));
            }
        };
        let asked = Asked {
            method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: body.to_vec(),
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
