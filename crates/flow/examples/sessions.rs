//! How long users stay: clicks within half an hour of each other are one session.

use std::time::Duration;

use flow::{App, Cluster, Event, Timestamp, Window, aggregate::Count};

#[derive(Clone, Debug, PartialEq, Event)]
pub struct Click {
    #[event(1)]
    pub user: i64,
    #[event(2)]
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Event)]
pub struct Session {
    #[event(1)]
    pub user: i64,
    #[event(2)]
    pub start: Timestamp,
    #[event(3)]
    pub seconds: i64,
    #[event(4)]
    pub clicks: u64,
}

pub fn app() -> App {
    let gap = Duration::from_secs(30 * 60);
    let app = App::new("sessions");
    app.topic::<Click>("clicks")
        .event_time(Duration::from_secs(60), |click| click.at)
        .key_by(|click| click.user)
        .window(Window::Session { gap })
        .aggregate::<Count<()>, _>("open_sessions", |_| ())
        .map(move |closed| {
            let (start, end) = (
                closed.window.window_start,
                closed.window.window_end.minus(gap),
            );
            Session {
                user: closed.key,
                start,
                seconds: (end.0 - start.0) / 1_000_000,
                clicks: closed.value,
            }
        })
        .to_topic_by("sessions", |session| session.user);
    app
}

pub fn main() -> Result<(), flow::RunError> {
    app().run(Cluster::new("127.0.0.1:9092", "data/sessions"))
}
