//! What must hold of a group table after every event, and of everything it ever answered.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Answer, Blob, GroupId, GroupTable, InstanceId, MemberId, Pending, Ticket,
    classic::{Group, State},
};

/// What a ticket stood for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Join {
        group: GroupId,
        instance: Option<InstanceId>,
    },
    Sync {
        group: GroupId,
        generation: i32,
        member: MemberId,
    },
    Write,
}

/// All requests and answers of one history.
#[derive(Debug, Default)]
pub(super) struct History {
    open: BTreeMap<Ticket, Asked>,
    next_ticket: u64,
    leaders: BTreeMap<(GroupId, i32), MemberId>,
    protocols: BTreeMap<(GroupId, i32), String>,
    instances: BTreeMap<MemberId, InstanceId>,
    owners: BTreeMap<(GroupId, Blob), MemberId>,
    pub answered: u64,
}

impl History {
    pub fn ask(&mut self, asked: Asked) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.open.insert(ticket, asked);
        ticket
    }

    /// Requests die with the node that parked them; its generations may be given out again when they never got durable.
    pub fn restart(&mut self) {
        self.open.clear();
        self.leaders.clear();
        self.protocols.clear();
    }

    /// A deleted group starts over.
    pub fn forget(&mut self, group: &str) {
        self.leaders.retain(|(id, _), _| id.as_str() != group);
        self.protocols.retain(|(id, _), _| id.as_str() != group);
        self.owners.retain(|(id, _), _| id.as_str() != group);
    }

    pub fn check_all_answered(&self) {
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
    }

    pub fn on_answer(&mut self, ticket: Ticket, answer: &Answer) -> Asked {
        let asked = self.open.remove(&ticket);
        let asked = asked.unwrap_or_else(|| panic!("{ticket:?} answered twice: {answer:?}"));
        self.answered += 1;
        match (&asked, answer) {
            (Asked::Join { group, instance }, Answer::Join(Ok(joined))) => {
                if let Some(instance) = instance {
                    self.instances
                        .insert(joined.member_id.clone(), instance.clone());
                }
                let key = (group.clone(), joined.generation);
                let protocol = joined
                    .protocol
                    .as_deref()
                    .expect("a generation has a protocol");
                let first = self
                    .protocols
                    .entry(key.clone())
                    .or_insert_with(|| protocol.to_owned());
                assert_eq!(first, protocol, "one protocol per generation");
                if joined.leader.as_ref() == Some(&joined.member_id) && !joined.skip_assignment {
                    assert!(!joined.members.is_empty(), "the leader learns the members");
                    let first = self
                        .leaders
                        .entry(key)
                        .or_insert_with(|| joined.member_id.clone());
                    assert_eq!(*first, joined.member_id, "one leader per generation");
                } else if !joined.skip_assignment {
                    assert!(
                        joined.members.is_empty(),
                        "only the leader learns the members"
                    );
                }
            }
            (Asked::Join { .. }, Answer::Join(Err(_)))
            | (Asked::Sync { .. }, Answer::Sync(Err(_)))
            | (Asked::Write, Answer::Written(_)) => {}
            (
                Asked::Sync {
                    group,
                    generation,
                    member,
                },
                Answer::Sync(Ok(synced)),
            ) => self.check_assignment(group, *generation, member, &synced.assignment),
            _ => panic!("{asked:?} got {answer:?}"),
        }
        asked
    }

    /// Assignments are `<generation>:<member>`.
    fn check_assignment(
        &mut self,
        group: &GroupId,
        generation: i32,
        member: &MemberId,
        blob: &Blob,
    ) {
        if blob.is_empty() {
            return;
        }
        let text = str::from_utf8(blob).expect("assignments are text here");
        let (of_generation, _) = text.split_once(':').expect("assignments have a colon");
        assert_eq!(of_generation, generation.to_string(), "of this generation");
        let key = (group.clone(), blob.clone());
        let owner = self.owners.entry(key).or_insert_with(|| member.clone());
        let successor = self.instances.contains_key(owner)
            && self.instances.get(owner) == self.instances.get(member);
        assert!(
            owner == member || successor,
            "{text} went to {owner} and {member}"
        );
    }
}

/// The structure of all groups.
pub(super) fn check_table(table: &GroupTable) {
    let (counted, anew) = table.bytes_counted();
    assert_eq!(counted, anew, "the memory of all groups");
    for (id, group) in &table.groups {
        assert_eq!(*id, group.id);
        check_members(group);
        check_parked(table, group);
        check_deadlines(group);
        let entries = table.wake_entries(id);
        assert_eq!(entries, group.wake_ms.into_iter().collect::<Vec<_>>());
    }
}

fn check_members(group: &Group) {
    let mut votes: BTreeMap<_, usize> = BTreeMap::new();
    let mut statics = BTreeMap::new();
    for (id, member) in &group.members {
        assert_eq!(*id, member.id);
        for protocol in &member.protocols {
            *votes.entry(protocol.name.clone()).or_default() += 1;
        }
        if let Some(instance) = &member.instance {
            assert!(statics.insert(instance.clone(), id.clone()).is_none());
        }
        assert!(!group.pending_join.contains_key(id), "joined and pending");
    }
    assert_eq!(votes, group.votes);
    assert_eq!(statics, group.static_members);
    let joining = group.members.values().filter(|m| m.join.is_some()).count();
    assert_eq!(joining, group.joining);
    match &group.leader {
        None => assert!(group.members.is_empty(), "members without a leader"),
        Some(leader) => assert!(group.members.contains_key(leader), "the leader is a member"),
    }
    let members: BTreeSet<_> = group.members.keys().cloned().collect();
    assert!(group.pending_sync.is_subset(&members));
}

fn check_parked(table: &GroupTable, group: &Group) {
    let syncing = group.members.values().filter(|m| m.sync.is_some()).count();
    let is_assigning = table.pending.values().any(|p| {
        matches!(p, Pending::Assigned(a) if a.group == group.id && a.generation == group.generation)
    });
    match group.state {
        State::Empty | State::Dead => {
            assert!(group.members.is_empty());
            assert!(group.join_timer.is_none() && group.sync_deadline_ms.is_none());
        }
        State::PreparingRebalance => {
            assert!(group.join_timer.is_some(), "nothing ends the join phase");
            assert!(group.sync_deadline_ms.is_none());
            assert_eq!(syncing, 0);
        }
        State::CompletingRebalance => {
            assert!(group.join_timer.is_none());
            assert_eq!(group.joining, 0);
            assert!(!group.members.is_empty());
            assert_eq!(
                group.pending_sync.is_empty(),
                group.sync_deadline_ms.is_none()
            );
            assert!(
                !group.pending_sync.is_empty() || is_assigning,
                "nothing ends the sync phase of {group:?}"
            );
        }
        State::Stable => {
            assert!(group.join_timer.is_none());
            assert!(!group.members.is_empty());
            assert_eq!(syncing, 0);
            assert_eq!(
                group.pending_sync.is_empty(),
                group.sync_deadline_ms.is_none()
            );
            for member in group.members.values() {
                let Some(ticket) = member.join else { continue };
                let is_replacing = table
                    .pending
                    .values()
                    .any(|p| matches!(p, Pending::StaticReplaced(r) if r.ticket == ticket));
                assert!(is_replacing, "{ticket:?} is parked for nothing");
            }
        }
    }
}

fn check_deadlines(group: &Group) {
    for member in group.members.values() {
        assert!(
            member.session_deadline_ms.is_some() || member.is_waiting(),
            "{member:?} would stay for ever"
        );
    }
    if let Some(deadline) = group.next_deadline_ms() {
        let wake = group.wake_ms.expect("a deadline needs a wake");
        assert!(wake <= deadline, "the wake is later than the deadline");
    }
}
