//! IncrementalAlterConfigs (key 44): setting and unsetting topics' configs one by one.

use std::collections::{BTreeMap, BTreeSet};

use base::TopicId;
use cluster::{Command, ConfigKind, config::config_key};
use kafka::{
    error::ErrorCode,
    messages::incremental_alter_configs::{
        AlterConfigsResource, AlterConfigsResourceResponse, IncrementalAlterConfigsRequest,
        IncrementalAlterConfigsResponse,
    },
};

use crate::{
    api::describe_configs::{check_broker, resource},
    broker::Broker,
    errors::Failure,
    request::{Reply, RequestContext, RequestError},
};

/// Kafka's `AlterConfigOp.OpType`.
mod operation {
    pub const SET: i8 = 0;
    pub const DELETE: i8 = 1;
    pub const APPEND: i8 = 2;
    pub const SUBTRACT: i8 = 3;
}

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: IncrementalAlterConfigsRequest<'_> = context.decode()?;
    let mut seen = BTreeSet::new();
    let mut responses = Vec::new();
    for resource in &request.resources {
        let is_first = seen.insert((resource.resource_type, resource.resource_name.to_string()));
        let planned = match is_first {
            true => plan(&broker, &resource),
            false => Err(Failure::new(
                ErrorCode::InvalidRequest,
                "Each resource may stand only once.",
            )),
        };
        let failure = apply(&broker, planned, request.validate_only).await.err();
        responses.push(AlterConfigsResourceResponse {
            error_code: failure.as_ref().map_or(0, |failure| failure.code.code()),
            error_message: failure.map(|failure| failure.text().into()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        });
    }
    context.reply(&IncrementalAlterConfigsResponse {
        responses: responses.into(),
        ..IncrementalAlterConfigsResponse::default()
    })
}

/// Commits a planned change, or only checks it.
pub async fn apply(
    broker: &Broker,
    planned: Result<Command, Failure>,
    validate_only: bool,
) -> Result<(), Failure> {
    let command = planned?;
    broker.with_metadata(|image| image.check(&command))?;
    if !validate_only {
        broker.commit_one(command).await??;
    }
    Ok(())
}

/// The topic a resource names, with its own configs.
pub fn named_topic(
    broker: &Broker,
    resource_type: i8,
    name: &str,
) -> Result<(TopicId, BTreeMap<String, String>), Failure> {
    match resource_type {
        resource::TOPIC => broker.with_metadata(|image| {
            let topic = image
                .topic_named(name)
                .ok_or(ErrorCode::UnknownTopicOrPartition)?;
            Ok((topic.id, topic.configs.clone()))
        }),
        resource::BROKER => {
            check_broker(broker, name)?;
            let text = "configs of brokers cannot be changed while they run: set them in the configuration file";
            Err(Failure::new(ErrorCode::InvalidRequest, text))
        }
        other => {
            let text = format!("configs of resource type {other} are not supported");
            Err(Failure::new(ErrorCode::InvalidRequest, text))
        }
    }
}

fn plan(broker: &Broker, resource: &AlterConfigsResource<'_>) -> Result<Command, Failure> {
    let (id, own) = named_topic(broker, resource.resource_type, &resource.resource_name)?;
    let mut changes = BTreeMap::new();
    for config in &resource.configs {
        let name = config.name.to_string();
        let Some(key) = config_key(&name) else {
            let text = format!("Unknown topic config name: {name}");
            return Err(Failure::new(ErrorCode::InvalidConfig, text));
        };
        let value = match (config.config_operation, config.value) {
            (operation::DELETE, _) => None,
            (operation::SET, Some(value)) => Some(value.into_owned()),
            (operation::APPEND | operation::SUBTRACT, _) if key.kind != ConfigKind::List => {
                let text = format!(
                    "Can't APPEND to or SUBTRACT from key {name} because its type is not LIST."
                );
                return Err(Failure::new(ErrorCode::InvalidConfig, text));
            }
            (operation::APPEND | operation::SUBTRACT, Some(value)) => {
                let set = broker.settings.topic_defaults.override_of(key.name);
                let before = own
                    .get(&name)
                    .map(String::as_str)
                    .or(set)
                    .unwrap_or(key.default);
                Some(edit_list(
                    before,
                    &value,
                    config.config_operation == operation::APPEND,
                ))
            }
            (operation::SET | operation::APPEND | operation::SUBTRACT, None) => {
                let text = format!("Null value not supported for : {name}");
                return Err(Failure::new(ErrorCode::InvalidRequest, text));
            }
            (other, _) => {
                let text = format!("Unknown operation type {other} for {name}");
                return Err(Failure::new(ErrorCode::InvalidRequest, text));
            }
        };
        if changes.insert(name.clone(), value).is_some() {
            let text = format!("Error due to duplicate config keys: {name}");
            return Err(Failure::new(ErrorCode::InvalidRequest, text));
        }
    }
    Ok(Command::SetConfigs { id, changes })
}

/// A comma-separated list with items added that it lacks, or removed.
fn edit_list(before: &str, items: &str, is_append: bool) -> String {
    let split = |list: &str| -> Vec<String> {
        let items = list.split(',').map(str::trim);
        items
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (mut list, items) = (split(before), split(items));
    if is_append {
        for item in items {
            if !list.contains(&item) {
                list.push(item);
            }
        }
    } else {
        list.retain(|item| !items.contains(item));
    }
    list.join(",")
}

#[cfg(test)]
mod tests;
