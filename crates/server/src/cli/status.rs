//! `forebay status`.

use std::collections::BTreeMap;

use client::Client;

use super::{StatusArgs, format, shard::with_client};

pub fn run(args: StatusArgs) -> anyhow::Result<()> {
    let json = args.json;
    with_client(&args.cluster, move |client| async move {
        status(&client, json).await
    })
}

/// What is known of one topic.
#[derive(Default)]
struct TopicStatus {
    partitions: usize,
    leaderless: usize,
    records: i64,
    bytes: Option<i64>,
    internal: bool,
}

async fn status(client: &Client, json: bool) -> anyhow::Result<()> {
    let topics = topics(client).await?;
    let metadata = client.metadata();
    let leaderless: usize = topics.values().map(|topic| topic.leaderless).sum();
    let health = if leaderless == 0 {
        "healthy"
    } else {
        "degraded"
    };
    let partitions: usize = topics.values().map(|topic| topic.partitions).sum();
    if json {
        let brokers: Vec<_> = metadata
            .brokers
            .iter()
            .map(|(id, at)| serde_json::json!({"id": id.0, "host": at.host, "port": at.port}))
            .collect();
        let topics: Vec<_> = topics
            .iter()
            .map(|(name, topic)| {
                serde_json::json!({
                    "topic": name, "partitions": topic.partitions, "leaderless": topic.leaderless,
                    "records": topic.records, "bytes": topic.bytes, "internal": topic.internal,
                })
            })
            .collect();
        let line = serde_json::json!({
            "health": health, "cluster_id": metadata.cluster_id, "brokers": brokers, "topics": topics,
        });
        outln!("{line}");
        return Ok(());
    }
    outln!(
        "cluster {}: {health}, {}, {}, {}",
        metadata.cluster_id.as_deref().unwrap_or("without id"),
        format::counted(metadata.brokers.len(), "broker"),
        format::counted(topics.len(), "topic"),
        format::counted(partitions, "partition"),
    );
    if leaderless > 0 {
        outln!("{leaderless} partitions have no leader: they are damaged or their broker is down");
    }
    let rows: Vec<_> = metadata
        .brokers
        .iter()
        .map(|(id, at)| {
            let role = if metadata.controller == Some(*id) {
                "controller"
            } else {
                ""
            };
            vec![
                id.to_string(),
                format!("{}:{}", at.host, at.port),
                role.into(),
            ]
        })
        .collect();
    out!("\n{}", format::table(&["BROKER", "ADDRESS", "ROLE"], &rows));
    let rows: Vec<_> = topics
        .iter()
        .map(|(name, topic)| {
            vec![
                name.clone(),
                topic.partitions.to_string(),
                topic.records.to_string(),
                topic
                    .bytes
                    .map_or("-".into(), |bytes| format::bytes(bytes.max(0) as u64)),
            ]
        })
        .collect();
    if rows.is_empty() {
        outln!("\nno topics; `forebay topic create NAME` makes one");
    } else {
        let head = ["TOPIC", "PARTITIONS", "RECORDS", "SIZE"];
        out!("\n{}", format::table(&head, &rows));
    }
    Ok(())
}

async fn topics(client: &Client) -> anyhow::Result<BTreeMap<String, TopicStatus>> {
    use client::admin::OffsetSpec::{Earliest, Latest};
    let admin = client.admin();
    // Not every cluster tells sizes.
    let sizes = admin.partition_sizes().await.ok();
    let mut topics = BTreeMap::new();
    for topic in client.all_topics().await? {
        let led = topic.partitions.iter().filter(|p| p.leader.is_some());
        let led: Vec<_> = led.map(|p| (topic.name.clone(), p.index)).collect();
        let mut records = 0;
        for (spec, sign) in [(Latest, 1), (Earliest, -1)] {
            let wanted: Vec<_> = led.iter().map(|place| (place.clone(), spec)).collect();
            let listed = admin.list_offsets(&wanted).await?;
            let offsets = listed.values().filter_map(|listed| listed.offset);
            records += sign * offsets.map(|offset| offset.0).sum::<i64>();
        }
        let mut by_partition = BTreeMap::new();
        for size in sizes
            .iter()
            .flatten()
            .filter(|size| *size.topic == *topic.name)
        {
            // The largest replica: what one copy takes.
            let bytes = by_partition.entry(size.partition).or_insert(0);
            *bytes = size.bytes.max(*bytes);
        }
        let status = TopicStatus {
            partitions: topic.partitions.len(),
            leaderless: topic.partitions.len() - led.len(),
            records,
            bytes: sizes.as_ref().map(|_| by_partition.values().sum()),
            internal: topic.internal,
        };
        topics.insert(topic.name.to_string(), status);
    }
    Ok(topics)
}
