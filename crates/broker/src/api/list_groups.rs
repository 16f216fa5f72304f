//! ListGroups (key 16): all groups of this node, by state (KIP-518) and type (KIP-848).

use kafka::{
    error::ErrorCode,
    messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup},
    wire::{List, Str},
};

use crate::request::{Reply, RequestContext, RequestError};

/// The one type there is.
const TYPE: &str = "classic";

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let request: ListGroupsRequest<'_> = context.decode()?;
        let listed = match context.broker.list_groups().await {
            Ok(listed) => listed,
            Err(error) => {
                return context.encode(&ListGroupsResponse {
                    error_code: ErrorCode::from(error).code(),
                    ..ListGroupsResponse::default()
                });
            }
        };
        let is_wanted_type = passes(&request.types_filter, TYPE);
        let groups = listed
            .iter()
            .filter(|group| is_wanted_type && passes(&request.states_filter, group.state))
            .map(|group| ListedGroup {
                group_id: group.group.as_str().into(),
                protocol_type: group.protocol_type.as_deref().unwrap_or("").into(),
                group_state: group.state.into(),
                group_type: TYPE.into(),
            });
        context.encode(&ListGroupsResponse {
            groups: groups.collect(),
            ..ListGroupsResponse::default()
        })
    })))
}

/// An empty filter lets all pass; case does not count.
fn passes(filter: &List<'_, Str<'_>>, value: &str) -> bool {
    filter.is_empty()
        || filter
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(value))
}
