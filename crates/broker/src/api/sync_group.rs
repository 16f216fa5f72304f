//! SyncGroup (key 14): the leader hands in everybody's assignment, everybody waits for their own.

use kafka::{
    error::ErrorCode,
    messages::sync_group::{SyncGroupRequest, SyncGroupResponse},
};

use crate::{
    coordinator::{group_id, member_ref, text},
    group::{GroupError, Sync, Synced},
    request::{Reply, RequestContext, RequestError},
};

pub async fn handle(mut context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let sync = sync_of(&context)?;
        // What is kept of it counts as the group's.
        context.let_go();
        let outcome = match sync {
            Ok(sync) => {
                let group = sync.group.clone();
                let act = |partition: std::rc::Rc<crate::coordinator::OffsetsPartition>| async move {
                    partition.sync(sync).await
                };
                context.broker.on_coordinator(group.as_str(), act).await
            }
            Err(error) => Err(error),
        };
        context.encode(&response(&outcome))
    })))
}

fn sync_of(context: &RequestContext) -> Result<Result<Sync, GroupError>, RequestError> {
    let request: SyncGroupRequest<'_> = context.decode()?;
    let names_are_missing = request.protocol_type.is_none() || request.protocol_name.is_none();
    // KIP-559: mandatory, although the schema has them nullable.
    if context.version >= 5 && names_are_missing {
        return Ok(Err(GroupError::InconsistentProtocol));
    }
    let checked = || {
        let assignments = request.assignments.iter();
        let assignments =
            assignments.map(|one| Ok((text(&one.member_id)?.into(), (&*one.assignment).into())));
        Ok(Sync {
            group: group_id(&request.group_id)?,
            member: member_ref(
                &request.member_id,
                request.group_instance_id.as_deref(),
                request.generation_id,
            )?,
            protocol_type: request.protocol_type.as_deref().map(str::to_owned),
            protocol: request.protocol_name.as_deref().map(str::to_owned),
            assignments: assignments.collect::<Result<_, GroupError>>()?,
        })
    };
    Ok(checked())
}

fn response(outcome: &Result<Synced, GroupError>) -> SyncGroupResponse<'_> {
    match outcome {
        Ok(synced) => SyncGroupResponse {
            protocol_type: synced.protocol_type.as_deref().map(Into::into),
            protocol_name: synced.protocol.as_deref().map(Into::into),
            assignment: (&*synced.assignment).into(),
            ..SyncGroupResponse::default()
        },
        Err(error) => SyncGroupResponse {
            error_code: ErrorCode::from(*error).code(),
            ..SyncGroupResponse::default()
        },
    }
}
