//! Counts the visits of each page, from topic to topic.

use flow::{App, Cluster, Event};

#[derive(Clone, Debug, PartialEq, Event)]
pub struct Visit {
    #[event(1)]
    pub page: String,
}

#[derive(Clone, Debug, PartialEq, Event)]
pub struct Visits {
    #[event(1)]
    pub page: String,
    #[event(2)]
    pub count: u64,
}

pub fn app() -> App {
    let app = App::new("visits");
    app.topic::<Visit>("visits")
        .key_by(|visit| visit.page.clone())
        .count("visits_by_page")
        .map(|(page, count)| Visits { page, count })
        .to_topic_by("counts", |visits| visits.page.clone());
    app
}

pub fn main() -> Result<(), flow::RunError> {
    app().run(Cluster::new("127.0.0.1:9092", "data/visits"))
}
