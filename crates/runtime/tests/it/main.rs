//! Integration tests of the runtime: one conformance suite for real and simulated files and sockets.

mod files;
mod sockets;
mod world;
