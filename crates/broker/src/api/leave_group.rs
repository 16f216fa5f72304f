//! LeaveGroup (key 13): members go, by their own wish or an administrator's.

use kafka::{
    error::ErrorCode,
    messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse},
};

use crate::{
    coordinator::{code, group_id, text},
    group::{GroupError, GroupId, Leaving},
    request::{Reply, RequestContext, RequestError},
};

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let asked = leaving_of(&context)?;
        let (leaving, outcome) = match asked {
            Ok((group, leaving)) => {
                let outcome = leave(&context, group, leaving.clone()).await;
                (leaving, outcome)
            }
            Err(error) => (Vec::new(), Err(error)),
        };
        context.encode(&response(&leaving, outcome, context.version))
    })))
}

fn leaving_of(
    context: &RequestContext,
) -> Result<Result<(GroupId, Vec<Leaving>), GroupError>, RequestError> {
    let request: LeaveGroupRequest<'_> = context.decode()?;
    let checked = || {
        let group = group_id(&request.group_id)?;
        if context.version < 3 {
            let one = Leaving {
                member_id: text(&request.member_id)?.into(),
                instance: None,
                reason: None,
            };
            return Ok((group, vec![one]));
        }
        let leaving = request.members.iter().map(|member| {
            Ok(Leaving {
                member_id: text(&member.member_id)?.into(),
                instance: member
                    .group_instance_id
                    .as_deref()
                    .map(text)
                    .transpose()?
                    .map(Into::into),
                reason: member.reason.as_deref().map(str::to_owned),
            })
        });
        Ok((group, leaving.collect::<Result<_, GroupError>>()?))
    };
    Ok(checked())
}

async fn leave(
    context: &RequestContext,
    group: GroupId,
    leaving: Vec<Leaving>,
) -> Result<Vec<Result<(), GroupError>>, GroupError> {
    let id = group.clone();
    context
        .broker
        .on_coordinator(group.as_str(), |partition| async move {
            partition.event(|table, now, fx| table.on_leave(now, &id, &leaving, fx))?
        })
        .await
}

fn response(
    leaving: &[Leaving],
    outcome: Result<Vec<Result<(), GroupError>>, GroupError>,
    version: i16,
) -> LeaveGroupResponse<'_> {
    let outcomes = match outcome {
        Ok(outcomes) => outcomes,
        // A group that is not there has none of the members.
        Err(GroupError::UnknownMember) => vec![Err(GroupError::UnknownMember); leaving.len()],
        Err(error) => {
            return LeaveGroupResponse {
                error_code: ErrorCode::from(error).code(),
                ..LeaveGroupResponse::default()
            };
        }
    };
    if version < 3 {
        return LeaveGroupResponse {
            error_code: code(outcomes.first().copied().unwrap_or(Ok(()))),
            ..LeaveGroupResponse::default()
        };
    }
    let members = leaving
        .iter()
        .zip(outcomes)
        .map(|(who, outcome)| MemberResponse {
            member_id: who.member_id.as_str().into(),
            group_instance_id: who.instance.as_ref().map(|i| i.as_str().into()),
            error_code: code(outcome),
        });
    LeaveGroupResponse {
        members: members.collect(),
        ..LeaveGroupResponse::default()
    }
}
