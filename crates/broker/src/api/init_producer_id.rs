//! InitProducerId (key 22): ids for idempotent producers, handed out of blocks that the metadata log grants.

use kafka::{
    error::ErrorCode,
    messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
};

use base::ProducerId;
use cluster::{Change, Command};

use crate::{
    broker::Broker,
    errors::Failure,
    request::{Reply, RequestContext, RequestError},
};

/// Ids granted to a shard at once (Kafka's block size). Those unused at a restart are lost, out of 2^63.
const BLOCK: u32 = 1000;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let request: InitProducerIdRequest<'_> = context.decode()?;
    let outcome = match request.transactional_id.as_deref() {
        Some("") => Err(ErrorCode::InvalidRequest),
        // Fatal for every client's transactional producer, and true: this broker has no version that does it.
        Some(_) => Err(ErrorCode::UnsupportedVersion),
        None => {
            let id = context.broker.new_producer_id().await;
            id.map_err(|failure| failure.code)
        }
    };
    context.reply(&InitProducerIdResponse {
        error_code: outcome.err().map_or(0, ErrorCode::code),
        producer_id: outcome.map_or(-1, |id| id.0),
        producer_epoch: if outcome.is_ok() { 0 } else { -1 },
        ..InitProducerIdResponse::default()
    })
}

impl Broker {
    /// An id that no producer has had.
    pub async fn new_producer_id(&self) -> Result<ProducerId, Failure> {
        loop {
            let next = self.producer_ids.borrow_mut().next();
            if let Some(id) = next {
                return Ok(ProducerId(id));
            }
            // Several may ask for a block at once; then the last one's is used first and none is used twice.
            let granted = self
                .commit_one(Command::AllocateProducerIds { count: BLOCK })
                .await??;
            let Change::ProducerIds { first, count } = granted else {
                return Err(ErrorCode::UnknownServerError.into());
            };
            let block = first.0..first.0 + i64::from(count);
            self.producer_ids.replace(block);
        }
    }
}
