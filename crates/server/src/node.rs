//! A node: all of its parts put together, on every shard of a runtime, real or simulated.
//!
//! # Place       one per shard; the leading shard binds the listener and stops the node
//! # Instead of  threads, HTTP or signals here: a simulated host runs exactly this

use std::{net::SocketAddr, rc::Rc};

use base::BrokerId;
use broker::{
    Broker, OpenError, Settings,
    open::{OpenReport, leading_shard},
};
use runtime::net::TcpListener;

use crate::config;

/// What a node is started with; every shard gets the same.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub settings: Settings,
    pub kafka_addr: SocketAddr,
}

/// Why a node does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    #[error("cannot listen on {addr}: {error}")]
    Listen { addr: SocketAddr, error: String },
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// This shard's part of a running node.
pub struct Node {
    broker: Rc<Broker>,
    kafka_addr: Option<SocketAddr>,
    report: OpenReport,
}

impl NodeConfig {
    /// The settings of a configuration.
    #[must_use]
    pub fn from_config(config: &config::Settings) -> Self {
        let mut settings = Settings::new(&config.data_dir);
        settings.broker = BrokerId(i32::from(config.broker_id));
        settings.advertised = config
            .advertised_addr
            .as_ref()
            .map(|advertised| (advertised.host.clone(), advertised.port));
        settings.auto_create_topics = config.auto_create_topics;
        settings.partitions_default = i32::from(config.default_partitions);
        settings.topic_defaults = cluster::TopicDefaults::new(config.topic_defaults.0.clone())
            .expect("loading the configuration checked them");
        settings.offsets_partitions = i32::from(config.offsets_partitions);
        settings.connections_max = config.connections_max as usize;
        settings.connection_idle = std::time::Duration::from_millis(config.connection_idle.0);
        settings.network_bytes = config.network_bytes.0;
        settings.fetch_bytes = config.fetch_bytes.0;
        settings.stop_grace = std::time::Duration::from_millis(config.stop_grace.0);
        settings.store.journal_file_bytes = config.journal_file_bytes.0;
        settings.store.journal_files_max = usize::from(config.journal_files);
        settings.store.cache_bytes = config.cache_bytes.0;
        settings.store.free_bytes_min = config.free_bytes_min.0;
        settings.store.free_bytes_warn = config.free_bytes_warn.0;
        Self {
            settings,
            kafka_addr: config.kafka_addr,
        }
    }
}

impl Node {
    /// Starts this shard's part; every shard of the host calls it once. On the leading shard it returns when the node
    /// serves, on the others when they are open.
    pub async fn start_on_shard(config: NodeConfig) -> Result<Self, NodeError> {
        let (broker, report) = Broker::open(config.settings).await?;
        let mut kafka_addr = None;
        if runtime::shard() == leading_shard() {
            let listener = match TcpListener::bind(config.kafka_addr).await {
                Ok(listener) => listener,
                Err(error) => {
                    // The other shards are open and wait in `stopped`.
                    broker.stop().await;
                    return Err(NodeError::Listen {
                        addr: config.kafka_addr,
                        error: error.to_string(),
                    });
                }
            };
            kafka_addr = Some(listener.local_addr());
            broker.serve(listener).await;
        }
        Ok(Self {
            broker,
            kafka_addr,
            report,
        })
    }

    /// Where clients connect; only the leading shard knows.
    #[must_use]
    pub fn kafka_addr(&self) -> Option<SocketAddr> {
        self.kafka_addr
    }

    /// What start-up found; on the leading shard.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Stops the whole node, from the leading shard; returns when everything is on disk.
    pub async fn stop(&self) {
        #[cfg(feature = "pipelines")]
        crate::pipelines::stop().await;
        self.broker.stop().await;
    }

    /// Resolves when the node has stopped, on any shard.
    pub async fn stopped(&self) {
        self.broker.stopped().await;
    }
}
