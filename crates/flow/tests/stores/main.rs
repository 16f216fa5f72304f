//! Stores of state: one suite for all of them, and apps that keep their state there, through kills.

#[expect(dead_code, reason = "`main` is for `cargo run`")]
#[path = "../../examples/counting.rs"]
mod counting_example;
mod examples {
    pub(crate) use crate::counting_example as counting;
}
mod apps;
mod figures;
mod kept;
mod killed;
#[expect(dead_code, reason = "other tests use more of it")]
#[path = "../it/node.rs"]
mod node;
mod suite;
#[expect(dead_code, reason = "other tests use more of it")]
#[path = "../it/world.rs"]
mod world;
