//! Integration tests of the binary: what a running process takes.

mod memory;
