//! Bugs planted behind test-only switches: the harness has to find each within so many seeds.

use sim::{
    node_plan::NodeBugs,
    node_run, seeds, storage_run,
    streams_run::{self, Hits},
};
use storage::PlantedBugs;
use streams::engine::PlantedBugs as StreamBugs;

/// No planted bug may need more.
const SEEDS: u64 = 500;

fn found_in_storage(name: &str, planted: PlantedBugs) {
    let found = seeds::first_failure(SEEDS, |seed| storage_run::run(seed, planted.clone()));
    told(name, found);
}

fn told(name: &str, found: Option<(u64, String)>) {
    match found {
        Some((seed, said)) => println!("{name}: found with seed {seed}: {said}"),
        None => panic!("{name}: not found within {SEEDS} seeds"),
    }
}

#[test]
fn acknowledge_before_sync() {
    let planted = PlantedBugs {
        ack_before_sync: true,
        ..PlantedBugs::default()
    };
    found_in_storage("acknowledge before sync", planted);
}

#[test]
fn retry_a_failed_sync() {
    let planted = PlantedBugs {
        retry_failed_sync: true,
        ..PlantedBugs::default()
    };
    found_in_storage("retry a failed sync", planted);
}

#[test]
fn recover_without_checking_checksums() {
    let planted = PlantedBugs {
        skip_checksums_in_recovery: true,
        ..PlantedBugs::default()
    };
    found_in_storage("recover without checking checksums", planted);
}

#[test]
fn durable_position_without_log_epoch() {
    let planted = PlantedBugs {
        durable_without_log_epoch: true,
        ..PlantedBugs::default()
    };
    found_in_storage("durable position without log epoch", planted);
}

#[test]
fn off_by_one_at_segment_roll() {
    let planted = PlantedBugs {
        segment_roll_off_by_one: true,
        ..PlantedBugs::default()
    };
    found_in_storage("off by one at segment roll", planted);
}

#[test]
fn stale_index_trusted() {
    let planted = PlantedBugs {
        trust_stale_index: true,
        ..PlantedBugs::default()
    };
    found_in_storage("stale index trusted", planted);
}

#[test]
fn group_commit_wakes_the_wrong_waiter() {
    let planted = PlantedBugs {
        wake_wrong_waiter: true,
        ..PlantedBugs::default()
    };
    found_in_storage("group commit wakes the wrong waiter", planted);
}

#[test]
fn state_forgotten_at_ring_reuse() {
    let planted = PlantedBugs {
        forget_state_at_ring_reuse: true,
        ..PlantedBugs::default()
    };
    found_in_storage("state forgotten at ring reuse", planted);
}

#[test]
fn entries_without_offsets_passed_over() {
    let planted = PlantedBugs {
        place_by_offset: true,
        ..PlantedBugs::default()
    };
    found_in_storage("entries without offsets passed over", planted);
}

#[test]
fn idempotence_window_not_restored() {
    let bugs = NodeBugs {
        forget_producers: true,
        ..NodeBugs::default()
    };
    let found = seeds::first_failure(SEEDS, |seed| node_run::run(seed, bugs.clone()));
    told("idempotence window not restored", found);
}

fn found_in_streams(name: &str, planted: StreamBugs) {
    let hits = Hits::default();
    let found = seeds::first_failure(SEEDS, |seed| streams_run::run(seed, planted, &hits));
    told(name, found);
}

#[test]
fn sinks_append_before_the_epoch_is_decided() {
    let planted = StreamBugs {
        outputs_before_record: true,
        ..StreamBugs::default()
    };
    found_in_streams("sinks append before the epoch is decided", planted);
}

#[test]
fn appends_count_before_they_are_there() {
    let planted = StreamBugs {
        count_unwritten: true,
        ..StreamBugs::default()
    };
    found_in_streams("appends count before they are there", planted);
}

#[test]
fn newest_run_skipped_at_restore() {
    let planted = StreamBugs {
        skip_newest_run: true,
        ..StreamBugs::default()
    };
    found_in_streams("newest run skipped at restore", planted);
}

#[test]
fn watermarks_not_restored() {
    let planted = StreamBugs {
        forget_watermarks: true,
        ..StreamBugs::default()
    };
    found_in_streams("watermarks not restored", planted);
}

#[test]
fn sequences_begin_anew_after_a_restart() {
    let planted = StreamBugs {
        reset_sequences: true,
        ..StreamBugs::default()
    };
    found_in_streams("sequences begin anew after a restart", planted);
}

#[test]
fn late_rows_judged_by_other_epochs() {
    let planted = StreamBugs {
        forget_late_rows: true,
        ..StreamBugs::default()
    };
    found_in_streams("late rows judged by other epochs", planted);
}

#[test]
fn a_new_sink_takes_part_in_what_was_decided_before() {
    let planted = StreamBugs {
        forget_participants: true,
        ..StreamBugs::default()
    };
    found_in_streams("a new sink takes part in what was decided before", planted);
}

#[test]
fn what_came_back_is_taken_for_gone() {
    let planted = StreamBugs {
        believe_removals: true,
        ..StreamBugs::default()
    };
    found_in_streams("what came back is taken for gone", planted);
}
