//! Storage against a naive model, on real files and on the simulated disk.

mod damage;
mod harness;
mod model;
