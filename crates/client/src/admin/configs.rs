//! Settings of topics.

use kafka::messages::{
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse},
    incremental_alter_configs::{
        AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
        IncrementalAlterConfigsResponse,
    },
};

use super::Admin;
use crate::ClientError;

/// Kafka's resource type of topics.
const TOPIC: i8 = 2;
/// Config source of a value set on the topic itself (`ConfigSource.TOPIC_CONFIG`).
const SOURCE_TOPIC: i8 = 1;
const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;

/// One setting as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` for a value that is secret.
    pub value: Option<String>,
    /// Set on the topic, not a default.
    pub overridden: bool,
    pub read_only: bool,
}

/// A change to one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    Set {
        name: String,
        value: String,
    },
    /// Back to the default.
    Delete {
        name: String,
    },
}

impl Admin {
    pub async fn topic_configs(&self, topic: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        self.client
            .retrying("reading the topic's settings", async || {
                let request = DescribeConfigsRequest {
                    resources: vec![DescribeConfigsResource {
                        resource_type: TOPIC,
                        resource_name: topic.into(),
                        configuration_keys: None,
                    }]
                    .into(),
                    ..Default::default()
                };
                let connection = self.client.any_broker().await?;
                let answer = connection.call(&request, i16::MAX).await?;
                let response: DescribeConfigsResponse<'_> = answer.decode()?;
                let mut entries = Vec::new();
                for result in &response.results {
                    let what = || format!("settings of topic '{topic}'");
                    ClientError::check(result.error_code, what, result.error_message.as_deref())?;
                    entries.extend(result.configs.iter().map(|config| ConfigEntry {
                        name: config.name.into_owned(),
                        value: config.value.map(std::borrow::Cow::into_owned),
                        overridden: config.config_source == SOURCE_TOPIC,
                        read_only: config.read_only,
                    }));
                }
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(entries)
            })
            .await
    }

    pub async fn alter_topic_configs(
        &self,
        topic: &str,
        changes: &[ConfigChange],
    ) -> Result<(), ClientError> {
        self.with_controller("changing the topic's settings", async || {
            let configs: Vec<_> = changes
                .iter()
                .map(|change| match change {
                    ConfigChange::Set { name, value } => AlterableConfig {
                        name: name.as_str().into(),
                        config_operation: OPERATION_SET,
                        value: Some(value.as_str().into()),
                    },
                    ConfigChange::Delete { name } => AlterableConfig {
                        name: name.as_str().into(),
                        config_operation: OPERATION_DELETE,
                        value: None,
                    },
                })
                .collect();
            let request = IncrementalAlterConfigsRequest {
                resources: vec![AlterConfigsResource {
                    resource_type: TOPIC,
                    resource_name: topic.into(),
                    configs: configs.into(),
                }]
                .into(),
                validate_only: false,
            };
            let answer = self.call_controller(&request).await?;
            let response: IncrementalAlterConfigsResponse<'_> = answer.decode()?;
            for result in &response.responses {
                let what = || format!("changing settings of topic '{topic}'");
                ClientError::check(result.error_code, what, result.error_message.as_deref())?;
            }
            Ok(())
        })
        .await
    }
}
