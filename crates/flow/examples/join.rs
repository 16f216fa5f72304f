//! Which advertisements were clicked: impressions and clicks of the same one, no more than ten minutes apart.

use std::time::Duration;

use flow::{App, Cluster, Event, Timestamp};

#[derive(Clone, Debug, PartialEq, Event)]
pub struct Impression {
    #[event(1)]
    pub id: String,
    #[event(2)]
    pub campaign: String,
    #[event(3)]
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Event)]
pub struct Click {
    #[event(1)]
    pub impression: String,
    #[event(2)]
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Event)]
pub struct Clicked {
    #[event(1)]
    pub campaign: String,
    #[event(2)]
    pub after_ms: i64,
}

pub fn app() -> App {
    let app = App::new("clicked");
    let wait = Duration::from_secs(5);
    let impressions = app
        .topic::<Impression>("impressions")
        .event_time(wait, |impression| impression.at)
        .key_by(|impression| impression.id.clone());
    let clicks = app
        .topic::<Click>("ad_clicks")
        .event_time(wait, |click| click.at)
        .key_by(|click| click.impression.clone());
    impressions
        .join("near", clicks, Duration::from_secs(600))
        .filter(|(impression, click)| click.at >= impression.at)
        .map(|(impression, click)| Clicked {
            campaign: impression.campaign,
            after_ms: (click.at.0 - impression.at.0) / 1000,
        })
        .to_topic_by("clicked", |clicked| clicked.campaign.clone());
    app
}

pub fn main() -> Result<(), flow::RunError> {
    app().run(Cluster::new("127.0.0.1:9092", "data/clicked"))
}
