//! Integration tests of the SQL front end, over an in-memory database.

mod database;
mod memory;
mod slt;
mod sqlite;
mod tools;
#[allow(dead_code)]
mod wire;
