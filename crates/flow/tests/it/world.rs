//! A node, a machine with an app, and one with clients, simulated.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use base::PartitionIndex;
use broker::{Broker, Settings, open::leading_shard};
use client::{
    Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, Start,
};
use flow::{App, Cluster, Deployed, Event, RunError, cluster::PlantedBugs, store::StoreChoice};
use runtime::{
    net::TcpListener,
    sim::{DiskImage, HostId, Sim, SimConfig},
};

const PORT: u16 = 9092;
pub const LIMIT: Duration = Duration::from_secs(300);

type Build = Rc<dyn Fn() -> App>;

pub struct Shared {
    ip: Cell<IpAddr>,
    pub topics: RefCell<Vec<(String, i32)>>,
    build: RefCell<Option<Build>>,
    /// Why the app does not run, if it will never.
    pub refused: RefCell<Option<String>>,
    pub is_running: Cell<bool>,
    pub stores: RefCell<StoreChoice>,
    pub planted: Cell<PlantedBugs>,
}

/// Of a world with several machines for apps: as one of those sees it.
pub struct World {
    pub sim: Rc<Sim>,
    pub node: HostId,
    pub app: HostId,
    pub clients: HostId,
    pub shared: Rc<Shared>,
}

async fn serve(shared: Rc<Shared>) {
    let mut settings = Settings::new("/forebay");
    settings.advertised = Some((shared.ip.get().to_string(), PORT));
    settings.store.journal_file_bytes = 4 << 20;
    settings.store.free_bytes_min = 1 << 20;
    settings.store.free_bytes_warn = 2 << 20;
    let (broker, _) = Broker::open(settings)
        .await
        .expect("nothing fails but power");
    if runtime::shard() == leading_shard() {
        let topics = shared.topics.borrow().clone();
        for (topic, partitions) in topics {
            broker
                .ensure_topic(&topic, partitions)
                .await
                .expect("the topic can be made");
        }
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).await;
        broker.serve(listener.expect("the port is free")).await;
    }
    broker.stopped().await;
}

async fn run_app(shared: Rc<Shared>) {
    let Some(build) = shared.build.borrow().clone() else {
        return;
    };
    loop {
        let app = build();
        let name = app.name().to_owned();
        let relations = app.into_relations().expect("the app is one");
        let cluster = Cluster {
            client: config(&shared),
            state_dir: "/state".into(),
            stores: shared.stores.borrow().clone(),
            planted: shared.planted.get(),
        };
        match Deployed::start(&name, relations, cluster).await {
            Ok(deployed) => {
                runtime::set_local(Rc::new(deployed));
                shared.is_running.set(true);
                return;
            }
            // The node may be down.
            Err(RunError::Client(_)) => runtime::sleep(Duration::from_millis(300)).await,
            Err(error) => {
                shared.refused.replace(Some(error.to_string()));
                return;
            }
        }
    }
}

pub async fn connect(shared: &Shared) -> Client {
    loop {
        match Client::connect(config(shared)).await {
            Ok(client) => return client,
            // The node comes back.
            Err(_) => runtime::sleep(Duration::from_millis(100)).await,
        }
    }
}

pub fn config(shared: &Shared) -> ClientConfig {
    let mut config = ClientConfig::new(vec![format!("{}:{PORT}", shared.ip.get())]);
    config.request_timeout = Duration::from_secs(3);
    config.api_timeout = Duration::from_secs(10);
    config
}

impl World {
    pub fn new(seed: u64, topics: &[(&str, i32)]) -> Self {
        let sim = Rc::new(Sim::new(SimConfig::new(seed)));
        let topics = topics
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count));
        let shared = Rc::new(Shared {
            ip: Cell::new(Ipv4Addr::UNSPECIFIED.into()),
            topics: RefCell::new(topics.collect()),
            build: RefCell::default(),
            refused: RefCell::default(),
            is_running: Cell::new(false),
            stores: RefCell::default(),
            planted: Cell::default(),
        });
        let slot = shared.clone();
        let node = sim.host("node", 2, move || serve(slot.clone()));
        shared.ip.set(sim.ip(node));
        let slot = shared.clone();
        let app = sim.host("app", 1, move || run_app(slot.clone()));
        let clients = sim.host("clients", 1, || async {});
        Self {
            sim,
            node,
            app,
            clients,
            shared,
        }
    }

    /// The same world with another machine for the app.
    pub fn second(&self) -> Self {
        let shared = Rc::new(Shared {
            ip: self.shared.ip.clone(),
            topics: self.shared.topics.clone(),
            build: RefCell::default(),
            refused: RefCell::default(),
            is_running: Cell::new(false),
            stores: RefCell::default(),
            planted: Cell::default(),
        });
        let slot = shared.clone();
        Self {
            sim: self.sim.clone(),
            node: self.node,
            app: self.sim.host("second", 1, move || run_app(slot.clone())),
            clients: self.clients,
            shared,
        }
    }

    /// This machine is down and has the state of another from now on.
    pub fn take_state(&self, image: &DiskImage) {
        self.sim.kill(self.app);
        self.sim.set_disk_image(self.app, image);
        // With the disk came the locks of those who had its files open.
        self.sim.power_cut(self.app);
    }

    /// Why a part of the app has stopped, if one has.
    pub fn failure(&self) -> Option<String> {
        let checked = self.sim.run_on(self.app, LIMIT, async {
            let deployed = runtime::local::<Deployed>().expect("the app runs");
            deployed.check().err().map(|error| error.to_string())
        });
        checked.expect("asking ends")
    }

    /// Stops the app that runs, however that was to end, and starts this one.
    pub fn deploy(&self, build: impl Fn() -> App + 'static) {
        self.sim.kill(self.app);
        self.shared.build.replace(Some(Rc::new(build)));
        self.shared.refused.replace(None);
        self.shared.is_running.set(false);
        self.sim.restart(self.app);
    }

    pub fn restart_app(&self) {
        self.shared.is_running.set(false);
        self.sim.restart(self.app);
    }

    /// Until the app runs, or says why it does not.
    pub fn wait_started(&self) -> Result<(), String> {
        let shared = self.shared.clone();
        let done = || shared.is_running.get() || shared.refused.borrow().is_some();
        assert!(self.sim.run_until(LIMIT, done), "the app does not start");
        match self.shared.refused.borrow().clone() {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    /// Until everything that was written is in the app.
    pub fn flush(&self) {
        let flushed = self.sim.run_on(self.app, LIMIT, async {
            let deployed = runtime::local::<Deployed>().expect("the app runs");
            deployed.check().expect("every part runs");
            deployed.flush().await
        });
        flushed
            .expect("flushing ends")
            .expect("everything can be read");
    }

    /// Rows of a state's table, as text.
    pub fn table(&self, name: &str) -> Vec<Vec<String>> {
        let name = name.to_owned();
        let rows = self.sim.run_on(self.app, LIMIT, async move {
            let deployed = runtime::local::<Deployed>().expect("the app runs");
            deployed.table(&name).await
        });
        let batches = rows.expect("asking ends").expect("the table is there");
        let mut rows: Vec<Vec<String>> = batches.iter().flat_map(text::rows).collect();
        rows.sort();
        rows
    }

    /// Writes values, in their order, each to its partition.
    pub fn produce(&self, topic: &str, values: Vec<(i32, Vec<u8>)>) {
        let (shared, topic) = (self.shared.clone(), topic.to_owned());
        let done = self.sim.run_on(self.clients, LIMIT, async move {
            let client = connect(&shared).await;
            let producer = Producer::new(&client, ProducerConfig::default());
            for (partition, value) in &values {
                let sent = producer.send(ProducerRecord {
                    topic: &topic,
                    partition: Some(PartitionIndex(*partition)),
                    key: None,
                    value: Some(value),
                    headers: &[],
                    timestamp: None,
                });
                sent.await.expect("the record is taken");
            }
            producer.close().await.expect("all are acknowledged");
        });
        done.expect("producing ends");
    }

    /// All values of a topic: by partition, in their order.
    pub fn consume<T: Event>(&self, topic: &str) -> BTreeMap<i32, Vec<T>> {
        let (shared, topic) = (self.shared.clone(), topic.to_owned());
        let read = self.sim.run_on(self.clients, LIMIT, async move {
            let client = connect(&shared).await;
            let consumer = Consumer::new(&client, ConsumerConfig::default());
            consumer
                .assign_topics(&[&topic], Start::Beginning)
                .await
                .expect("the topic is there");
            let mut values: BTreeMap<i32, Vec<T>> = BTreeMap::new();
            loop {
                let fetched = consumer.poll(Duration::from_secs(2)).await.expect("reads");
                if fetched.is_empty() {
                    return values;
                }
                for part in fetched {
                    part.for_each(|record| {
                        let value = record.value.expect("values are written");
                        let value = T::decode(&value).expect("it is a message");
                        values.entry(part.partition.0).or_default().push(value);
                        true
                    })
                    .expect("sound records");
                }
            }
        });
        read.expect("reading ends")
    }
}

/// Rows as text.
mod text {
    use arrow_array::{
        Array, RecordBatch,
        cast::AsArray,
        types::{Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType},
    };

    pub fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
        (0..batch.num_rows())
            .map(|row| {
                batch
                    .columns()
                    .iter()
                    .map(|column| value(column, row))
                    .collect()
            })
            .collect()
    }

    fn value(column: &dyn Array, row: usize) -> String {
        if column.is_null(row) {
            return "null".to_owned();
        }
        if let Some(text) = column.as_string_opt::<i32>() {
            return text.value(row).to_owned();
        }
        if let Some(number) = column.as_primitive_opt::<Int64Type>() {
            return number.value(row).to_string();
        }
        if let Some(number) = column.as_primitive_opt::<Int32Type>() {
            return number.value(row).to_string();
        }
        if let Some(number) = column.as_primitive_opt::<Decimal128Type>() {
            return number.value(row).to_string();
        }
        if let Some(number) = column.as_primitive_opt::<Float64Type>() {
            return number.value(row).to_string();
        }
        if let Some(time) = column.as_primitive_opt::<TimestampMicrosecondType>() {
            return time.value(row).to_string();
        }
        format!("{:?}", column.data_type())
    }
}
