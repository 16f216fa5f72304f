//! Apps against a cluster: what they put out, through crashes, and what their state is.

mod copies;
mod counting;
mod evolution;
mod examples;
mod node;
mod real;
mod timers;
mod windows;
mod world;
