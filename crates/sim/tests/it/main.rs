//! Simulated runs: so many seeds in each test run, more on demand.

mod storage;
