//! Placeholder until its first content.

pub mod group;
