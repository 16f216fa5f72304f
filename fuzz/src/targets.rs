//! The targets.

mod batches;
mod events;
mod files;
mod formats;
mod frames;
mod messages;
mod postgres;
mod registry;

/// One decoder under test.
pub struct Target {
    pub name: &'static str,
    /// Inputs to start from; they survive, and reach deep into the decoder.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Feeds the decoder; panics when a property of it does not hold.
    pub run: fn(&[u8]),
    /// Bytes that one input of this many bytes may have allocated at once.
    pub allocated_bytes_max: fn(usize) -> usize,
}

/// What any input may cost besides what its decoder is known to need.
fn four_times(input_bytes: usize) -> usize {
    4 * input_bytes + (4 << 10)
}

/// Messages hold decoding itself to no allocation at all; this is for writing what was read, several times.
fn recoding_bytes_max(input_bytes: usize) -> usize {
    16 * input_bytes + (64 << 10)
}

/// Every target that must survive.
pub static TARGETS: &[Target] = &[
    Target {
        name: "request",
        seeds: messages::request_seeds,
        run: messages::request,
        allocated_bytes_max: recoding_bytes_max,
    },
    Target {
        name: "response",
        seeds: messages::response_seeds,
        run: messages::response,
        allocated_bytes_max: recoding_bytes_max,
    },
    Target {
        name: "frames",
        seeds: frames::seeds,
        run: frames::split,
        allocated_bytes_max: four_times,
    },
    Target {
        name: "door",
        seeds: batches::door_seeds,
        run: batches::door,
        allocated_bytes_max: batches::codec_bytes_max,
    },
    Target {
        name: "door-records",
        seeds: batches::records_seeds,
        run: batches::door_records,
        allocated_bytes_max: batches::codec_bytes_max,
    },
    Target {
        name: "door-gzip",
        seeds: || batches::packed_seeds(kafka::batch::Compression::Gzip),
        run: batches::door_packed,
        allocated_bytes_max: batches::codec_bytes_max,
    },
    Target {
        name: "door-snappy",
        seeds: || batches::packed_seeds(kafka::batch::Compression::Snappy),
        run: batches::door_packed,
        allocated_bytes_max: batches::codec_bytes_max,
    },
    Target {
        name: "door-lz4",
        seeds: || batches::packed_seeds(kafka::batch::Compression::Lz4),
        run: batches::door_packed,
        allocated_bytes_max: batches::codec_bytes_max,
    },
    Target {
        name: "door-zstd",
        seeds: || batches::packed_seeds(kafka::batch::Compression::Zstd),
        run: batches::door_packed,
        allocated_bytes_max: batches::codec_bytes_max,
    },
    Target {
        name: "batches",
        seeds: batches::door_seeds,
        run: batches::iterate,
        allocated_bytes_max: batches::iteration_bytes_max,
    },
    Target {
        name: "batches-aborted",
        seeds: batches::door_seeds,
        run: batches::aborted,
        allocated_bytes_max: four_times,
    },
    Target {
        name: "file-frames",
        seeds: files::frame_seeds,
        run: files::frames,
        allocated_bytes_max: four_times,
    },
    Target {
        name: "file-chunks",
        seeds: files::chunk_seeds,
        run: files::chunks,
        allocated_bytes_max: files::chunks_bytes_max,
    },
    Target {
        name: "file-manifest-edits",
        seeds: files::edit_seeds,
        run: files::manifest_edits,
        allocated_bytes_max: files::lists_bytes_max,
    },
    Target {
        name: "file-manifest",
        seeds: files::manifest_seeds,
        run: files::manifests,
        allocated_bytes_max: files::chunks_bytes_max,
    },
    Target {
        name: "file-index",
        seeds: files::index_seeds,
        run: files::indexes,
        allocated_bytes_max: four_times,
    },
    Target {
        name: "file-snapshot",
        seeds: files::snapshot_seeds,
        run: files::snapshots,
        allocated_bytes_max: files::lists_bytes_max,
    },
    Target {
        name: "file-producers",
        seeds: files::producer_seeds,
        run: files::windows,
        allocated_bytes_max: files::lists_bytes_max,
    },
    Target {
        name: "raft-state",
        seeds: files::raft_state_seeds,
        run: files::raft_state,
        allocated_bytes_max: files::lists_bytes_max,
    },
    Target {
        name: "metadata-command",
        seeds: files::command_seeds,
        run: files::command,
        allocated_bytes_max: files::image_bytes_max,
    },
    Target {
        name: "metadata-image",
        seeds: files::image_seeds,
        run: files::image,
        allocated_bytes_max: files::image_bytes_max,
    },
    Target {
        name: "group-record",
        seeds: files::group_seeds,
        run: files::group_record,
        allocated_bytes_max: files::lists_bytes_max,
    },
    Target {
        name: "record-json",
        seeds: formats::json_seeds,
        run: formats::json_records,
        allocated_bytes_max: formats::rows_bytes_max,
    },
    Target {
        name: "record-csv",
        seeds: formats::csv_seeds,
        run: formats::csv_records,
        allocated_bytes_max: formats::rows_bytes_max,
    },
    Target {
        name: "record-protobuf",
        seeds: formats::protobuf_seeds,
        run: formats::protobuf_records,
        allocated_bytes_max: formats::rows_bytes_max,
    },
    Target {
        name: "record-avro",
        seeds: formats::avro_seeds,
        run: formats::avro_records,
        allocated_bytes_max: formats::rows_bytes_max,
    },
    Target {
        name: "record-event",
        seeds: events::seeds,
        run: events::decode,
        allocated_bytes_max: events::bytes_max,
    },
    Target {
        name: "record-schema",
        seeds: formats::schema_seeds,
        run: formats::schemas,
        allocated_bytes_max: formats::schema_bytes_max,
    },
    Target {
        name: "registry",
        seeds: registry::seeds,
        run: registry::requests,
        allocated_bytes_max: registry::bytes_max,
    },
    Target {
        name: "postgres",
        seeds: postgres::seeds,
        run: postgres::messages,
        allocated_bytes_max: postgres::bytes_max,
    },
    Target {
        name: "scram",
        seeds: postgres::scram_seeds,
        run: postgres::scram,
        allocated_bytes_max: postgres::scram_bytes_max,
    },
];

/// Targets that must fail: they prove that the loop finds what it looks for.
pub static CANARIES: &[Target] = &[
    Target {
        name: "canary-panic",
        seeds: frames::seeds,
        run: |input| assert!(input.first() != Some(&0xff), "a length of -1 was believed"),
        allocated_bytes_max: four_times,
    },
    Target {
        name: "canary-allocation",
        seeds: frames::seeds,
        // The classic: a vector as long as the input says.
        run: |input| {
            if let Some(size) = input.first_chunk::<4>() {
                let count = u32::from_be_bytes(*size) as usize;
                std::hint::black_box(Vec::<u8>::with_capacity(count));
            }
        },
        allocated_bytes_max: four_times,
    },
];
