//! DescribeGroups (key 15): state and members of classic groups.

use std::collections::BTreeSet;

use kafka::{
    error::ErrorCode,
    messages::describe_groups::{
        DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
    },
};

use crate::{
    coordinator::text,
    errors::told,
    group::{DescribedMember, Description, GroupError, GroupId},
    request::{Reply, RequestContext, RequestError},
};

/// Kafka's bits for what may be done to a group where nothing is forbidden: READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and
/// ALTER_CONFIGS, by their AclOperation codes.
const AUTHORIZED_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let request: DescribeGroupsRequest<'_> = context.decode()?;
        let mut groups = Vec::new();
        // Once each, however often it stands there: a small request must not make a huge answer.
        let mut seen = BTreeSet::new();
        for id in request
            .groups
            .iter()
            .filter(|id| seen.insert(id.to_string()))
        {
            let described = describe(&context, &id).await;
            let mut group = response(id.into_owned(), described, context.version);
            if request.include_authorized_operations {
                group.authorized_operations = AUTHORIZED_OPERATIONS;
            }
            groups.push(group);
        }
        context.encode(&DescribeGroupsResponse {
            groups: groups.into(),
            ..DescribeGroupsResponse::default()
        })
    })))
}

async fn describe(context: &RequestContext, id: &str) -> Result<Option<Description>, GroupError> {
    let group = GroupId::from(text(id)?);
    context
        .broker
        .on_coordinator(id, |partition| async move {
            partition.read(|table| table.describe(&group))
        })
        .await
}

fn response(
    id: String,
    described: Result<Option<Description>, GroupError>,
    version: i16,
) -> DescribedGroup<'static> {
    match described {
        Ok(Some(found)) => DescribedGroup {
            group_id: id.into(),
            group_state: found.state.into(),
            protocol_type: found
                .protocol_type
                .as_deref()
                .unwrap_or("")
                .to_owned()
                .into(),
            protocol_data: found.protocol.as_deref().unwrap_or("").to_owned().into(),
            members: found.members.iter().map(member).collect(),
            ..DescribedGroup::default()
        },
        // KIP-1043: before version 6 a group that does not exist is a dead one.
        Ok(None) if version < 6 => DescribedGroup {
            group_id: id.into(),
            group_state: "Dead".into(),
            ..DescribedGroup::default()
        },
        Ok(None) => DescribedGroup {
            error_code: ErrorCode::GroupIdNotFound.code(),
            error_message: Some(told(format!("Group {id} not found.")).into()),
            group_state: "Dead".into(),
            group_id: id.into(),
            ..DescribedGroup::default()
        },
        Err(error) => DescribedGroup {
            error_code: ErrorCode::from(error).code(),
            error_message: (version >= 6).then(|| error.to_string().into()),
            group_id: id.into(),
            ..DescribedGroup::default()
        },
    }
}

fn member(member: &DescribedMember) -> DescribedGroupMember<'static> {
    DescribedGroupMember {
        member_id: member.member_id.to_string().into(),
        group_instance_id: member.instance.as_ref().map(|i| i.to_string().into()),
        client_id: member.client_id.to_string().into(),
        client_host: member.client_host.to_string().into(),
        member_metadata: member.metadata.to_vec().into(),
        member_assignment: member.assignment.to_vec().into(),
    }
}
