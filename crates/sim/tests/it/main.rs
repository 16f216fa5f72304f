//! Simulated runs: so many seeds in each test run, more on demand.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod external;
mod node;
mod planted;
mod programs;
mod raft_group;
mod replication;
mod scenarios;
mod storage;
mod stream_scenarios;
mod streams;
