//! Tests of `mesh`.
