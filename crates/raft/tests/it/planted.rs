//! Planted bugs: each known defect is found, or the simulator is no evidence for their absence.

use raft::PlantedBugs;

/// Seeds within which each bug must show.
const SEEDS_MAX: u64 = 2000;

macro_rules! planted {
    ($($bug:ident),* $(,)?) => {
        &[$((stringify!($bug), PlantedBugs {
            $bug: true,
            ..NONE
        })),*]
    };
}

const NONE: PlantedBugs = PlantedBugs {
    merge_onto_empty_append: false,
    acknowledge_unverified: false,
    acknowledge_unsynced: false,
    count_unsynced_own: false,
    vote_before_durable: false,
    lone_voter_leads_early: false,
    removed_leader_goes_on: false,
    refuse_snapshot_if_absent: false,
    believe_stale_completion: false,
    delayed_append_truncates: false,
    commit_older_term: false,
    joint_counts_new_half: false,
    keep_truncated_configuration: false,
    keep_volatile_commit_index: false,
    keep_matched_across_terms: false,
    read_without_round: false,
    hibernate_early: false,
    vote_for_shorter_log: false,
};

const ALL: &[(&str, PlantedBugs)] = planted![
    merge_onto_empty_append,
    acknowledge_unverified,
    acknowledge_unsynced,
    count_unsynced_own,
    vote_before_durable,
    lone_voter_leads_early,
    removed_leader_goes_on,
    refuse_snapshot_if_absent,
    believe_stale_completion,
    delayed_append_truncates,
    commit_older_term,
    joint_counts_new_half,
    keep_truncated_configuration,
    keep_volatile_commit_index,
    keep_matched_across_terms,
    read_without_round,
    hibernate_early,
    vote_for_shorter_log,
];

#[test]
fn planted_bugs_are_found() {
    let mut missed = Vec::new();
    for (name, planted) in ALL {
        let found = (0..SEEDS_MAX).find_map(|seed| {
            let why = raft_sim::run_caught(seed, *planted).err()?;
            Some((seed, why))
        });
        match found {
            Some((seed, why)) => eprintln!("{name}: seed {seed}: {why}"),
            None => missed.push(*name),
        }
    }
    assert!(
        missed.is_empty(),
        "not found within {SEEDS_MAX} seeds: {missed:?}"
    );
}
