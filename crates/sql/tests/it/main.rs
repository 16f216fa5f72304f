//! Integration tests of the SQL front end, over an in-memory database.

mod database;
mod slt;
