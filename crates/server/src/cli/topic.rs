//! `forebay topic`.

use std::rc::Rc;

use anyhow::{Context, bail};
use base::{Offset, PartitionIndex};
use client::{
    Admin, Client,
    admin::{ConfigChange, NewTopic, OffsetSpec},
};

use super::{TopicArgs, TopicCommand, format, shard::with_client};

pub fn run(args: TopicArgs) -> anyhow::Result<()> {
    let TopicArgs { cluster, command } = args;
    with_client(&cluster, move |client| async move {
        match command {
            TopicCommand::Create {
                topics,
                partitions,
                configs,
            } => create(&client.admin(), topics, partitions.unwrap_or(-1), configs).await,
            TopicCommand::List { internal, json } => list(&client, internal, json).await,
            TopicCommand::Describe { topics, all, json } => {
                for topic in topics {
                    describe(&client, &topic, all, json).await?;
                }
                Ok(())
            }
            TopicCommand::Config { topic, set, delete } => {
                configure(&client.admin(), &topic, set, delete).await
            }
            TopicCommand::AddPartitions { topic, total } => {
                client.admin().create_partitions(&topic, total).await?;
                outln!("{topic} has {total} partitions");
                Ok(())
            }
            TopicCommand::Trim {
                topic,
                partition,
                offset,
            } => trim(&client.admin(), &topic, partition, &offset).await,
            TopicCommand::Delete { topics } => {
                for topic in topics {
                    client.admin().delete_topic(&topic).await?;
                    outln!("deleted {topic}");
                }
                Ok(())
            }
        }
    })
}

async fn create(
    admin: &Admin,
    topics: Vec<String>,
    partitions: i32,
    configs: Vec<(String, String)>,
) -> anyhow::Result<()> {
    for name in topics {
        let mut topic = NewTopic::new(&name, partitions);
        topic.configs.clone_from(&configs);
        admin.create_topic(&topic).await?;
        let created = admin.client().topic(&name).await?;
        outln!(
            "created {name} with {}",
            format::counted(created.partitions.len(), "partition")
        );
    }
    Ok(())
}

async fn list(client: &Client, internal: bool, json: bool) -> anyhow::Result<()> {
    let topics = client.all_topics().await?;
    let topics: Vec<_> = topics
        .iter()
        .filter(|topic| internal || !topic.internal)
        .collect();
    if json {
        for topic in topics {
            let line = serde_json::json!({
                "topic": &*topic.name,
                "partitions": topic.partitions.len(),
                "id": topic.id.to_string(),
                "internal": topic.internal,
            });
            outln!("{line}");
        }
        return Ok(());
    }
    let rows: Vec<_> = topics
        .iter()
        .map(|topic| vec![topic.name.to_string(), topic.partitions.len().to_string()])
        .collect();
    if rows.is_empty() {
        outln!("no topics; `forebay topic create NAME` makes one");
    } else {
        out!("{}", format::table(&["TOPIC", "PARTITIONS"], &rows));
    }
    Ok(())
}

async fn describe(client: &Client, name: &str, all: bool, json: bool) -> anyhow::Result<()> {
    let admin = client.admin();
    let topic = client.topic(name).await?;
    let both = |spec| {
        let parts = topic.partitions.iter();
        let wanted: Vec<_> = parts
            .map(|p| ((topic.name.clone(), p.index), spec))
            .collect();
        let admin = admin.clone();
        async move { admin.list_offsets(&wanted).await }
    };
    let first = both(OffsetSpec::Earliest).await?;
    let next = both(OffsetSpec::Latest).await?;
    // Not every cluster tells sizes.
    let sizes = admin.partition_sizes().await.unwrap_or_default();
    let configs = admin.topic_configs(name).await?;
    let mut rows = Vec::new();
    let mut objects = Vec::new();
    for partition in &topic.partitions {
        let key = (Rc::clone(&topic.name), partition.index);
        let offset = |found: &std::collections::BTreeMap<_, client::admin::ListedOffset>| {
            let listed = found.get(&key).and_then(|listed| listed.offset);
            listed.unwrap_or(Offset::ZERO).0
        };
        let (start, end) = (offset(&first), offset(&next));
        let leader = partition.leader.map(|leader| leader.0);
        let bytes: Option<i64> = sizes
            .iter()
            .filter(|size| size.topic == name && size.partition == partition.index)
            .map(|size| size.bytes)
            .max();
        rows.push(vec![
            partition.index.to_string(),
            leader.map_or("none".into(), |leader| leader.to_string()),
            start.to_string(),
            end.to_string(),
            (end - start).to_string(),
            bytes.map_or("-".into(), |bytes| format::bytes(bytes.max(0) as u64)),
        ]);
        objects.push(serde_json::json!({
            "partition": partition.index.0,
            "leader": leader,
            "leader_epoch": partition.leader_epoch.0,
            "replicas": partition.replicas.iter().map(|r| r.0).collect::<Vec<_>>(),
            "in_sync": partition.in_sync.iter().map(|r| r.0).collect::<Vec<_>>(),
            "first_offset": start,
            "next_offset": end,
            "bytes": bytes,
        }));
    }
    let shown: Vec<_> = configs
        .iter()
        .filter(|entry| all || entry.overridden)
        .collect();
    if json {
        let configs: serde_json::Map<_, _> = shown
            .iter()
            .map(|entry| (entry.name.clone(), entry.value.clone().into()))
            .collect();
        let object = serde_json::json!({
            "topic": name, "id": topic.id.to_string(), "partitions": objects, "configs": configs,
        });
        outln!("{object}");
        return Ok(());
    }
    outln!(
        "{name}  id {}  partitions {}",
        topic.id,
        topic.partitions.len()
    );
    let head = ["PARTITION", "LEADER", "FIRST", "NEXT", "RECORDS", "SIZE"];
    out!("{}", format::table(&head, &rows));
    let rows: Vec<_> = shown
        .iter()
        .map(|entry| {
            let value = entry.value.clone().unwrap_or_else(|| "(secret)".into());
            let from = if entry.overridden { "topic" } else { "default" };
            vec![entry.name.clone(), value, from.into()]
        })
        .collect();
    if !rows.is_empty() {
        out!("\n{}", format::table(&["SETTING", "VALUE", "FROM"], &rows));
    }
    Ok(())
}

async fn configure(
    admin: &Admin,
    topic: &str,
    set: Vec<(String, String)>,
    delete: Vec<String>,
) -> anyhow::Result<()> {
    let set = set
        .into_iter()
        .map(|(name, value)| ConfigChange::Set { name, value });
    let delete = delete.into_iter().map(|name| ConfigChange::Delete { name });
    let changes: Vec<_> = set.chain(delete).collect();
    if !changes.is_empty() {
        admin.alter_topic_configs(topic, &changes).await?;
    }
    let configs = admin.topic_configs(topic).await?;
    let rows: Vec<_> = configs
        .into_iter()
        .map(|entry| {
            let from = if entry.overridden { "topic" } else { "default" };
            vec![entry.name, entry.value.unwrap_or_default(), from.into()]
        })
        .collect();
    out!("{}", format::table(&["SETTING", "VALUE", "FROM"], &rows));
    Ok(())
}

async fn trim(admin: &Admin, topic: &str, partition: i32, offset: &str) -> anyhow::Result<()> {
    let offset = match offset {
        "end" => None,
        number => {
            let number: i64 = number
                .parse()
                .context("--offset is a number, or `end` to delete all")?;
            if number < 0 {
                bail!("--offset must not be negative");
            }
            Some(Offset(number))
        }
    };
    let first = admin
        .delete_records(topic, PartitionIndex(partition), offset)
        .await?;
    outln!("{topic}/{partition} begins at offset {first} now");
    Ok(())
}
