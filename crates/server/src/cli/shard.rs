//! A shard for a command: where its client runs, and how its failures are told.

use std::rc::Rc;

use anyhow::Context;
use base::ShardId;
use client::{Client, ClientConfig, ClientError, ProduceError};
use kafka::error::ErrorCode;
use runtime::{Class, Running, ShardsHandle, sync::Shutdown};

use super::ClusterArgs;

/// The only shard of a command.
const SHARD: ShardId = ShardId(0);

/// A running shard; ends when dropped.
pub struct CommandShard {
    running: Option<Running>,
}

impl CommandShard {
    pub fn start() -> anyhow::Result<Self> {
        let config = runtime::Config {
            shards: 1,
            // Pinned it would share the first CPU with the node's first shard while others idle.
            cpus: Some(Vec::new()),
            // A command may well compress for a while: nobody waits for this shard.
            stall: std::time::Duration::from_secs(3600),
            ..runtime::Config::default()
        };
        let running = runtime::start(config, || async {
            let stop = Rc::new(Shutdown::new());
            runtime::set_local(stop.clone());
            stop.triggered().await;
        });
        Ok(Self {
            running: Some(running.context("the I/O of this command does not start")?),
        })
    }

    fn handle(&self) -> ShardsHandle {
        let running = self.running.as_ref();
        running.expect("only dropping takes it").handle()
    }

    /// Runs `call` there and waits for it.
    pub fn run<F, Fut, R>(&self, call: F) -> R
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        let handle = self.handle();
        handle.call_blocking(SHARD, Class::Admin, "command", call)
    }
}

impl Drop for CommandShard {
    fn drop(&mut self) {
        self.run(|| async {
            if let Some(stop) = runtime::local::<Shutdown>() {
                stop.trigger();
            }
        });
        if let Some(running) = self.running.take()
            && let Err(error) = running.join()
        {
            tracing::warn!(%error, "the command's shard did not end well");
        }
    }
}

/// Runs a command that needs a client.
pub fn with_client<F, Fut, R>(cluster: &ClusterArgs, command: F) -> anyhow::Result<R>
where
    F: FnOnce(Client) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<R>> + 'static,
    R: Send + 'static,
{
    let shard = CommandShard::start()?;
    let config = client_config(cluster);
    shard.run(move || async move {
        let client = Client::connect(config).await?;
        command(client).await
    })
}

/// The client's settings for a command.
#[must_use]
pub fn client_config(cluster: &ClusterArgs) -> ClientConfig {
    let mut config = ClientConfig::new(cluster.brokers.clone());
    config.client_id = "forebay-cli".into();
    config.request_timeout = cluster.timeout;
    config.api_timeout = cluster.timeout;
    config
}

/// The error with its causes, and what to do about it where that is known.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}");
    let request = error.chain().find_map(|cause| {
        let produce = cause.downcast_ref::<ProduceError>();
        let within = match produce {
            Some(ProduceError::Request(request)) => Some(request),
            _ => None,
        };
        cause.downcast_ref::<ClientError>().or(within)
    });
    if let Some(hint) = request.and_then(hint) {
        text.push_str("\n  ");
        text.push_str(&hint);
    }
    text
}

fn hint(error: &ClientError) -> Option<String> {
    match error {
        ClientError::Connect { addr, .. } => Some(format!(
            "Is a node running there? `forebay start` starts one; -b HOST:PORT (or $FOREBAY_BROKERS) names another \
             than {addr}."
        )),
        ClientError::UnknownTopic(topic) => Some(format!(
            "`forebay topic create {topic}` creates it; `forebay topic list` shows what there is."
        )),
        ClientError::UnknownPartition { topic, .. } => Some(format!(
            "`forebay topic describe {topic}` shows its partitions."
        )),
        ClientError::Timeout { .. } => {
            Some("Is that a Kafka listener? --timeout waits longer.".into())
        }
        ClientError::Closed { .. } => {
            Some("Has the node stopped? Is that a Kafka listener (without TLS)?".into())
        }
        _ => hint_code(error.code()?).map(str::to_owned),
    }
}

fn hint_code(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::TopicAlreadyExists => {
            "`forebay topic describe` shows it; `forebay topic config` changes it."
        }
        ErrorCode::NonEmptyGroup => "Stop its members first; `forebay group describe` names them.",
        ErrorCode::GroupIdNotFound => "`forebay group list` shows what there is.",
        ErrorCode::MessageTooLarge => {
            "`forebay topic config TOPIC --set max.message.bytes=N` raises the limit."
        }
        ErrorCode::InvalidConfig => {
            "`forebay topic describe TOPIC --all` shows every setting and its value."
        }
        ErrorCode::OffsetOutOfRange => {
            "`forebay topic describe TOPIC` shows first and next offsets."
        }
        _ => return None,
    })
}
