//! Scripted cases: the rules that clients rely on by name, and the bytes on disk.

use base::{Offset, PartitionIndex, TimestampMs, TopicName};

use super::super::{
    Answer, Commit, CommittedOffset, Effects, GROUP_RECORD_BYTES_MAX, GROUPS_BYTES_MAX,
    GroupConfig, GroupError, GroupTable, Join, JoinRefused, Joined, KeyValue, Leaving,
    MEMBER_METADATA_BYTES_MAX, MemberId, MemberRef, Moment, Protocol, Sync, Synced, Ticket,
    partition_of, record,
};

/// A table with its clock; writes are durable at once.
struct Desk {
    table: GroupTable,
    now_ms: u64,
    tickets: u64,
    answers: Vec<(Ticket, Answer)>,
    log: Vec<KeyValue>,
}

impl Desk {
    fn new() -> Self {
        Self {
            table: GroupTable::new(GroupConfig::default()),
            now_ms: 0,
            tickets: 0,
            answers: Vec::new(),
            log: Vec::new(),
        }
    }

    fn now(&self) -> Moment {
        Moment {
            at_ms: self.now_ms,
            wall: TimestampMs(self.now_ms as i64),
        }
    }

    fn run<R>(
        &mut self,
        act: impl FnOnce(&mut GroupTable, Moment, Ticket, &mut Effects) -> R,
    ) -> (Ticket, R) {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        let mut fx = Effects::default();
        let now = self.now();
        let result = act(&mut self.table, now, ticket, &mut fx);
        self.settle(fx);
        (ticket, result)
    }

    fn settle(&mut self, fx: Effects) {
        self.answers.extend(fx.answers);
        for write in fx.writes {
            self.log.extend(write.records);
            let mut fx = Effects::default();
            self.table
                .on_written(self.now(), write.token, Ok(()), &mut fx);
            self.settle(fx);
        }
    }

    fn take(&mut self, ticket: Ticket) -> Option<Answer> {
        let at = self.answers.iter().position(|(t, _)| *t == ticket)?;
        Some(self.answers.swap_remove(at).1)
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        let now = self.now();
        let mut fx = Effects::default();
        self.table.on_tick(now, 10, &mut fx);
        self.settle(fx);
    }

    fn join(&mut self, join: &Join) -> Ticket {
        self.run(|table, now, ticket, fx| table.on_join(now, ticket, join, fx))
            .0
    }

    fn joined(&mut self, ticket: Ticket) -> Joined {
        match self.take(ticket) {
            Some(Answer::Join(Ok(joined))) => joined,
            other => panic!("{other:?}"),
        }
    }

    fn refused(&mut self, ticket: Ticket) -> JoinRefused {
        match self.take(ticket) {
            Some(Answer::Join(Err(refused))) => refused,
            other => panic!("{other:?}"),
        }
    }

    fn sync(&mut self, member: MemberRef, assigned: &[&MemberId]) -> Ticket {
        let assignments = assigned
            .iter()
            .map(|id| ((*id).clone(), id.as_str().as_bytes().into()));
        let sync = Sync {
            group: "g".into(),
            member,
            protocol_type: None,
            protocol: None,
            assignments: assignments.collect(),
        };
        self.run(|table, now, ticket, fx| table.on_sync(now, ticket, sync, fx))
            .0
    }

    fn synced(&mut self, ticket: Ticket) -> Result<Synced, GroupError> {
        match self.take(ticket) {
            Some(Answer::Sync(synced)) => synced,
            other => panic!("{other:?}"),
        }
    }

    fn heartbeat(&mut self, member: &MemberRef) -> Result<(), GroupError> {
        let now = self.now();
        self.table.on_heartbeat(now, &"g".into(), member)
    }

    fn commit(&mut self, member: MemberRef, offset: i64) -> Result<(), GroupError> {
        let commit = Commit {
            group: "g".into(),
            member,
            offsets: vec![(topic(), PartitionIndex(0), committed(offset))],
            not_found_known: true,
        };
        let (ticket, ()) =
            self.run(|table, now, ticket, fx| table.on_commit(now, ticket, commit, fx));
        match self.take(ticket) {
            Some(Answer::Written(outcome)) => outcome,
            other => panic!("{other:?}"),
        }
    }

    /// A stable group of the members that these joins make, the first one leading.
    fn stable(&mut self, joins: &[Join]) -> Vec<Joined> {
        let tickets: Vec<Ticket> = joins.iter().map(|join| self.join(join)).collect();
        self.pass(3_000);
        self.pass(3_000);
        let joined: Vec<Joined> = tickets.into_iter().map(|t| self.joined(t)).collect();
        let ids: Vec<&MemberId> = joined.iter().map(|j| &j.member_id).collect();
        let leads = |j: &&Joined| j.leader.as_ref() == Some(&j.member_id);
        let followers = joined.iter().filter(|j| !leads(j));
        let waiting: Vec<Ticket> = followers.map(|j| self.sync(reference(j), &[])).collect();
        let leader = joined.iter().find(leads).expect("one leads");
        let last = self.sync(reference(leader), &ids);
        for ticket in waiting.into_iter().chain([last]) {
            self.synced(ticket).expect("the assignment");
        }
        joined
    }

    fn state(&self) -> &'static str {
        self.table.describe(&"g".into()).expect("it exists").state
    }
}

fn topic() -> TopicName {
    TopicName::new("t").expect("a legal name")
}

fn committed(offset: i64) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(offset),
        leader_epoch: 7,
        metadata: "why".into(),
        committed_at: TimestampMs(5),
        expires_at: None,
    }
}

/// A join of somebody new, as `version` would.
fn newcomer(fresh: &str, instance: Option<&str>, version: i16) -> Join {
    Join {
        group: "g".into(),
        member_id: None,
        fresh_member_id: fresh.into(),
        instance: instance.map(Into::into),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        protocol_type: "consumer".into(),
        protocols: vec![
            protocol("range", b"\0\x01\0\0\0\x01\0\x01t"),
            protocol("sticky", b"s"),
        ],
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        known_member_id_required: version >= 4,
        skips_assignment: version >= 9,
        reason: None,
    }
}

fn protocol(name: &str, metadata: &[u8]) -> Protocol {
    Protocol {
        name: name.into(),
        metadata: metadata.into(),
    }
}

fn reference(joined: &Joined) -> MemberRef {
    MemberRef {
        member_id: joined.member_id.clone(),
        instance: None,
        generation: joined.generation,
    }
}

fn anonymous() -> MemberRef {
    MemberRef {
        member_id: "".into(),
        instance: None,
        generation: -1,
    }
}

#[test]
fn a_newcomer_of_version_4_joins_twice() {
    let mut desk = Desk::new();
    let mut join = newcomer("m1", None, 9);
    let first = desk.join(&join);
    let refused = desk.refused(first);
    assert_eq!(refused.error, GroupError::MemberIdRequired);
    join.member_id = refused.member_id;
    let second = desk.join(&join);
    desk.pass(2_999);
    assert!(desk.answers.is_empty(), "the initial delay");
    desk.pass(1);
    let joined = desk.joined(second);
    assert_eq!((joined.generation, joined.members.len()), (1, 1));
    assert_eq!(joined.protocol.as_deref(), Some("range"));
}

#[test]
fn a_newcomer_prolongs_the_initial_delay() {
    let mut desk = Desk::new();
    let one = desk.join(&newcomer("m1", None, 0));
    desk.pass(2_000);
    let two = desk.join(&newcomer("m2", None, 0));
    desk.pass(1_000);
    assert!(desk.answers.is_empty());
    desk.pass(3_000);
    assert_eq!(desk.joined(one).members.len(), 2);
    assert!(desk.joined(two).members.is_empty());
}

#[test]
fn a_dead_member_is_removed_after_its_session_and_the_rest_rebalance() {
    let mut desk = Desk::new();
    let joined = desk.stable(&[newcomer("m1", None, 0), newcomer("m2", None, 0)]);
    desk.pass(6_000);
    assert_eq!(desk.heartbeat(&reference(&joined[1])), Ok(()));
    desk.pass(4_000);
    assert_eq!(desk.state(), "PreparingRebalance");
    let stay = desk.heartbeat(&reference(&joined[1]));
    assert_eq!(stay, Err(GroupError::RebalanceInProgress));
    let gone = desk.heartbeat(&reference(&joined[0]));
    assert_eq!(gone, Err(GroupError::UnknownMember));
    let mut again = newcomer("-", None, 0);
    again.member_id = Some(joined[1].member_id.clone());
    let ticket = desk.join(&again);
    let next = desk.joined(ticket);
    assert_eq!((next.generation, next.leader), (2, Some("m2".into())));
    let old = desk.sync(reference(&joined[1]), &[]);
    assert_eq!(desk.synced(old), Err(GroupError::IllegalGeneration));
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    for version in [5, 9] {
        let mut desk = Desk::new();
        let joined = desk.stable(&[
            newcomer("m1", Some("i1"), version),
            newcomer("m2", Some("i2"), version),
        ]);
        let ticket = desk.join(&newcomer("m3", Some("i1"), version));
        let back = desk.joined(ticket);
        assert_eq!((back.generation, desk.state()), (1, "Stable"));
        // The replaced member led: an old client must not notice, a new one must not assign.
        assert_eq!(back.skip_assignment, version == 9);
        let leader = if version == 9 { "m3" } else { "m1" };
        assert_eq!(back.leader, Some(leader.into()));
        let ticket = desk.sync(reference(&back), &[]);
        assert_eq!(
            &*desk.synced(ticket).expect("an assignment").assignment,
            b"m1"
        );
        let mut fenced = reference(&joined[0]);
        fenced.instance = Some("i1".into());
        assert_eq!(desk.heartbeat(&fenced), Err(GroupError::FencedInstance));
    }
}

#[test]
fn static_members_that_come_back_larger_than_a_record_make_a_rebalance() {
    let mut desk = Desk::new();
    let count = GROUP_RECORD_BYTES_MAX / MEMBER_METADATA_BYTES_MAX + 1;
    let names: Vec<String> = (0..count).map(|n| format!("i{n}")).collect();
    let newcomers: Vec<Join> = names
        .iter()
        .map(|name| newcomer(name, Some(name), 9))
        .collect();
    desk.stable(&newcomers);
    let metadata = vec![0; MEMBER_METADATA_BYTES_MAX];
    let mut back = Vec::new();
    for name in &names {
        let mut join = newcomer(&format!("{name}-again"), Some(name), 9);
        join.protocols = vec![protocol("range", &metadata)];
        back.push(desk.join(&join));
    }
    let last = back.pop().expect("some");
    assert_eq!(desk.take(last), None, "waits for the others");
    let largest = desk.log.iter().map(KeyValue::size_bytes).max();
    assert!(largest.expect("some") <= GROUP_RECORD_BYTES_MAX);
}

#[test]
fn a_static_member_with_another_protocol_makes_a_rebalance() {
    let mut desk = Desk::new();
    desk.stable(&[newcomer("m1", Some("i1"), 9), newcomer("m2", None, 0)]);
    let mut other = newcomer("m3", Some("i1"), 9);
    other.protocols.remove(0);
    desk.join(&other);
    assert_eq!(desk.state(), "PreparingRebalance");
}

#[test]
fn protocols_must_have_one_in_common() {
    let mut desk = Desk::new();
    desk.stable(&[newcomer("m1", None, 0)]);
    let mut other = newcomer("m2", None, 0);
    other.protocols = vec![protocol("mine", b"")];
    let ticket = desk.join(&other);
    assert_eq!(desk.refused(ticket).error, GroupError::InconsistentProtocol);
    let mut other = newcomer("m2", None, 0);
    other.protocol_type = "connect".into();
    let ticket = desk.join(&other);
    assert_eq!(desk.refused(ticket).error, GroupError::InconsistentProtocol);
}

#[test]
fn refused_joins_and_commits_leave_no_group() {
    let mut desk = Desk::new();
    for n in 0..10 {
        let mut join = newcomer("m", None, 9);
        join.group = format!("g{n}").as_str().into();
        join.protocols.clear();
        let ticket = desk.join(&join);
        assert_eq!(desk.refused(ticket).error, GroupError::InconsistentProtocol);
        // Told to come again, and never does.
        let mut join = newcomer("m", None, 9);
        join.group = format!("h{n}").as_str().into();
        let ticket = desk.join(&join);
        assert_eq!(desk.refused(ticket).error, GroupError::MemberIdRequired);
    }
    assert_eq!(desk.table.group_count(), 10);
    desk.pass(10_000);
    assert_eq!(desk.table.group_count(), 0);
    assert_eq!(desk.table.bytes_counted(), (0, 0));
}

#[test]
fn groups_take_no_more_memory_than_they_may() {
    let mut desk = Desk::new();
    let metadata = vec![0; MEMBER_METADATA_BYTES_MAX];
    let join = |n: usize| {
        let mut join = newcomer(&format!("m{n}"), None, 0);
        join.group = format!("g{n}").as_str().into();
        join.protocols = vec![protocol("range", &metadata)];
        join
    };
    let room = GROUPS_BYTES_MAX / MEMBER_METADATA_BYTES_MAX - 1;
    let tickets: Vec<Ticket> = (0..room).map(|n| desk.join(&join(n))).collect();
    let refused = desk.join(&join(room));
    assert_eq!(desk.refused(refused).error, GroupError::NotAvailable);
    desk.pass(3_000);
    for _ in 0..room {
        desk.pass(1);
    }
    // Whoever is there goes on.
    for (n, ticket) in tickets.into_iter().enumerate() {
        let joined = desk.joined(ticket);
        let mut again = join(n);
        again.member_id = Some(joined.member_id);
        let ticket = desk.join(&again);
        desk.joined(ticket);
    }
    let (counted, anew) = desk.table.bytes_counted();
    assert_eq!(counted, anew);
    assert!(counted <= GROUPS_BYTES_MAX);
    // Sessions end, and with them what their members took.
    for _ in 0..2 * room {
        desk.pass(60_000);
    }
    assert!(desk.table.bytes_counted().0 < 1 << 20);
    let ticket = desk.join(&join(room));
    assert_eq!(desk.take(ticket), None, "waits for the initial delay");
}

#[test]
fn members_that_never_sync_are_removed() {
    let mut desk = Desk::new();
    let one = desk.join(&newcomer("m1", None, 0));
    let two = desk.join(&newcomer("m2", None, 0));
    desk.pass(3_000);
    desk.pass(3_000);
    let (one, two) = (desk.joined(one), desk.joined(two));
    let ticket = desk.sync(reference(&two), &[]);
    for _ in 0..10 {
        desk.pass(6_000);
        let _ = desk.heartbeat(&reference(&one));
    }
    assert_eq!(desk.synced(ticket), Err(GroupError::RebalanceInProgress));
    assert_eq!(
        desk.heartbeat(&reference(&one)),
        Err(GroupError::UnknownMember)
    );
}

#[test]
fn commits_are_checked_against_the_generation() {
    let mut desk = Desk::new();
    let mut known = anonymous();
    known.generation = 3;
    assert_eq!(desk.commit(known, 1), Err(GroupError::GroupIdNotFound));
    assert_eq!(desk.commit(anonymous(), 1), Ok(()));
    let joined = desk.stable(&[newcomer("m1", None, 0)]);
    assert_eq!(desk.commit(anonymous(), 2), Err(GroupError::UnknownMember));
    let mut member = reference(&joined[0]);
    assert_eq!(desk.commit(member.clone(), 3), Ok(()));
    member.generation += 1;
    assert_eq!(desk.commit(member, 4), Err(GroupError::IllegalGeneration));
    let found = desk.table.fetch(&"g".into(), "t", PartitionIndex(0));
    assert_eq!(found.map(|f| (f.offset.0, f.leader_epoch)), Some((3, 7)));
}

#[test]
fn groups_in_use_are_not_deleted() {
    let mut desk = Desk::new();
    let joined = desk.stable(&[newcomer("m1", None, 0)]);
    desk.commit(reference(&joined[0]), 3)
        .expect("a member commits");
    let delete = |desk: &mut Desk| {
        let (ticket, ()) =
            desk.run(|table, now, ticket, fx| table.on_delete_group(now, ticket, &"g".into(), fx));
        desk.take(ticket)
    };
    assert_eq!(
        delete(&mut desk),
        Some(Answer::Written(Err(GroupError::NonEmpty)))
    );
    let keys = [(topic(), PartitionIndex(0))];
    let (_, outcome) = desk
        .run(|table, now, ticket, fx| table.on_delete_offsets(now, ticket, &"g".into(), &keys, fx));
    assert_eq!(outcome, Ok(vec![Err(GroupError::SubscribedToTopic)]));
    let leaving = [Leaving {
        member_id: joined[0].member_id.clone(),
        instance: None,
        reason: None,
    }];
    let (_, outcome) = desk.run(|table, now, _, fx| table.on_leave(now, &"g".into(), &leaving, fx));
    assert_eq!(outcome, Ok(vec![Ok(())]));
    assert_eq!(desk.state(), "Empty");
    assert_eq!(delete(&mut desk), Some(Answer::Written(Ok(()))));
    assert_eq!(desk.table.describe(&"g".into()), None);
    assert_eq!(
        delete(&mut desk),
        Some(Answer::Written(Err(GroupError::GroupIdNotFound)))
    );
}

#[test]
fn offsets_expire_a_while_after_the_group_became_empty() {
    let mut desk = Desk::new();
    desk.commit(anonymous(), 3)
        .expect("a simple consumer commits");
    let week_ms = 7 * 24 * 3_600_000;
    for (ms, left) in [(week_ms - 1, 1), (10, 0)] {
        desk.pass(ms);
        let now = desk.now();
        desk.run(|table, _, _, fx| table.on_sweep(now, None, 10, fx));
        assert_eq!(desk.table.group_count(), left);
    }
    let tombstones = desk.log.iter().filter(|r| r.value.is_none());
    assert_eq!(tombstones.count(), 2, "the offset's and the group's");
}

#[test]
fn records_have_kafkas_bytes() {
    let offset = record::of_offset(&"g".into(), &topic(), PartitionIndex(2), &committed(9));
    assert_eq!(offset.key, b"\0\x01\0\x01g\0\x01t\0\0\0\x02");
    assert_eq!(
        offset.value.expect("no tombstone"),
        b"\0\x03\0\0\0\0\0\0\0\x09\0\0\0\x07\0\x03why\0\0\0\0\0\0\0\x05"
    );
    let mut desk = Desk::new();
    desk.stable(&[newcomer("m1", Some("i"), 5)]);
    let group = desk.log.last().expect("the assignments").clone();
    assert_eq!(group.key, b"\0\x02\0\x01g");
    let mut expected =
        b"\0\x03\0\x08consumer\0\0\0\x01\0\x05range\0\x02m1\0\0\0\0\0\0\x0b\xb8\0\0\0\x01".to_vec();
    expected.extend(b"\0\x02m1\0\x01i\0\x01c\0\x0a/127.0.0.1\0\0\xea\x60\0\0\x27\x10");
    expected.extend(b"\0\0\0\x09\0\x01\0\0\0\x01\0\x01t\0\0\0\x02m1");
    assert_eq!(group.value.expect("no tombstone"), expected);
}

#[test]
fn damaged_records_are_refused() {
    let mut desk = Desk::new();
    desk.stable(&[newcomer("m1", Some("i"), 5)]);
    desk.log.push(record::of_offset(
        &"g".into(),
        &topic(),
        PartitionIndex(2),
        &committed(9),
    ));
    for record in &desk.log {
        let value = record.value.as_deref().expect("no tombstone");
        for end in 0..value.len() {
            let mut table = GroupTable::new(GroupConfig::default());
            assert!(table.replay(&record.key, Some(&value[..end])).is_err());
        }
        for end in 0..record.key.len() {
            let mut table = GroupTable::new(GroupConfig::default());
            assert!(table.replay(&record.key[..end], Some(value)).is_err());
        }
    }
}

#[test]
fn groups_map_to_partitions_as_in_java() {
    // "test".hashCode() is 3556498; "polygenelubricants".hashCode() is Integer.MIN_VALUE.
    for (group, partitions, expected) in [
        ("test", 50, 48),
        ("", 50, 0),
        ("polygenelubricants", 50, 0),
        ("test", 16, 2),
    ] {
        assert_eq!(
            partition_of(group, partitions),
            PartitionIndex(expected),
            "{group}"
        );
    }
}
