//! AlterConfigs (key 33): the old way, replacing all of a topic's own configs.

use std::collections::BTreeMap;

use cluster::Command;
use kafka::{
    error::ErrorCode,
    messages::alter_configs::{
        AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse,
        AlterConfigsResponse,
    },
};

use crate::{
    api::incremental_alter_configs::{apply, named_topic},
    broker::Broker,
    errors::Failure,
    request::{Reply, RequestContext, RequestError},
};

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: AlterConfigsRequest<'_> = context.decode()?;
    let mut responses = Vec::new();
    for resource in &request.resources {
        let planned = plan(&broker, &resource);
        let failure = apply(&broker, planned, request.validate_only).await.err();
        responses.push(AlterConfigsResourceResponse {
            error_code: failure.as_ref().map_or(0, |failure| failure.code.code()),
            error_message: failure.map(|failure| failure.text().into()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        });
    }
    context.reply(&AlterConfigsResponse {
        responses: responses.into(),
        ..AlterConfigsResponse::default()
    })
}

/// What is not named goes back to its default.
fn plan(broker: &Broker, resource: &AlterConfigsResource<'_>) -> Result<Command, Failure> {
    let (id, own) = named_topic(broker, resource.resource_type, &resource.resource_name)?;
    let mut changes: BTreeMap<_, _> = own.into_keys().map(|name| (name, None)).collect();
    for config in &resource.configs {
        let Some(value) = config.value else {
            let text = format!("Null value not supported for : {}", config.name);
            return Err(Failure::new(ErrorCode::InvalidRequest, text));
        };
        changes.insert(config.name.to_string(), Some(value.into_owned()));
    }
    Ok(Command::SetConfigs { id, changes })
}
