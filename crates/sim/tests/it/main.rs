//! Simulated runs: so many seeds in each test run, more on demand.

mod node;
mod planted;
mod scenarios;
mod storage;
