//! The group core against scripted cases and random histories.

mod history;
mod scripted;
