//! What is refused before anything runs.

use super::*;
use crate::{
    Context, KeyedStream, ValueState, Window,
    state::{Keyed, StateField, describe},
};

mod a {
    #[derive(Clone, Debug, PartialEq, crate::Event)]
    pub struct Id {
        #[event(1)]
        pub name: String,
    }
}

mod b {
    #[derive(Clone, Debug, PartialEq, crate::Event)]
    pub struct Id {
        #[event(1)]
        pub number: i64,
    }
}

/// Two states of a key.
struct Two<A, B> {
    first: ValueState<A>,
    second: ValueState<B>,
}

impl<A: Event, B: Event> State for Two<A, B> {
    fn new() -> Self {
        Self {
            first: Keyed::new(),
            second: Keyed::new(),
        }
    }

    fn fields() -> Vec<StateField> {
        vec![
            describe::<ValueState<A>>(1, "first"),
            describe::<ValueState<B>>(2, "second"),
        ]
    }

    fn each(&mut self, visit: &mut dyn FnMut(u8, &mut dyn Keyed)) {
        visit(1, &mut self.first);
        visit(2, &mut self.second);
    }
}

struct Nothing<K, A, B>(PhantomData<Types<K, A, B>>);

type Types<K, A, B> = fn() -> (K, A, B);

impl<K: Event, A: Event, B: Event> Process for Nothing<K, A, B> {
    type Key = K;
    type Input = String;
    type Output = String;
    type State = Two<A, B>;

    fn on_event(
        &self,
        _state: &mut Self::State,
        _event: String,
        _context: &mut Context<'_, K, String>,
    ) {
    }
}

fn with_state<K: Event, A: Event, B: Event>(key: fn(&String) -> K) -> Result<(), AppError> {
    let app = App::new("app");
    let keyed: KeyedStream<K, String> = app.topic::<String>("words").key_by(key);
    keyed
        .process("step", Nothing::<K, A, B>(PhantomData))
        .to_topic("out");
    app.into_relations().map(drop)
}

#[test]
fn types_of_one_name_are_refused_wherever_they_meet() {
    let name = |word: &String| a::Id { name: word.clone() };
    let clash = Err(AppError::Type("Id".to_owned()));
    assert_eq!(with_state::<a::Id, a::Id, String>(name), Ok(()));
    assert_eq!(
        with_state::<a::Id, b::Id, String>(name),
        clash,
        "key and value"
    );
    assert_eq!(
        with_state::<a::Id, (String, b::Id), u64>(name),
        clash,
        "within a value"
    );
    assert_eq!(
        with_state::<String, a::Id, b::Id>(String::clone),
        clash,
        "two states"
    );
}

fn counting(app: &str, step: &str) -> Relations {
    let app = App::new(app);
    app.topic::<String>("words")
        .key_by(String::clone)
        .count(step)
        .map(|(word, _)| word)
        .to_topic("out");
    app.into_relations().expect("it is an app")
}

#[test]
fn two_apps_have_no_view_of_one_name() {
    let both = counting("first", "words").with(counting("second", "others"));
    let both = both.expect("each has a view of its own");
    assert_eq!(both.relations.len(), 8);
    assert_eq!(both.reads(), ["words"].into());
    assert_eq!(both.writes(), ["out"].into());
    let same = counting("first", "words").with(counting("second", "words"));
    assert_eq!(same.map(drop), Err(AppError::Name("words".to_owned())));
}

#[test]
fn what_waits_for_the_watermark_needs_a_time() {
    let app = App::new("app");
    app.topic::<String>("words")
        .key_by(String::clone)
        .window(Window::Tumbling(std::time::Duration::from_secs(1)))
        .count("counts")
        .map(|closed| closed.key)
        .to_topic("out");
    let refused = app.into_relations().map(drop);
    assert_eq!(refused, Err(AppError::Time("counts".to_owned())));
}
