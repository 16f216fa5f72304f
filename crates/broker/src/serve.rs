//! Accepting connections and stopping.
//!
//! # Place
//! The listener belongs to the leading shard, which hands connections round robin to all shards.

use std::rc::Rc;

use base::ShardId;
use runtime::{
    Class,
    net::{ForeignStream, TcpListener, TcpStream},
    sync::first,
};

use crate::{broker::Broker, connection, open::HeldLock};

/// Pause after an accept that failed (out of descriptors): trying at once would only burn CPU.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

impl Broker {
    /// Serves Kafka's protocol on `listener`, on the leading shard; returns at once. Ends with `stop`.
    pub async fn serve(self: &Rc<Self>, listener: TcpListener) {
        let address = listener.local_addr();
        let own = (address.ip().to_string(), address.port());
        let advertised = self.settings.advertised.clone().unwrap_or(own);
        for shard in Self::shards() {
            let advertised = advertised.clone();
            let set = |broker: Rc<Broker>| async move {
                broker.advertised.replace(advertised);
            };
            self.on_shard(shard, Class::Admin, "advertise", set).await;
        }
        let broker = self.clone();
        runtime::spawn(Class::Admin, "accept", async move {
            broker.accept(listener).await;
        });
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        let mut next = 0;
        loop {
            let stopping = self.shutdown.triggered();
            let Some(accepted) = first(listener.accept(), stopping).await else {
                break;
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    runtime::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let shard = ShardId(next % runtime::shard_count());
            next = next.wrapping_add(1);
            if shard == self.shard {
                self.adopt(stream);
            } else {
                hand_over(shard, stream.into_foreign()).await;
            }
        }
    }

    /// Takes a connection in, or closes it when there are too many.
    fn adopt(self: &Rc<Self>, stream: TcpStream) {
        let shards = usize::from(runtime::shard_count());
        let connections_max = self.settings.connections_max.div_ceil(shards);
        if self.connections.get() >= connections_max || self.shutdown.is_triggered() {
            self.metrics.update(|m| m.connections_refused += 1);
            stream.shutdown();
            return;
        }
        self.metrics.update(|m| m.connections_accepted += 1);
        connection::spawn(self.clone(), stream);
    }

    /// Stops the node, from the leading shard: no new connections or requests, answers what is in flight, saves what makes
    /// the next start quick, closes the stores.
    pub async fn stop(self: &Rc<Self>) {
        for shard in Self::shards() {
            let drain = |broker: Rc<Broker>| async move { broker.shutdown.trigger() };
            self.on_shard(shard, Class::Admin, "stop", drain).await;
        }
        for shard in Self::shards() {
            let drain = |broker: Rc<Broker>| async move { broker.drain().await };
            self.on_shard(shard, Class::Admin, "stop", drain).await;
        }
        let metadata_log = self.metadata_log.take();
        if let Some(metadata_log) = metadata_log {
            metadata_log.stop(self).await;
        }
        for shard in Self::shards() {
            let close = |broker: Rc<Broker>| async move { broker.close().await };
            self.on_shard(shard, Class::Admin, "stop", close).await;
        }
        runtime::clear_local::<HeldLock>();
        for shard in Self::shards() {
            let release = |broker: Rc<Broker>| async move {
                runtime::clear_local::<Broker>();
                broker.stopped.trigger();
            };
            self.on_shard(shard, Class::Admin, "stop", release).await;
        }
    }

    async fn drain(self: &Rc<Self>) {
        self.coordinator.stop().await;
        let drained = async {
            loop {
                let closed = self.connection_closed.notified();
                if self.connections.get() == 0 {
                    break;
                }
                closed.await;
            }
        };
        if runtime::timeout(self.settings.stop_grace, drained)
            .await
            .is_err()
        {
            tracing::info!(
                connections = self.connections.get(),
                "closing connections that did not finish in time"
            );
        }
        for partition in self.partitions() {
            // What has no quorum is not committed by waiting for it: the next start reads more headers.
            let saved = runtime::timeout(self.settings.stop_grace, partition.save_producers());
            if saved.await.is_err() {
                break;
            }
        }
    }

    async fn close(self: &Rc<Self>) {
        let stores = std::mem::take(&mut *self.stores.borrow_mut());
        for store in stores.values() {
            store.close().await;
        }
    }
}

async fn hand_over(shard: ShardId, stream: ForeignStream) {
    runtime::post(shard, Class::Admin, "adopt", move || async move {
        // None: the node stopped while the connection was on its way.
        if let Some(broker) = runtime::local::<Broker>() {
            broker.adopt(stream.adopt());
        }
    })
    .await;
}
