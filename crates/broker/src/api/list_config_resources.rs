//! ListConfigResources (key 74; in version 0 ListClientMetricsResources): what can have configs.

use kafka::messages::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use crate::{
    api::describe_configs::resource,
    request::{Reply, RequestContext, RequestError},
};

/// Version 0 asks for client metrics only, of which there are none here.
const VERSION_ALL_TYPES: i16 = 1;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: ListConfigResourcesRequest<'_> = context.decode()?;
    let asked: Vec<i8> = request.resource_types.iter().collect();
    let is_asked = |kind| asked.is_empty() || asked.contains(&kind);
    let mut resources = Vec::new();
    if context.version >= VERSION_ALL_TYPES {
        if is_asked(resource::TOPIC) {
            broker.with_metadata(|image| {
                resources.extend(
                    image
                        .topics()
                        .map(|topic| (topic.name.to_string(), resource::TOPIC)),
                );
            });
        }
        if is_asked(resource::BROKER) {
            resources.push((broker.settings.broker.to_string(), resource::BROKER));
        }
    }
    let resources = resources.into_iter().map(|(name, kind)| ConfigResource {
        resource_name: name.into(),
        resource_type: kind,
    });
    context.reply(&ListConfigResourcesResponse {
        config_resources: resources.collect::<Vec<_>>().into(),
        ..ListConfigResourcesResponse::default()
    })
}
