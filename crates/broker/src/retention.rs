//! Background work of a shard: retention, expiry of producers, partitions that could not be created yet.

use std::rc::Rc;

use runtime::Class;

use crate::broker::Broker;

impl Broker {
    pub(crate) fn start_background(self: &Rc<Self>) {
        let broker = self.clone();
        let opened = runtime::now();
        runtime::spawn(Class::Background, "retention", async move {
            while !broker.shutdown.is_triggered() {
                runtime::sleep(broker.settings.retention_interval).await;
                if broker.shutdown.is_triggered() {
                    break;
                }
                let led = broker.open_missing_partitions().await;
                Self::tell_leaders(led).await;
                // Nobody can be heard while the node is down, and what was decided before it went is sent again when it is up.
                let forgets = runtime::now().since(opened) >= broker.settings.producer_expiry;
                broker.retain(forgets).await;
            }
        });
        let broker = self.clone();
        runtime::spawn(Class::Background, "producer replay", async move {
            broker.load_all_producers().await;
        });
    }

    /// Applies retention and, with `forgets`, expiry to each partition once.
    async fn retain(&self, forgets: bool) {
        let now = runtime::wall();
        for partition in self.partitions() {
            if self.shutdown.is_triggered() {
                break;
            }
            if forgets {
                partition.expire_producers(now, self.settings.producer_expiry);
            }
            match partition.raft().apply_retention(now).await {
                Ok(0) => {}
                Ok(segments) => {
                    tracing::info!(partition = %partition.key(), segments, "retention removed segments");
                }
                Err(error) => {
                    tracing::debug!(partition = %partition.key(), %error, "retention had to wait");
                }
            }
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
    }

    /// Producers' windows are loaded at the first produce; this saves most first produces the wait.
    async fn load_all_producers(&self) {
        for partition in self.partitions() {
            if self.shutdown.is_triggered() {
                break;
            }
            if let Err(error) = partition.load_producers().await {
                tracing::debug!(partition = %partition.key(), %error, "producers are not loaded");
            }
        }
    }
}
