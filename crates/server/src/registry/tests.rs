//! Whose topic the registry takes.

use std::time::Duration;

use base::TopicId;
use broker::Settings;
use cluster::NewTopic;
use runtime::sim::{Sim, SimConfig};

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

/// Of this name, as a client would have it.
fn wanted(partitions: i32) -> WantedTopic {
    WantedTopic {
        name: TopicName::new(SCHEMAS_TOPIC).expect("a legal topic name"),
        partitions,
        configs: [].into(),
    }
}

/// What is said of a topic that is there, by whether it is internal and how many partitions it has.
fn said(internal: bool, partitions: i32) -> Result<Option<Place>, String> {
    let sim = Sim::new(SimConfig::new(1));
    let host = sim.host("node", 1, || async {
        let mut settings = Settings::new("/forebay");
        settings.store.journal_file_bytes = 4 << 20;
        settings.store.free_bytes_min = 1 << 20;
        settings.store.free_bytes_warn = 2 << 20;
        let (broker, _) = Broker::open(settings).await.expect("nothing fails");
        broker.stopped().await;
    });
    let asked = sim.run_on(host, LIMIT, async move {
        while runtime::local::<Broker>().is_none() {
            runtime::sleep(Duration::from_millis(10)).await;
        }
        let broker = Broker::local();
        assert_eq!(place(&broker).ok(), Some(None));
        assert!(broker.plan_topic(&wanted(2)).is_err(), "from now on");
        let wanted = wanted(1);
        let topic = NewTopic {
            id: TopicId([7; 16]),
            internal,
            homes: broker.with_metadata(|image| image.place(&wanted.name, partitions)),
            name: wanted.name,
            configs: wanted.configs,
        };
        let made = broker.create_topics(vec![topic]).await.pop();
        made.expect("an answer").expect("it is made");
        place(&broker).map_err(|error| error.to_string())
    });
    asked.expect("it ends")
}

#[test]
fn a_topic_that_somebody_else_made_is_refused() {
    assert!(said(true, 1).is_ok_and(|place| place.is_some()));
    for (internal, partitions) in [(false, 1), (true, 3), (false, 3)] {
        let why = said(internal, partitions).expect_err("it is not the registry's");
        assert!(why.contains("is not the registry's own"), "{why}");
    }
}
