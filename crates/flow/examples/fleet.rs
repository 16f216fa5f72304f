//! What is known of each vehicle: every kind of state, types from a `.proto` file, and tables of it all.

use std::time::Duration;

use flow::{
    AggregateState, App, Clock, Cluster, Context, ListState, MapState, OrderedMapState, Process,
    State, Timer, Timestamp, ValueState, aggregate::Max,
};

flow::include_proto!("examples/fleet.proto");

/// Readable as tables `fleet_last`, `fleet_sensors` and so on while the app runs.
#[derive(State)]
pub struct Vehicle {
    #[state(1)]
    last: ValueState<Report>,
    #[state(2)]
    sensors: MapState<String, i64>,
    #[state(3)]
    temperatures: OrderedMapState<Timestamp, i64>,
    #[state(4)]
    alarms: ListState<String>,
    #[state(5)]
    warmest: AggregateState<Max>,
}

pub struct Fleet;

const SILENCE: Duration = Duration::from_secs(600);
const KEPT: Duration = Duration::from_secs(3600);

impl Process for Fleet {
    type Key = String;
    type Input = Report;
    type Output = Warning;
    type State = Vehicle;

    fn on_event(
        &self,
        state: &mut Vehicle,
        report: Report,
        context: &mut Context<'_, String, Warning>,
    ) {
        let at = context.time();
        for (sensor, value) in &report.sensors {
            state.sensors.insert(sensor, *value);
        }
        for alarm in &report.alarms {
            state.alarms.push(alarm.clone());
        }
        state
            .temperatures
            .insert(&at, i64::from(report.temperature));
        let old: Vec<Timestamp> = state
            .temperatures
            .range(..at.minus(KEPT))
            .map(|(at, _)| at)
            .collect();
        for at in old {
            state.temperatures.remove(&at);
        }
        state.warmest.add(i64::from(report.temperature));
        if let Some(last) = state.last.get().and_then(|last| last.at) {
            context.clear_timer(Clock::Event, last.plus(SILENCE));
        }
        context.set_timer(Clock::Event, at.plus(SILENCE));
        state.last.set(report);
    }

    fn on_timer(&self, _: &mut Vehicle, _: Timer, context: &mut Context<'_, String, Warning>) {
        let vehicle = context.key().clone();
        let text = "nothing heard for ten minutes".to_owned();
        context.emit(Warning { vehicle, text });
    }
}

pub fn app() -> App {
    let app = App::new("fleet");
    app.topic::<Report>("reports")
        .event_time(Duration::from_secs(30), |report| {
            report.at.unwrap_or_default()
        })
        .key_by(|report| report.vehicle.clone())
        .process("fleet", Fleet)
        .to_topic_by("warnings", |warning| warning.vehicle.clone());
    app
}

pub fn main() -> Result<(), flow::RunError> {
    app().run(Cluster::new("127.0.0.1:9092", "data/fleet"))
}
