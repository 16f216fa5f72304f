//! An app: streams from topics through steps into topics, put together.
//!
//! # Invariants
//! 1. Parts stand in the order in which they were made, so each behind all that it reads.
//! 2. A part's id is a function of its name: its state is found again by it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    marker::PhantomData,
    rc::Rc,
    sync::Arc,
};

use base::hash::fnv1a;
use streams::{
    Definition, Operator, Plan,
    definition::{Envelope, Sink, Stream as StreamDefinition, TopicInput, View, Watermark},
    engine::{NewRelation, PROGRAM_IDS},
    expression::Column,
    format::{Format, FormatError, Malformed},
    plan::Input,
};

use crate::{
    event::{Event, Schema, Timestamp, micros},
    evolution::StepSchema,
    process::Process,
    rows::{self, IsOutput},
    stage::{Branch, Branches, Start, ToKey, ToTopic},
    state::State,
    step::{DecodeInput, Step},
    stream::{KeyedStream, Stream},
    table::{Table, ToColumns},
    topic::{Decode, Reader, Record, TimeOf},
};

/// Why an app is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    #[error("two parts are called {0}")]
    Name(String),
    #[error("two types are called {0}: name one of them with `#[event(name = \"…\")]`")]
    Type(String),
    #[error(
        "{0} waits for the watermark, but no time was declared: call `event_time` on its topics"
    )]
    Time(String),
    #[error("the state of {step} cannot be a table: {source}")]
    Table { step: String, source: FormatError },
}

/// See the module head.
pub struct App {
    pub(crate) parts: Rc<Parts>,
}

/// What an app has so far.
pub(crate) struct Parts {
    pub name: String,
    all: RefCell<Vec<Box<dyn Part>>>,
    problems: RefCell<Vec<AppError>>,
}

/// A part of an app, and what the engine is to make of it.
trait Part {
    fn relations(&self, out: &mut Relations) -> Result<(), AppError>;
}

/// What the engine runs of an app.
#[derive(Clone, Debug, Default)]
pub struct Relations {
    pub relations: Vec<NewRelation>,
}

impl Relations {
    fn add(&mut self, name: String, definition: Definition) {
        self.relations.push(NewRelation {
            id: PROGRAM_IDS | fnv1a(name.as_bytes()),
            name,
            definition,
        });
    }

    /// The topics that are read.
    pub fn reads(&self) -> BTreeSet<&str> {
        let all = self.relations.iter();
        all.filter_map(|relation| relation.definition.topic_read())
            .collect()
    }

    /// The topics that are written to.
    pub fn writes(&self) -> BTreeSet<&str> {
        let all = self.relations.iter();
        all.filter_map(|relation| relation.definition.topic_written())
            .collect()
    }

    /// Those of another app beside these. Fails when one is called as another is: their rows and their state would be taken
    /// for each other's.
    pub fn with(mut self, other: Self) -> Result<Self, AppError> {
        self.relations.extend(other.relations);
        self.check_names()?;
        Ok(self)
    }

    /// Names of a step's own, and of what has its tables.
    pub(crate) fn of_step(&self, app: &str, step: &str) -> Vec<String> {
        let own = step_name(app, step);
        let reads_it = |definition: &Definition| match definition {
            Definition::View(view) => view.plan.nodes.iter().any(
                |node| matches!(&node.operator, Operator::Input(input) if input.relation == own),
            ),
            _ => false,
        };
        let all = self.relations.iter();
        let its = all.filter(|relation| relation.name == own || reads_it(&relation.definition));
        its.map(|relation| relation.name.clone()).collect()
    }

    fn check_names(&self) -> Result<(), AppError> {
        let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for relation in &self.relations {
            // Ids are hashes of the names.
            if !names.insert(&relation.name) || !ids.insert(relation.id) {
                return Err(AppError::Name(relation.name.clone()));
            }
        }
        Ok(())
    }
}

/// Where items come into being: their branches lead away from it.
pub(crate) struct Origin<T> {
    pub relation: String,
    branches: RefCell<Vec<Box<dyn Branch<T>>>>,
    outputs: Cell<i32>,
    pub has_time: bool,
}

impl<T> Origin<T> {
    fn new(relation: String, has_time: bool) -> Rc<Self> {
        Rc::new(Self {
            relation,
            branches: RefCell::default(),
            outputs: Cell::new(0),
            has_time,
        })
    }

    /// The number of an output that nobody has yet.
    fn next_output(&self) -> i32 {
        let next = self.outputs.get();
        self.outputs.set(next + 1);
        next
    }

    fn add(&self, branch: impl FnOnce(i32) -> Box<dyn Branch<T>>) -> i32 {
        let output = self.next_output();
        self.branches.borrow_mut().push(branch(output));
        output
    }

    fn take_branches(&self) -> Branches<T> {
        self.branches.take().into()
    }
}

/// One output of a part, as others read it.
#[derive(Clone)]
pub(crate) struct Port {
    pub relation: String,
    pub output: i32,
    pub has_time: bool,
}

impl App {
    /// Its name stands in the names of its parts, and in that of its outbox.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            parts: Rc::new(Parts {
                name: name.to_owned(),
                all: RefCell::default(),
                problems: RefCell::default(),
            }),
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// The events of a topic, whose values are messages. Records that are none are counted and passed over.
    pub fn topic<T: Event>(&self, topic: &str) -> TopicStream<T> {
        self.topic_of(topic, |record| {
            let value = record.value.ok_or(Malformed::Tombstone)?;
            Ok(T::decode(value)?)
        })
    }

    /// The records of a topic as they are.
    pub fn records(&self, topic: &str) -> TopicStream<Record> {
        self.topic_of(topic, |record| Ok(Record::of(&record)))
    }

    fn topic_of<T: Clone + Send + 'static>(
        &self,
        topic: &str,
        decode: Decode<T>,
    ) -> TopicStream<T> {
        let relation = format!("{}:topic:{topic}", self.parts.name);
        TopicStream {
            parts: self.parts.clone(),
            relation,
            topic: topic.to_owned(),
            decode,
            time: None,
        }
    }

    /// What the engine is to run.
    pub fn into_relations(self) -> Result<Relations, AppError> {
        if let Some(problem) = self.parts.problems.take().into_iter().next() {
            return Err(problem);
        }
        let mut relations = Relations::default();
        for part in self.parts.all.take() {
            part.relations(&mut relations)?;
        }
        relations.check_names()?;
        Ok(relations)
    }
}

/// A topic of which nothing is said yet but its type.
#[must_use = "a topic does nothing unless something reads it"]
pub struct TopicStream<T> {
    parts: Rc<Parts>,
    relation: String,
    topic: String,
    decode: Decode<T>,
    time: Option<(TimeOf<T>, i64)>,
}

impl<T: Clone + Send + 'static> TopicStream<T> {
    /// When an event happened, and how far behind the newest one events are waited for. Without it an event has the time of
    /// its record, and nothing waits for the watermark.
    pub fn event_time(
        self,
        wait: std::time::Duration,
        time: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
    ) -> Stream<Start<T>> {
        Self {
            time: Some((Arc::new(time), micros(wait))),
            ..self
        }
        .stream()
    }

    /// Its events; what a stream can do, it does on this.
    pub fn stream(self) -> Stream<Start<T>> {
        let origin = Origin::new(self.relation, self.time.is_some());
        self.parts.all.borrow_mut().push(Box::new(TopicPart {
            origin: origin.clone(),
            topic: self.topic,
            decode: self.decode,
            time: self.time,
        }));
        Stream::new(self.parts, origin, Start::default())
    }
}

struct TopicPart<T> {
    origin: Rc<Origin<T>>,
    topic: String,
    decode: Decode<T>,
    time: Option<(TimeOf<T>, i64)>,
}

impl<T: Clone + Send + 'static> Part for TopicPart<T> {
    fn relations(&self, out: &mut Relations) -> Result<(), AppError> {
        let watermark = self.time.as_ref().map(|(_, delay_us)| Watermark {
            column: rows::TIME,
            delay_us: *delay_us,
            future_us_max: Watermark::FUTURE_US_MAX,
        });
        let mut plan = Plan::default();
        let input = Operator::Input(Input {
            relation: self.topic.clone(),
            columns: (0..rows::schema().fields().len()).collect(),
            is_append_only: true,
            time: watermark.map(|watermark| watermark.column),
        });
        plan.add(input, &[], rows::schema());
        let reader = Reader {
            decode: self.decode,
            time: self.time.as_ref().map(|(time, _)| time.clone()),
            branches: self.origin.take_branches(),
        };
        let definition = StreamDefinition {
            plan,
            topic: Some(TopicInput {
                topic: self.topic.clone(),
                reader: Arc::new(reader),
                schema: rows::schema(),
                watermark,
            }),
        };
        out.add(self.origin.relation.clone(), Definition::Stream(definition));
        Ok(())
    }
}

/// Rows of one output of another part; the node behind is the last.
fn read(plan: &mut Plan, port: &Port) -> streams::NodeId {
    let input = Operator::Input(Input {
        relation: port.relation.clone(),
        columns: (0..rows::schema().fields().len()).collect(),
        is_append_only: false,
        time: port.has_time.then_some(rows::TIME),
    });
    let input = plan.add(input, &[], rows::schema());
    let is_output = Operator::Filter(Arc::new(IsOutput(port.output)));
    plan.add(is_output, &[input], rows::schema())
}

struct StepPart<P: Process> {
    origin: Rc<Origin<P::Output>>,
    name: String,
    process: Arc<P>,
    ports: Vec<(Port, DecodeInput<P>)>,
}

impl<P: Process> Part for StepPart<P> {
    fn relations(&self, out: &mut Relations) -> Result<(), AppError> {
        let fields = P::State::fields();
        let mut types = Schema::of::<P::Key>();
        for field in &fields {
            (field.shape.describe)(&mut types);
        }
        if let Some(clash) = types.clashes().first() {
            return Err(AppError::Type(clash.clone()));
        }
        let schema = StepSchema::of::<P::Key, P::State>().to_text();
        let mut views = Vec::new();
        let mut tables = std::collections::BTreeMap::new();
        for field in fields {
            let table = Table::of::<P::Key>(&field).map_err(|source| AppError::Table {
                step: self.name.clone(),
                source,
            })?;
            if table.columns.fields().is_empty() {
                continue;
            }
            let output = self.origin.next_output();
            tables.insert(field.number, output);
            let name = match field.name {
                "" => self.name.clone(),
                field => format!("{}_{field}", self.name),
            };
            views.push((name, self.view(output, table, &schema)));
        }
        let mut plan = Plan::default();
        let inputs: Vec<_> = self
            .ports
            .iter()
            .map(|(port, _)| read(&mut plan, port))
            .collect();
        let step = Step::<P> {
            name: self.name.clone(),
            process: self.process.clone(),
            ports: self.ports.iter().map(|(_, decode)| *decode).collect(),
            branches: self.origin.take_branches(),
            tables,
            has_time: self.origin.has_time,
        };
        plan.add(Operator::Custom(Arc::new(step)), &inputs, rows::schema());
        let stream = StreamDefinition { plan, topic: None };
        out.add(self.origin.relation.clone(), Definition::Stream(stream));
        for (name, view) in views {
            out.add(name, Definition::View(view));
        }
        Ok(())
    }
}

impl<P: Process> StepPart<P> {
    fn view(&self, output: i32, table: Table, schema: &str) -> View {
        let mut plan = Plan::default();
        let port = Port {
            relation: self.origin.relation.clone(),
            output,
            has_time: false,
        };
        let rows = read(&mut plan, &port);
        let (columns, key) = (table.columns.clone(), table.key);
        let to_columns = ToColumns {
            table,
            schema: schema.to_owned(),
        };
        plan.add(Operator::Custom(Arc::new(to_columns)), &[rows], columns);
        View {
            plan,
            key: (key > 0).then(|| (0..key).collect()),
        }
    }
}

struct SinkPart {
    name: String,
    port: Port,
    topic: String,
    has_key: bool,
}

impl Part for SinkPart {
    fn relations(&self, out: &mut Relations) -> Result<(), AppError> {
        let mut plan = Plan::default();
        let rows = read(&mut plan, &self.port);
        let wanted = match self.has_key {
            true => vec![rows::KEY, rows::VALUE],
            false => vec![rows::VALUE],
        };
        let schema = rows::schema().project(&wanted);
        let schema = schema.expect("the columns are there");
        let columns = wanted.iter().map(|at| Arc::new(Column(*at)) as _).collect();
        plan.add(Operator::Project(columns), &[rows], Arc::new(schema));
        let sink = Sink {
            topic: Some(self.topic.clone()),
            plan,
            format: Format::Raw,
            envelope: Envelope::Append,
            key: if self.has_key { vec![0] } else { Vec::new() },
        };
        out.add(self.name.clone(), Definition::Sink(sink));
        Ok(())
    }
}

impl Parts {
    fn check_time(&self, step: &str, ports: &[&Port], needs_time: bool) {
        if needs_time && ports.iter().any(|port| !port.has_time) {
            let problem = AppError::Time(step.to_owned());
            self.problems.borrow_mut().push(problem);
        }
    }
}

fn step_name(app: &str, step: &str) -> String {
    format!("{app}:step:{step}")
}

/// Adds a step that reads these ports.
pub(crate) fn add_step<P: Process>(
    parts: &Rc<Parts>,
    name: &str,
    process: P,
    ports: Vec<(Port, DecodeInput<P>)>,
    needs_time: bool,
) -> Stream<Start<P::Output>> {
    let read: Vec<&Port> = ports.iter().map(|(port, _)| port).collect();
    parts.check_time(name, &read, needs_time);
    let has_time = read.iter().all(|port| port.has_time);
    let origin = Origin::new(step_name(&parts.name, name), has_time);
    parts.all.borrow_mut().push(Box::new(StepPart {
        origin: origin.clone(),
        name: name.to_owned(),
        process: Arc::new(process),
        ports,
    }));
    Stream::new(parts.clone(), origin, Start::default())
}

/// Adds a branch to those that read by a key.
pub(crate) fn add_key<S, K, F>(stream: Stream<S>, key: F) -> KeyedStream<K, S::Out>
where
    S: crate::stage::Stage,
    S::Out: Event,
    K: Event,
    F: Fn(&S::Out) -> K + Send + Sync + 'static,
{
    let Stream {
        parts,
        origin,
        stage,
    } = stream;
    let output = origin.add(|output| Box::new(ToKey { stage, key, output }));
    KeyedStream {
        parts,
        port: Port {
            relation: origin.relation.clone(),
            output,
            has_time: origin.has_time,
        },
        of: PhantomData,
    }
}

/// Adds a branch into a topic.
pub(crate) fn add_sink<S, F>(stream: Stream<S>, topic: &str, has_key: bool, record: F)
where
    S: crate::stage::Stage,
    F: Fn(&S::Out) -> (Option<Vec<u8>>, Vec<u8>) + Send + Sync + 'static,
{
    let Stream {
        parts,
        origin,
        stage,
    } = stream;
    let output = origin.add(|output| {
        Box::new(ToTopic {
            stage,
            record,
            output,
        })
    });
    parts.all.borrow_mut().push(Box::new(SinkPart {
        name: format!("{}:to:{topic}", origin.relation),
        port: Port {
            relation: origin.relation.clone(),
            output,
            has_time: false,
        },
        topic: topic.to_owned(),
        has_key,
    }));
}

#[cfg(test)]
mod tests;
