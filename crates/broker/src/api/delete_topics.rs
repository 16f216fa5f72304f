//! DeleteTopics (key 20): by name, or by id from version 6 on.

use std::collections::BTreeSet;

use base::TopicId;
use kafka::{
    error::ErrorCode,
    messages::delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse},
};

use crate::{
    broker::Broker,
    errors::Failure,
    request::{Reply, RequestContext, RequestError},
};

const VERSION_IDS: i16 = 6;

struct Asked {
    name: Option<String>,
    id: TopicId,
    outcome: Result<(), Failure>,
}

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: DeleteTopicsRequest<'_> = context.decode()?;
    let mut asked: Vec<Asked> = if context.version >= VERSION_IDS {
        let topics = request.topics.iter();
        topics
            .map(|t| resolve(&broker, t.name.map(|n| n.into_owned()), t.topic_id))
            .collect()
    } else {
        let names = request.topic_names.iter();
        names
            .map(|name| resolve(&broker, Some(name.into_owned()), TopicId::ZERO))
            .collect()
    };
    let mut ids = BTreeSet::new();
    for asked in asked.iter_mut().filter(|asked| asked.outcome.is_ok()) {
        if !ids.insert(asked.id) {
            let text = "Duplicate topic in request.";
            asked.outcome = Err(Failure::new(ErrorCode::InvalidRequest, text));
        }
    }
    let found = asked
        .iter()
        .filter(|asked| asked.outcome.is_ok())
        .map(|asked| asked.id)
        .collect();
    let outcomes = broker.delete_topics(found).await;
    let open = asked.iter_mut().filter(|asked| asked.outcome.is_ok());
    for (asked, outcome) in open.zip(outcomes) {
        asked.outcome = outcome.map_err(|failure| match failure.code {
            // Deleted by another just now; the code for ids is younger than requests by name.
            ErrorCode::UnknownTopicId if context.version < VERSION_IDS => {
                ErrorCode::UnknownTopicOrPartition.into()
            }
            _ => failure,
        });
    }
    let responses = asked.into_iter().map(|asked| {
        let failure = asked.outcome.err();
        DeletableTopicResult {
            name: asked.name.map(Into::into),
            topic_id: asked.id,
            error_code: failure.as_ref().map_or(0, |failure| failure.code.code()),
            error_message: failure.map(|failure| failure.text().into()),
        }
    });
    context.reply(&DeleteTopicsResponse {
        responses: responses.collect::<Vec<_>>().into(),
        ..DeleteTopicsResponse::default()
    })
}

fn resolve(broker: &Broker, name: Option<String>, id: TopicId) -> Asked {
    let found = broker.with_metadata(|image| {
        let topic = match (&name, id) {
            (Some(_), id) if id != TopicId::ZERO => {
                let text = "You may not specify both topic name and topic id.";
                return Err(Failure::new(ErrorCode::InvalidRequest, text));
            }
            (None, TopicId::ZERO) => {
                let text = "Neither topic name nor id were specified.";
                return Err(Failure::new(ErrorCode::InvalidRequest, text));
            }
            (Some(name), _) => image
                .topic_named(name)
                .ok_or(ErrorCode::UnknownTopicOrPartition)?,
            (None, id) => image.topic(id).ok_or(ErrorCode::UnknownTopicId)?,
        };
        if topic.internal {
            let text = format!("{} is internal and cannot be deleted", topic.name);
            return Err(Failure::new(ErrorCode::InvalidRequest, text));
        }
        Ok((topic.name.to_string(), topic.id))
    });
    match found {
        Ok((name, id)) => Asked {
            name: Some(name),
            id,
            outcome: Ok(()),
        },
        Err(failure) => Asked {
            name,
            id,
            outcome: Err(failure),
        },
    }
}
