//! Storage against a naive model, on real files and on the simulated disk.

mod cost;
mod damage;
mod golden;
mod groups;
mod harness;
mod model;
mod moments;
mod space;
