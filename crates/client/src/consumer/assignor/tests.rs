//! Tests of the range assignor and of the bytes members exchange.

use std::collections::BTreeMap;

use base::PartitionIndex;

use super::{
    Assignment, Subscriber, assign_ranges, decode_assignment, decode_subscription,
    encode_assignment, encode_subscription,
};

/// `name`, or `name/instance`, and the topics it wants.
fn subscriber((name, topics): &(&str, &str)) -> Subscriber {
    let (member, instance) = name.split_once('/').unwrap_or((name, ""));
    Subscriber {
        member: member.to_owned(),
        instance: Some(instance.to_owned()).filter(|instance| !instance.is_empty()),
        topics: topics.split_whitespace().map(str::to_owned).collect(),
    }
}

/// `a: t[0 1] u[2]; b: ...`
fn show(assigned: &BTreeMap<String, Assignment>) -> String {
    let members = assigned.iter().map(|(member, assignment)| {
        let topics = assignment.iter().map(|(topic, partitions)| {
            let numbers: Vec<_> = partitions.iter().map(|p| p.0.to_string()).collect();
            format!(" {topic}[{}]", numbers.join(" "))
        });
        format!("{member}:{}", topics.collect::<String>())
    });
    members.collect::<Vec<_>>().join("; ")
}

#[test]
fn ranges_are_those_of_kafka() {
    // The cases of Kafka's RangeAssignorTest.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, u32)], &'a str);
    let cases: [Case<'_>; 9] = [
        (&[("a", "")], &[("t", 3)], "a:"),
        (&[("a", "t")], &[], "a:"),
        (&[("a", "t")], &[("t", 0)], "a:"),
        (&[("a", "t")], &[("t", 3)], "a: t[0 1 2]"),
        (&[("a", "t"), ("b", "t")], &[("t", 1)], "a: t[0]; b:"),
        (&[("b", "t"), ("a", "t")], &[("t", 3)], "a: t[0 1]; b: t[2]"),
        (
            &[("a", "t u"), ("b", "t u")],
            &[("t", 3), ("u", 3)],
            "a: t[0 1] u[0 1]; b: t[2] u[2]",
        ),
        (
            &[("a", "t"), ("b", "t u"), ("c", "t")],
            &[("t", 3), ("u", 2)],
            "a: t[0]; b: t[1] u[0 1]; c: t[2]",
        ),
        // Static members come first, by instance; their member ids change with every start.
        (
            &[("a", "t"), ("z/1", "t"), ("b/2", "t")],
            &[("t", 4)],
            "a: t[3]; b: t[2]; z: t[0 1]",
        ),
    ];
    for (members, topics, wanted) in cases {
        let members: Vec<_> = members.iter().map(subscriber).collect();
        let topics = topics.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect();
        assert_eq!(show(&assign_ranges(&members, &topics)), wanted);
    }
}

#[test]
fn every_partition_has_exactly_one_reader() {
    for members in 1..8_u32 {
        for count in 0..20 {
            let names: Vec<_> = (0..members).map(|n| format!("m{n}")).collect();
            let members: Vec<_> = names.iter().map(|n| subscriber(&(n, "t"))).collect();
            let topics = BTreeMap::from([("t".to_owned(), count)]);
            let assigned = assign_ranges(&members, &topics);
            let sizes: Vec<_> = assigned
                .values()
                .map(|a| a.values().flatten().count())
                .collect();
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            assert!(most <= least.map(|n| n + 1).as_ref(), "{sizes:?} is uneven");
            let all = assigned.values().flat_map(BTreeMap::values).flatten();
            let mut all: Vec<_> = all.map(|p| p.0).collect();
            all.sort_unstable();
            assert_eq!(all, (0..count.cast_signed()).collect::<Vec<_>>());
        }
    }
}

#[test]
fn members_understand_each_other() {
    let topics = ["orders".to_owned(), "payments".to_owned()];
    let bytes = encode_subscription(&topics).expect("short names");
    // Version 0, two strings, null user data: what the Java client of 0.9 wrote.
    assert_eq!(
        bytes,
        b"\0\0\0\0\0\x02\0\x06orders\0\x08payments\xFF\xFF\xFF\xFF"
    );
    assert_eq!(decode_subscription(&bytes).expect("just written"), topics);

    let assignment = Assignment::from([(
        "orders".to_owned(),
        vec![PartitionIndex(0), PartitionIndex(7)],
    )]);
    let bytes = encode_assignment(&assignment).expect("short names");
    assert_eq!(decode_assignment(&bytes).expect("just written"), assignment);
    assert_eq!(decode_assignment(b"").expect("nothing"), Assignment::new());
    // A newer member's: later versions only add at the end.
    let mut newer = bytes.clone();
    newer[1] = 3;
    newer.extend(b"more");
    assert_eq!(decode_assignment(&newer).expect("newer"), assignment);
}

#[test]
fn what_is_cut_off_is_refused() {
    let bytes = encode_subscription(&["orders".to_owned()]).expect("short names");
    for end in 0..bytes.len() {
        assert!(decode_subscription(&bytes[..end]).is_err(), "{end}");
    }
    assert!(decode_assignment(b"\0\0\x7F\xFF\xFF\xFF").is_err());
}
