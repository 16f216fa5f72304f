//! Administration: topics, settings, offsets, records and groups.

mod configs;
mod groups;
mod offsets;
mod topics;

use kafka::{Message, error::ErrorCode};

pub use configs::{ConfigChange, ConfigEntry};
pub use groups::{Committed, GroupDescription, GroupListing, GroupMember};
pub use offsets::{ListedOffset, OffsetSpec};
pub use topics::{NewTopic, PartitionSize};

use crate::{Answer, Client, ClientError, Lane};

/// Administration of a cluster. Calls retry what is retriable within the client's `api_timeout`.
#[derive(Clone)]
pub struct Admin {
    client: Client,
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends to the controller, or to any broker when none is known.
    async fn call_controller<'a, M: Message<'a>>(
        &self,
        request: &M,
    ) -> Result<Answer, ClientError> {
        let connection = match self.client.metadata().controller {
            Some(controller) => self.client.broker(controller, Lane::CONTROL).await?,
            None => self.client.any_broker().await?,
        };
        connection.call(request, i16::MAX).await
    }

    /// After an error that says that another broker is the controller, finds out who.
    async fn follow_controller(&self, error: &ClientError) -> Result<(), ClientError> {
        if error.code() == Some(ErrorCode::NotController) {
            self.client.refresh(&[]).await?;
        }
        Ok(())
    }

    /// [`Client::retrying`] for requests to the controller.
    async fn with_controller<T>(
        &self,
        what: &'static str,
        call: impl AsyncFn() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.client
            .retrying(what, async || match call().await {
                Ok(value) => Ok(value),
                Err(error) => {
                    self.follow_controller(&error).await?;
                    Err(error)
                }
            })
            .await
    }

    /// Timeout that goes into requests.
    fn timeout_ms(&self) -> i32 {
        let millis = self.client.config().request_timeout.as_millis();
        i32::try_from(millis).unwrap_or(i32::MAX)
    }
}
