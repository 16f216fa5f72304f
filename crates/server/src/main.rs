//! The `forebay` binary.

use std::process::ExitCode;

/// A heap per thread: messages between shards are freed where they were not allocated, and no shard may wait for a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    runtime::host::settle_memory();
    server::main(server::Programs::default())
}
