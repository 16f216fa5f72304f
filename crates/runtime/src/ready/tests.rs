//! Tests of `ready`.
