//! Integration tests of the SQL front end, over an in-memory database.

mod changes;
mod database;
mod errors;
mod exactness;
mod filters;
mod limits;
mod lookups;
mod memory;
mod nexmark;
mod registered;
mod slt;
mod sqlite;
mod tools;
mod wire;
