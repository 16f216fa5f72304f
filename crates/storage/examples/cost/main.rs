//! What appending, reading and restarting cost on this machine and disk.
//!
//! `cargo run --release -p storage --example cost [DIR] [PARTITIONS]`: a directory on the disk to measure (default: a
//! temporary one, removed at the end), and how many partitions the restart is measured with (default 10,000).

mod measures;

use measures::Scale;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let temporary = std::env::temp_dir().join(format!("storage-cost-{}", std::process::id()));
    let dir = arguments.next().map_or(temporary, std::path::PathBuf::from);
    let mut scale = Scale::new(true);
    if let Some(partitions) = arguments.next() {
        scale.restart_partitions = partitions.parse().expect("a number of partitions");
    }
    for line in measures::all(&dir, scale) {
        println!("{line}");
    }
    let _ = std::fs::remove_dir_all(&dir);
}
