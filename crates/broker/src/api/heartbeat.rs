//! Heartbeat (key 12): a member lives, and learns of rebalances.

use kafka::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use crate::{
    coordinator::{code, group_id, member_ref},
    group::{GroupError, GroupId, MemberRef},
    request::{Reply, RequestContext, RequestError},
};

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let outcome = match who(&context)? {
            Ok((group, member)) => beat(&context, group, member).await,
            Err(error) => Err(error),
        };
        // While the group is loading nobody can be told off for anything (as in Kafka).
        let outcome = match outcome {
            Err(GroupError::LoadInProgress) => Ok(()),
            other => other,
        };
        context.encode(&HeartbeatResponse {
            error_code: code(outcome),
            ..HeartbeatResponse::default()
        })
    })))
}

fn who(context: &RequestContext) -> Result<Result<(GroupId, MemberRef), GroupError>, RequestError> {
    let request: HeartbeatRequest<'_> = context.decode()?;
    let checked = || {
        let group = group_id(&request.group_id)?;
        let instance = request.group_instance_id.as_deref();
        let member = member_ref(&request.member_id, instance, request.generation_id)?;
        Ok((group, member))
    };
    Ok(checked())
}

async fn beat(
    context: &RequestContext,
    group: GroupId,
    member: MemberRef,
) -> Result<(), GroupError> {
    let id = group.clone();
    context
        .broker
        .on_coordinator(group.as_str(), |partition| async move {
            partition.event(|table, now, _| table.on_heartbeat(now, &id, &member))?
        })
        .await
}
