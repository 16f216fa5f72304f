//! Topics and their settings.

use client::admin::{ConfigChange, NewTopic};
use kafka::error::ErrorCode;

use crate::{fresh, with_cluster};

#[test]
#[ignore = "needs a cluster"]
fn topics_live_change_and_die() {
    with_cluster(async |client| {
        let admin = client.admin();
        let name = fresh("topic");
        let mut topic = NewTopic::new(&name, 2);
        topic
            .configs
            .push(("retention.ms".into(), "3600000".into()));
        admin.create_topic(&topic).await.expect("is created");
        let again = admin.create_topic(&topic).await.expect_err("exists");
        assert_eq!(again.code(), Some(ErrorCode::TopicAlreadyExists));
        let topics = client.all_topics().await.expect("are listed");
        assert!(topics.iter().any(|topic| *topic.name == *name));
        admin.create_partitions(&name, 5).await.expect("grows");
        let shrink = admin.create_partitions(&name, 3).await;
        assert_eq!(
            shrink.expect_err("cannot shrink").code(),
            Some(ErrorCode::InvalidPartitions)
        );
        client.refresh(&[&name]).await.expect("is there");
        let found = client.topic(&name).await.expect("is there");
        assert_eq!(found.partitions.len(), 5);

        let value = async |key: &str| {
            let configs = admin.topic_configs(&name).await.expect("are read");
            let entry = configs.into_iter().find(|entry| entry.name == key);
            entry.expect("the setting exists")
        };
        let retention = value("retention.ms").await;
        assert_eq!(retention.value.as_deref(), Some("3600000"));
        assert!(retention.overridden);
        let changes = [
            ConfigChange::Set {
                name: "max.message.bytes".into(),
                value: "2000".into(),
            },
            ConfigChange::Delete {
                name: "retention.ms".into(),
            },
        ];
        let altered = admin.alter_topic_configs(&name, &changes).await;
        altered.expect("are changed");
        assert_eq!(
            value("max.message.bytes").await.value.as_deref(),
            Some("2000")
        );
        assert!(!value("retention.ms").await.overridden);
        let wrong = [ConfigChange::Set {
            name: "retention.ms".into(),
            value: "long".into(),
        }];
        let refused = admin.alter_topic_configs(&name, &wrong).await;
        assert_eq!(
            refused.expect_err("is refused").code(),
            Some(ErrorCode::InvalidConfig)
        );

        admin.delete_topic(&name).await.expect("is deleted");
        while client.refresh(&[&name]).await.is_ok() {
            runtime::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
}
