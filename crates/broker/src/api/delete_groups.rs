//! DeleteGroups (key 42): forgets empty groups and their offsets.

use kafka::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use crate::{
    coordinator::{code, group_id},
    group::{GroupError, GroupId},
    request::{Reply, RequestContext, RequestError},
};

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let request: DeleteGroupsRequest<'_> = context.decode()?;
        let mut results = Vec::new();
        for id in &request.groups_names {
            let outcome = match group_id(&id) {
                Ok(group) => delete(&context, group).await,
                Err(error) => Err(error),
            };
            results.push(DeletableGroupResult {
                group_id: id,
                error_code: code(outcome),
            });
        }
        context.encode(&DeleteGroupsResponse {
            results: results.into(),
            ..DeleteGroupsResponse::default()
        })
    })))
}

async fn delete(context: &RequestContext, group: GroupId) -> Result<(), GroupError> {
    let id = group.clone();
    context
        .broker
        .on_coordinator(group.as_str(), |partition| async move {
            partition
                .written(|table, now, ticket, fx| table.on_delete_group(now, ticket, &id, fx))
                .await
        })
        .await
}
