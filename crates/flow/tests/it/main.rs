//! Apps against a simulated cluster: what they put out, through crashes, and what their state is.

mod counting;
mod evolution;
mod examples;
mod windows;
mod world;
