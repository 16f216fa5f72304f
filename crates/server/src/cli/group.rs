//! `forebay group`.

use std::{collections::BTreeMap, rc::Rc};

use anyhow::{Context, bail};
use base::{Offset, PartitionIndex};
use client::{
    Admin, Start,
    admin::{GroupDescription, OffsetSpec},
    consumer::TopicPartition,
};

use super::{GroupArgs, GroupCommand, consume::parse_start, format, shard::with_client};

pub fn run(args: GroupArgs) -> anyhow::Result<()> {
    let GroupArgs { cluster, command } = args;
    with_client(&cluster, move |client| async move {
        let admin = client.admin();
        match command {
            GroupCommand::List { json } => list(&admin, json).await,
            GroupCommand::Describe { groups, json } => {
                for group in groups {
                    describe(&admin, &group, json).await?;
                }
                Ok(())
            }
            GroupCommand::ResetOffsets {
                group,
                topics,
                to,
                dry_run,
            } => reset(&admin, &group, topics, &to, dry_run).await,
            GroupCommand::Delete { groups } => {
                for group in groups {
                    admin.delete_group(&group).await?;
                    outln!("deleted {group}");
                }
                Ok(())
            }
        }
    })
}

async fn list(admin: &Admin, json: bool) -> anyhow::Result<()> {
    let groups = admin.list_groups().await?;
    if json {
        for group in groups {
            let line = serde_json::json!({
                "group": group.group, "state": group.state, "protocol_type": group.protocol_type,
            });
            outln!("{line}");
        }
        return Ok(());
    }
    let rows: Vec<_> = groups
        .into_iter()
        .map(|group| vec![group.group, group.state])
        .collect();
    if rows.is_empty() {
        outln!("no groups; `forebay consume TOPIC --group NAME` makes one");
    } else {
        out!("{}", format::table(&["GROUP", "STATE"], &rows));
    }
    Ok(())
}

/// Offsets of one partition that a group reads.
struct Lag {
    place: (String, PartitionIndex),
    committed: Option<Offset>,
    end: Option<Offset>,
    member: Option<String>,
}

impl Lag {
    fn records(&self) -> Option<i64> {
        Some(self.end?.0 - self.committed?.0)
    }
}

async fn lags(admin: &Admin, description: &GroupDescription) -> anyhow::Result<Vec<Lag>> {
    let committed = admin.committed(&description.group).await?;
    let mut owners = BTreeMap::new();
    for member in &description.members {
        for (topic, partitions) in &member.assigned {
            for partition in partitions {
                owners.insert((topic.clone(), *partition), member.member.clone());
            }
        }
    }
    let mut places: Vec<_> = committed.keys().chain(owners.keys()).cloned().collect();
    places.sort();
    places.dedup();
    let ends = listed(admin, &places, OffsetSpec::Latest).await?;
    Ok(places
        .into_iter()
        .map(|place| Lag {
            committed: committed.get(&place).map(|entry| entry.offset),
            end: ends.get(&place).copied(),
            member: owners.remove(&place),
            place,
        })
        .collect())
}

/// Offsets of those of the partitions whose topics still exist.
async fn listed(
    admin: &Admin,
    places: &[(String, PartitionIndex)],
    spec: OffsetSpec,
) -> anyhow::Result<BTreeMap<(String, PartitionIndex), Offset>> {
    let topics = admin.client().all_topics().await?;
    let wanted: Vec<(TopicPartition, OffsetSpec)> = places
        .iter()
        .filter_map(|(name, partition)| {
            let topic = topics.iter().find(|topic| *topic.name == **name)?;
            topic.partition(*partition)?;
            Some(((Rc::clone(&topic.name), *partition), spec))
        })
        .collect();
    let found = admin.list_offsets(&wanted).await?;
    Ok(found
        .into_iter()
        .filter_map(|((name, partition), listed)| {
            Some(((name.to_string(), partition), listed.offset?))
        })
        .collect())
}

async fn describe(admin: &Admin, group: &str, json: bool) -> anyhow::Result<()> {
    let description = admin.describe_group(group).await?;
    let lags = lags(admin, &description).await?;
    if description.state == "Dead" && lags.is_empty() {
        bail!("no group is called '{group}'; `forebay group list` shows what there is");
    }
    if json {
        let partitions: Vec<_> = lags
            .iter()
            .map(|lag| {
                serde_json::json!({
                    "topic": lag.place.0, "partition": lag.place.1.0,
                    "committed": lag.committed.map(|at| at.0), "end": lag.end.map(|at| at.0),
                    "lag": lag.records(), "member": lag.member,
                })
            })
            .collect();
        let members: Vec<_> = description
            .members
            .iter()
            .map(|member| {
                serde_json::json!({
                    "member": member.member, "instance": member.instance,
                    "client_id": member.client_id, "host": member.client_host,
                })
            })
            .collect();
        let line = serde_json::json!({
            "group": group, "state": description.state, "protocol": description.protocol,
            "members": members, "partitions": partitions,
        });
        outln!("{line}");
        return Ok(());
    }
    let total: i64 = lags.iter().filter_map(Lag::records).sum();
    outln!(
        "{group}  {}  {} members  lag {total}",
        description.state,
        description.members.len()
    );
    let shown = |number: Option<i64>| number.map_or("-".into(), |number| number.to_string());
    let rows: Vec<_> = lags
        .iter()
        .map(|lag| {
            vec![
                lag.place.0.clone(),
                lag.place.1.to_string(),
                shown(lag.committed.map(|at| at.0)),
                shown(lag.end.map(|at| at.0)),
                shown(lag.records()),
                lag.member.clone().unwrap_or_else(|| "-".into()),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let head = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"];
        out!("{}", format::table(&head, &rows));
    }
    Ok(())
}

async fn reset(
    admin: &Admin,
    group: &str,
    topics: Vec<String>,
    to: &str,
    dry_run: bool,
) -> anyhow::Result<()> {
    let start = parse_start(to).context("--to")?;
    let committed = admin.committed(group).await?;
    let mut places = Vec::new();
    if topics.is_empty() {
        places.extend(committed.keys().cloned());
    }
    for name in &topics {
        let topic = admin.client().topic(name).await?;
        places.extend(topic.partitions.iter().map(|p| (name.clone(), p.index)));
    }
    if places.is_empty() {
        bail!("the group '{group}' has no offsets; name topics with --topic");
    }
    let first = listed(admin, &places, OffsetSpec::Earliest).await?;
    let end = listed(admin, &places, OffsetSpec::Latest).await?;
    let timed = match start {
        Start::Timestamp(at) => listed(admin, &places, OffsetSpec::At(at)).await?,
        _ => BTreeMap::new(),
    };
    let mut offsets = BTreeMap::new();
    for place in places {
        let (Some(first), Some(end)) = (first.get(&place), end.get(&place)) else {
            bail!(
                "{}/{} does not exist any more: name topics with --topic",
                place.0,
                place.1
            );
        };
        let offset = match start {
            Start::Beginning => *first,
            Start::End => *end,
            Start::At(offset) => offset.clamp(*first, *end),
            Start::BeforeEnd(back) => {
                let back = i64::try_from(back).unwrap_or(i64::MAX);
                Offset(end.0.saturating_sub(back)).max(*first)
            }
            Start::Timestamp(_) => timed.get(&place).copied().unwrap_or(*end),
        };
        offsets.insert(place, offset);
    }
    let rows: Vec<_> = offsets
        .iter()
        .map(|(place, offset)| {
            let before = committed.get(place).map(|entry| entry.offset.to_string());
            vec![
                place.0.clone(),
                place.1.to_string(),
                before.unwrap_or_else(|| "-".into()),
                offset.to_string(),
            ]
        })
        .collect();
    if !dry_run {
        admin.reset_offsets(group, &offsets).await?;
    }
    out!(
        "{}",
        format::table(&["TOPIC", "PARTITION", "BEFORE", "NOW"], &rows)
    );
    if dry_run {
        outln!("nothing was changed (--dry-run)");
    }
    Ok(())
}
