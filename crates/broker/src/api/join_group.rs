//! JoinGroup (key 11): becomes a member; the answer waits for the generation.

use std::sync::Arc;

use kafka::{
    error::ErrorCode,
    messages::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember},
};

use crate::{
    coordinator::{group_id, text},
    group::{GroupError, Join, JoinRefused, Joined, PROTOCOLS_PER_MEMBER_MAX, Protocol},
    request::{Reply, RequestContext, RequestError},
};

pub async fn handle(mut context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let join = join_of(&context)?;
        // What is kept of it counts as the group's.
        context.let_go();
        let outcome = match join {
            Ok(join) => {
                let group = join.group.clone();
                let member_id = join.member_id.clone();
                context
                    .broker
                    .on_coordinator(group.as_str(), |partition| async move {
                        partition.join(join).await
                    })
                    .await
                    .unwrap_or_else(|error| Err(JoinRefused { member_id, error }))
            }
            Err(error) => Err(JoinRefused {
                member_id: None,
                error,
            }),
        };
        context.encode(&response(&outcome, context.version))
    })))
}

/// The request as the core takes it, or why it is refused at the door.
fn join_of(context: &RequestContext) -> Result<Result<Join, GroupError>, RequestError> {
    let request: JoinGroupRequest<'_> = context.decode()?;
    if request.protocols.len() > PROTOCOLS_PER_MEMBER_MAX {
        return Ok(Err(GroupError::TooLarge));
    }
    let client_id = context.client_id();
    let checked = || {
        let instance = request.group_instance_id.as_deref().map(text).transpose()?;
        let protocols = request.protocols.iter().map(|protocol| {
            Ok(Protocol {
                name: text(&protocol.name)?.into(),
                metadata: (&*protocol.metadata).into(),
            })
        });
        Ok(Join {
            group: group_id(&request.group_id)?,
            member_id: Some(text(&request.member_id)?)
                .filter(|id| !id.is_empty())
                .map(Into::into),
            fresh_member_id: fresh_member_id(instance.unwrap_or(&client_id))
                .as_str()
                .into(),
            instance: instance.map(Into::into),
            client_id: Arc::from(client_id.as_str()),
            client_host: Arc::from(context.client_host()),
            protocol_type: text(&request.protocol_type)?.into(),
            protocols: protocols.collect::<Result<_, GroupError>>()?,
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            known_member_id_required: context.version >= 4,
            skips_assignment: context.version >= 9,
            reason: request.reason.as_deref().map(str::to_owned),
        })
    };
    Ok(checked())
}

/// Kafka's form: what the member calls itself and a random UUID.
fn fresh_member_id(name: &str) -> String {
    let mut bytes = [0; 16];
    runtime::random_bytes(&mut bytes);
    // A name that fills a string of the log leaves room for the rest of the id.
    let mut end = name.len().min(1_000);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}", &name[..end], base::TopicId::from_random(bytes))
}

fn response(outcome: &Result<Joined, JoinRefused>, version: i16) -> JoinGroupResponse<'_> {
    match outcome {
        Ok(joined) => JoinGroupResponse {
            error_code: ErrorCode::None.code(),
            generation_id: joined.generation,
            protocol_type: joined.protocol_type.as_deref().map(Into::into),
            protocol_name: Some(joined.protocol.as_deref().unwrap_or("").into()),
            leader: joined.leader.as_ref().map_or("", |id| id.as_str()).into(),
            skip_assignment: joined.skip_assignment,
            member_id: joined.member_id.as_str().into(),
            members: joined
                .members
                .iter()
                .map(|member| JoinGroupResponseMember {
                    member_id: member.member_id.as_str().into(),
                    group_instance_id: member.instance.as_ref().map(|i| i.as_str().into()),
                    metadata: (&*member.metadata).into(),
                })
                .collect(),
            ..JoinGroupResponse::default()
        },
        Err(refused) => JoinGroupResponse {
            error_code: ErrorCode::from(refused.error).code(),
            protocol_name: (version < 7).then(|| "".into()),
            member_id: refused
                .member_id
                .as_ref()
                .map_or("", |id| id.as_str())
                .into(),
            ..JoinGroupResponse::default()
        },
    }
}
