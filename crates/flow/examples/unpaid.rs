//! Orders that nobody has paid within an hour: a process function over two streams, with a timer for each order.

use std::time::Duration;

use flow::{
    App, Clock, Cluster, Context, Either, Event, Process, State, Timer, Timestamp, ValueState,
};

#[derive(Clone, Debug, PartialEq, Event)]
pub struct Order {
    #[event(1)]
    pub id: u64,
    #[event(2)]
    pub cents: i64,
    #[event(3)]
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Event)]
pub struct Payment {
    #[event(1)]
    pub order: u64,
    #[event(2)]
    pub at: Timestamp,
}

/// What is known of an order: either may come first.
#[derive(State)]
pub struct Open {
    #[state(1)]
    order: ValueState<Order>,
    #[state(2)]
    paid: ValueState<Payment>,
}

pub struct Unpaid;

impl Process for Unpaid {
    type Key = u64;
    type Input = Either<Order, Payment>;
    type Output = Order;
    type State = Open;

    fn on_event(
        &self,
        state: &mut Open,
        event: Either<Order, Payment>,
        context: &mut Context<'_, u64, Order>,
    ) {
        match event {
            Either::Left(order) => {
                context.set_timer(Clock::Event, order.at.plus(Duration::from_secs(3600)));
                state.order.set(order);
            }
            Either::Right(payment) => state.paid.set(payment),
        }
    }

    fn on_timer(&self, state: &mut Open, _timer: Timer, context: &mut Context<'_, u64, Order>) {
        let order = state.order.clear();
        if let (Some(order), None) = (order, state.paid.clear()) {
            context.emit(order);
        }
    }
}

pub fn app() -> App {
    let app = App::new("unpaid");
    let wait = Duration::from_secs(60);
    let orders = app
        .topic::<Order>("orders")
        .event_time(wait, |order| order.at)
        .key_by(|order| order.id);
    let payments = app
        .topic::<Payment>("payments")
        .event_time(wait, |payment| payment.at)
        .key_by(|payment| payment.order);
    orders
        .connect(payments)
        .process("open_orders", Unpaid)
        .to_topic("unpaid");
    app
}

pub fn main() -> Result<(), flow::RunError> {
    app().run(Cluster::new("127.0.0.1:9092", "data/unpaid"))
}
