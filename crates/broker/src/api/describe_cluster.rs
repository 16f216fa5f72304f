//! DescribeCluster (key 60).

use kafka::{
    error::ErrorCode,
    messages::describe_cluster::{
        DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
    },
};

use crate::{
    api::metadata::CLUSTER_OPERATIONS,
    request::{Reply, RequestContext, RequestError},
};

/// Kafka's `EndpointType.BROKER`; the other, controllers, is not served here.
const BROKERS: i8 = 1;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: DescribeClusterRequest = context.decode()?;
    if request.endpoint_type != BROKERS {
        return context.reply(&DescribeClusterResponse {
            error_code: ErrorCode::MismatchedEndpointType.code(),
            error_message: Some("The request was sent to a broker endpoint.".into()),
            ..DescribeClusterResponse::default()
        });
    }
    let (host, port) = broker.advertised();
    let node = broker.settings.broker.0;
    let brokers = vec![DescribeClusterBroker {
        broker_id: node,
        host: host.into(),
        port: i32::from(port),
        ..DescribeClusterBroker::default()
    }];
    let mut response = DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: broker
            .with_metadata(|image| image.cluster_id().to_owned())
            .into(),
        controller_id: node,
        brokers: brokers.into(),
        ..DescribeClusterResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    context.reply(&response)
}
