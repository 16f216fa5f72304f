//! Every message at every version through three codecs: their bytes agree.

use std::fmt::Write as _;

use fuzz::arbitrary::{Random, Schema};
use kafka::messages::ApiKey;
use kafka_oracle::codecs::{CODECS, Codecs, Encoded};

/// `kacrab-protocol` takes null for the default of every nullable field; Kafka's own generator, and `kafka-protocol`,
/// only where the descriptor says so.
const KACRAB_DEFAULTS_DIFFER: &[&str] = &[
    "AddRaftVoterRequest",
    "AddRaftVoterResponse",
    "AlterPartitionReassignmentsResponse",
    "CreateDelegationTokenRequest",
    "DescribeAclsRequest",
    "DescribeAclsResponse",
    "DescribeClientQuotasResponse",
    "DescribeDelegationTokenRequest",
    "DescribeLogDirsRequest",
    "DescribeQuorumResponse",
    "DescribeUserScramCredentialsRequest",
    "DescribeUserScramCredentialsResponse",
    "ElectLeadersRequest",
    "FindCoordinatorResponse",
    "InitProducerIdRequest",
    "JoinGroupResponse",
    "ListPartitionReassignmentsResponse",
    "MetadataRequest",
    "OffsetFetchRequest",
    "RemoveRaftVoterRequest",
    "RemoveRaftVoterResponse",
    "SaslAuthenticateResponse",
    "ShareAcknowledgeRequest",
    "ShareFetchRequest",
    "StreamsGroupHeartbeatResponse",
    "UnregisterBrokerResponse",
    "UpdateFeaturesResponse",
];

fn versions(codecs: &Codecs) -> std::ops::RangeInclusive<i16> {
    let api = codecs
        .name
        .strip_suffix("Request")
        .or_else(|| codecs.name.strip_suffix("Response"));
    match api {
        Some(api) => ApiKey::all()
            .find(|key| key.name() == api)
            .expect(api)
            .versions(),
        None => 0..=3,
    }
}

fn rounds() -> u64 {
    std::env::var("ORACLE_ROUNDS").map_or(100, |rounds| rounds.parse().expect("a number"))
}

/// Collects differences, so that one run shows them all.
#[derive(Default)]
struct Differences(String, usize);

impl Differences {
    fn compare(&mut self, what: &str, expected: &[u8], found: &Encoded) {
        let same = found.as_deref() == Ok(expected);
        if !same {
            self.1 += 1;
            if self.1 <= 40 {
                let _ = writeln!(
                    self.0,
                    "{what}:\n  expected {expected:02x?}\n  found    {found:02x?}"
                );
            }
        }
    }

    fn finish(self) {
        assert!(self.1 == 0, "{} differences\n{}", self.1, self.0);
    }
}

#[test]
fn arbitrary_messages_are_read_and_written_alike() {
    let mut differences = Differences::default();
    for (at, codecs) in CODECS.iter().enumerate() {
        let schema = Schema::load(codecs.name);
        for version in versions(codecs) {
            let mut random = Random(at as u64 * 1000 + version as u64);
            for _ in 0..rounds() {
                let bytes = schema.message(version, &mut random);
                let what = format!("{} v{version}", codecs.name);
                let ours = (codecs.ours)(&bytes, version, version);
                differences.compare(&format!("{what}, ours"), &bytes, &ours);
                let found = (codecs.kacrab)(&bytes, version, version);
                differences.compare(&format!("{what}, kacrab"), &bytes, &found);
                if let Some((version_max, recode, _)) = codecs.kafka_protocol
                    && version <= version_max
                {
                    let found = recode(&bytes, version, version);
                    differences.compare(&format!("{what}, kafka-protocol"), &bytes, &found);
                }
            }
        }
    }
    differences.finish();
}

#[test]
fn defaults_are_alike() {
    let mut differences = Differences::default();
    for codecs in CODECS {
        let schema = Schema::load(codecs.name);
        for version in versions(codecs) {
            let bytes = schema.default_message(version);
            let what = format!("{} v{version}", codecs.name);
            differences.compare(
                &format!("{what}, ours"),
                &bytes,
                &(codecs.our_default)(version),
            );
            if !KACRAB_DEFAULTS_DIFFER.contains(&codecs.name) {
                let found = (codecs.kacrab_default)(version);
                differences.compare(&format!("{what}, kacrab"), &bytes, &found);
            }
            if let Some((version_max, _, default)) = codecs.kafka_protocol
                && version <= version_max
            {
                differences.compare(
                    &format!("{what}, kafka-protocol"),
                    &bytes,
                    &default(version),
                );
            }
        }
    }
    differences.finish();
}

/// What is read at one version and written at another shows the defaults of absent fields. Which absent fields may be
/// dropped is not compared: the others drop some tagged fields and nulls that Kafka's own code refuses to.
#[test]
fn messages_change_version_alike() {
    let mut differences = Differences::default();
    let mut compared = 0;
    for (at, codecs) in CODECS.iter().enumerate() {
        let schema = Schema::load(codecs.name);
        for from in versions(codecs) {
            let mut random = Random(at as u64 * 1000 + from as u64);
            for _ in 0..rounds() / 5 + 1 {
                let bytes = schema.message(from, &mut random);
                for to in versions(codecs) {
                    let Ok(ours) = (codecs.ours)(&bytes, from, to) else {
                        continue;
                    };
                    let what = format!("{} v{from} as v{to}", codecs.name);
                    if let Some((version_max, recode, _)) = codecs.kafka_protocol
                        && from.max(to) <= version_max
                    {
                        let theirs = recode(&bytes, from, to);
                        differences.compare(&format!("{what}, kafka-protocol"), &ours, &theirs);
                    } else if !KACRAB_DEFAULTS_DIFFER.contains(&codecs.name) {
                        let theirs = (codecs.kacrab)(&bytes, from, to);
                        differences.compare(&format!("{what}, kacrab"), &ours, &theirs);
                    }
                    compared += 1;
                }
            }
        }
    }
    differences.finish();
    assert!(compared > 10_000, "only {compared} could be compared");
}
