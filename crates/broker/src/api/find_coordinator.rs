//! FindCoordinator (key 10): who speaks for a group. On a node of one: this one.

use std::collections::BTreeSet;

use kafka::{
    error::ErrorCode,
    messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse},
    wire::Str,
};

use crate::request::{Reply, RequestContext, RequestError};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let request: FindCoordinatorRequest<'_> = context.decode()?;
        let refusal = match request.key_type {
            GROUP => match context.broker.ensure_offsets_topic().await {
                Ok(()) => None,
                Err(error) => Some((ErrorCode::from(error), error.to_string())),
            },
            TRANSACTION => Some((
                ErrorCode::InvalidRequest,
                "transactions are not supported yet".to_owned(),
            )),
            other => Some((
                ErrorCode::InvalidRequest,
                format!("coordinators of key type {other} are not supported"),
            )),
        };
        // Once each, however often it stands there: a small request must not make a huge answer.
        let mut seen = BTreeSet::new();
        let found = |key: Str<'_>| coordinator(&context, key.into_owned(), refusal.clone());
        if context.version >= 4 {
            let coordinators = {
                let keys = request.coordinator_keys.iter();
                let keys = keys.filter(|key| seen.insert(key.clone()));
                keys.map(found).collect()
            };
            return context.encode(&FindCoordinatorResponse {
                coordinators,
                ..FindCoordinatorResponse::default()
            });
        }
        let one = found(request.key.clone());
        context.encode(&FindCoordinatorResponse {
            error_code: one.error_code,
            error_message: one.error_message,
            node_id: one.node_id,
            host: one.host,
            port: one.port,
            ..FindCoordinatorResponse::default()
        })
    })))
}

fn coordinator(
    context: &RequestContext,
    key: String,
    refusal: Option<(ErrorCode, String)>,
) -> Coordinator<'static> {
    if let Some((code, message)) = refusal {
        return Coordinator {
            key: key.into(),
            node_id: -1,
            host: "".into(),
            port: -1,
            error_code: code.code(),
            error_message: Some(message.into()),
        };
    }
    let (host, port) = context.broker.advertised();
    Coordinator {
        key: key.into(),
        node_id: context.broker.settings.broker.0,
        host: host.into(),
        port: i32::from(port),
        error_code: ErrorCode::None.code(),
        error_message: None,
    }
}
