//! Tests of the statement parser.
