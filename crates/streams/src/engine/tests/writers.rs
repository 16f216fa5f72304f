//! Records that name their writers' schemas by numbers, some of which are not known yet, under a node that is killed.

use runtime::sim::HostId;

use super::{
    faults::{failure_of, sink},
    *,
};
use crate::format::{Framing, WriterSchemas};

const SCHEMA: &str =
    r#"{"type": "record", "name": "r", "fields": [{"name": "n", "type": "long"}]}"#;

fn framed() -> Definition {
    Definition::Source(Source {
        schema: schema(&[("n", DataType::Int64)]),
        format: Format::Avro {
            schema: SCHEMA.into(),
            paths: Vec::new(),
            framing: Framing::Registry,
        },
        metadata: BTreeMap::new(),
        watermark: None,
        ..source(OnMalformed::Skip)
    })
}

fn relations() -> Vec<NewRelation> {
    vec![
        new(1, "s", framed()),
        new(2, "v", view("s", &[0])),
        new(3, "k", sink("s")),
    ]
}

struct World {
    sim: Sim,
    node: HostId,
    log: Rc<Memory>,
    /// As the node's registry knows them; `None`: it cannot be read.
    known: Rc<RefCell<Option<Rc<WriterSchemas>>>>,
    engine: Rc<RefCell<Option<Rc<Engine>>>>,
}

impl World {
    fn new(known: &[u32]) -> Self {
        let sim = Sim::new(SimConfig::new(1));
        let log = Rc::new(Memory::default());
        log.make("in", 1);
        log.make("out", 1);
        let schemas = Rc::new(WriterSchemas::default());
        for number in known {
            schemas.add(*number, Arc::new(SCHEMA.into()));
        }
        let known = Rc::new(RefCell::new(Some(schemas)));
        let engine = Rc::new(RefCell::new(None));
        let its = (log.clone(), known.clone(), engine.clone());
        let node = sim.host("node", 1, move || {
            let (log, known, engine) = its.clone();
            async move {
                if let Some(known) = known.borrow().clone() {
                    runtime::set_local(known);
                }
                let (dir, none) = (Path::new("data"), PlantedBugs::default());
                let started = Engine::start(log, dir, relations(), none, usize::MAX).await;
                engine.replace(Some(started.expect("a sound checkpoint")));
                std::future::pending::<()>().await;
            }
        });
        Self {
            sim,
            node,
            log,
            known,
            engine,
        }
    }

    fn learn(&self, number: u32) {
        let known = self.known.borrow().clone().expect("it can be read");
        known.add(number, Arc::new(SCHEMA.into()));
    }

    /// A record of that schema with a number below 64.
    fn put(&self, schema: u8, n: u8) {
        let value = [0, 0, 0, 0, schema, n * 2];
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(TimestampMs(1000), None, Some(&value), &[]);
        let key = PartitionKey {
            topic: self.log.topic("in").expect("it was made").id,
            partition: PartitionIndex(0),
        };
        self.log.put_batch(key, builder.finish());
        self.run_ms(500);
    }

    fn run_ms(&self, ms: u64) {
        self.sim.run_for(Duration::from_millis(ms));
    }

    fn kill(&self) {
        self.sim.kill(self.node);
        self.sim.restart(self.node);
        self.run_ms(1000);
    }

    /// What the sink has written, and how many rows the view has.
    fn check(&self, written: &[u8]) {
        let values = self.log.records("out");
        let values: Vec<&str> = values.iter().map(|(value, _)| value.as_str()).collect();
        let wanted = written.iter().map(|n| format!("{{\"n\":{n}}}"));
        assert_eq!(values, wanted.collect::<Vec<_>>());
        let engine = self.engine.borrow().clone().expect("it has started");
        let rows = async move { rows_of(&engine, "v").await };
        let rows = self.sim.run_on(self.node, LIMIT, rows);
        assert_eq!(rows.expect("an answer in time"), Ok(written.len()));
    }
}

#[test]
fn epochs_are_gone_through_again_with_the_schemas_of_then() {
    // Between two epochs that are decided together, before the crash, and behind it.
    for learnt_at in 0..3 {
        let world = World::new(&[7]);
        world.put(7, 1);
        world.run_ms(7000);
        world.put(9, 2);
        if learnt_at == 0 {
            world.learn(9);
        }
        world.put(7, 3);
        if learnt_at == 1 {
            world.learn(9);
        }
        world.kill();
        world.check(&[1, 3]);
        if learnt_at == 2 {
            world.learn(9);
        }
        world.put(9, 4);
        world.check(&[1, 3, 4]);
        world.kill();
        world.check(&[1, 3, 4]);
    }
}

#[test]
fn without_the_registry_nothing_is_skipped() {
    let world = World::new(&[7]);
    let known = world.known.take();
    world.kill();
    world.put(7, 1);
    world.run_ms(12_000);
    assert_eq!(world.log.records("out").len(), 0);
    world.known.replace(known);
    world.kill();
    world.check(&[1]);
}

#[test]
fn no_source_is_made_that_could_not_be_read() {
    on_engine(async |_, engine| {
        let refused = make(&engine, 1, "s", framed()).await;
        let refused = refused.expect_err("nobody knows any schema");
        assert!(refused.contains("registry was not read"), "{refused}");
        runtime::set_local(Rc::new(WriterSchemas::default()));
        make(&engine, 1, "s", framed()).await.expect("it was read");
        make(&engine, 2, "v", view("s", &[0]))
            .await
            .expect("a view");
        assert_eq!(failure_of(&engine, "v"), None);
    });
}
