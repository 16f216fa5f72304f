//! Comparison of our message codec with two independent ones.

pub mod codecs;
