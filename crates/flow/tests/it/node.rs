//! A node in this process, at real sockets, and records of the counting example in and out of it.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    rc::Rc,
    sync::mpsc,
    time::Duration,
};

use base::ShardId;
use broker::{Broker, Settings};
use client::{
    Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, Start,
};
use flow::{Cluster, Event};
use runtime::{Class, net::TcpListener, sync::Shutdown};

use crate::examples::counting::{Visit, Visits};

const LIMIT: Duration = Duration::from_secs(60);

/// A node in this process, on a thread of its own.
pub struct Node {
    running: Option<runtime::Running>,
    pub addr: SocketAddr,
    pub dir: PathBuf,
}

impl Node {
    /// `name`: of its directory, in this process.
    pub fn start(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("flow-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).expect("a directory can be made");
        let config = runtime::Config {
            cpus: Some(Vec::new()),
            ..runtime::Config::default()
        };
        let (give, take) = mpsc::channel();
        let data_dir = dir.join("node");
        let running = runtime::start(config, move || serve(data_dir.clone(), give.clone()));
        Self {
            running: Some(running.expect("a shard starts")),
            addr: take.recv().expect("it serves"),
            dir,
        }
    }

    pub fn cluster(&self, state: &str) -> Cluster {
        Cluster::new(&self.addr.to_string(), self.dir.join(state))
    }

    fn call<F, Fut, R>(&self, call: F) -> R
    where
        F: FnOnce(Client) -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        let addr = self.addr.to_string();
        let running = self.running.as_ref().expect("only dropping takes it");
        let handle = running.handle();
        handle.call_blocking(ShardId(0), Class::Admin, "test", move || async move {
            let client = Client::connect(ClientConfig::new(vec![addr])).await;
            call(client.expect("it serves")).await
        })
    }

    pub fn produce(&self, pages: Vec<String>) {
        self.call(move |client| async move {
            let producer = Producer::new(&client, ProducerConfig::default());
            for page in pages {
                let value = Visit { page }.to_bytes();
                let sent = producer.send(ProducerRecord {
                    topic: "visits",
                    partition: None,
                    key: None,
                    value: Some(&value),
                    headers: &[],
                    timestamp: None,
                });
                sent.await.expect("the record is taken");
            }
            producer.close().await.expect("all are acknowledged");
        });
    }

    /// What was told of a page, once there is so much.
    pub fn counts(&self, page: &str, count: usize) -> Vec<u64> {
        let page = page.to_owned();
        self.call(move |client| async move {
            let consumer = Consumer::new(&client, ConsumerConfig::default());
            let assigned = consumer.assign_topics(&["counts"], Start::Beginning);
            assigned.await.expect("the topic is there");
            let mut counts = Vec::new();
            while counts.len() < count {
                for part in consumer.poll(LIMIT).await.expect("reads") {
                    let read = part.for_each(|record| {
                        let value = record.value.expect("values are written");
                        let told = Visits::decode(&value).expect("it is a message");
                        if told.page == page {
                            counts.push(told.count);
                        }
                        true
                    });
                    read.expect("sound records");
                }
            }
            counts
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let handle = running.handle();
            handle.call_blocking(ShardId(0), Class::Admin, "stop", || async {
                if let Some(stop) = runtime::local::<Shutdown>() {
                    stop.trigger();
                }
            });
            drop(running.join());
        }
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

async fn serve(data_dir: PathBuf, addr: mpsc::Sender<SocketAddr>) {
    let stop = Rc::new(Shutdown::new());
    runtime::set_local(stop.clone());
    let mut settings = Settings::new(&data_dir);
    settings.store.journal_file_bytes = 4 << 20;
    settings.store.free_bytes_min = 1 << 20;
    settings.store.free_bytes_warn = 2 << 20;
    let (broker, _) = Broker::open(settings).await.expect("a node opens");
    for topic in ["visits", "counts"] {
        let made = broker.ensure_topic(topic, 1).await;
        made.expect("the topic can be made");
    }
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let listener = listener.expect("there is a port");
    addr.send(listener.local_addr()).expect("it is waited for");
    runtime::spawn(Class::Admin, "serve", async move {
        broker.serve(listener).await;
    });
    stop.triggered().await;
}
