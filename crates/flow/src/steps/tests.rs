//! Which windows a time is in.

use std::sync::Arc;

use streams::{Custom, End, Output, Running};

use super::*;
use crate::{
    aggregate::Count,
    rows::{Origin, RowsBuilder},
    step::{DecodeInput, Step},
};

fn holding(window: Window, time: i64) -> Vec<(i64, i64)> {
    let windows = window.holding(time).into_iter();
    windows
        .map(|window| (window.window_start.0, window.window_end.0))
        .collect()
}

#[test]
fn times_are_in_the_windows_that_begin_no_later_and_end_later() {
    let micros = Duration::from_micros;
    let hopping = |size, slide| Window::Hopping {
        size: micros(size),
        slide: micros(slide),
    };
    assert_eq!(holding(Window::Tumbling(micros(10)), -1), [(-10, 0)]);
    assert_eq!(holding(Window::Tumbling(micros(10)), 10), [(10, 20)]);
    assert_eq!(holding(hopping(10, 5), 7), [(0, 10), (5, 15)]);
    assert_eq!(holding(hopping(5, 10), 4), [(0, 5)]);
    assert!(holding(hopping(5, 10), 5).is_empty(), "between two windows");
}

#[test]
fn at_the_end_of_all_times_there_are_no_windows_beyond_it() {
    let day = Window::Tumbling(Duration::from_secs(86_400));
    assert!(holding(day, i64::MIN).is_empty());
    assert!(holding(day, i64::MAX).is_empty());
    let size = Duration::from_micros(1 << 62);
    assert_eq!(
        holding(Window::Tumbling(size), i64::MIN),
        [(i64::MIN, -(1 << 62))]
    );
    let slide = Duration::from_micros(1 << 61);
    let windows = holding(Window::Hopping { size, slide }, i64::MIN);
    assert_eq!(windows, [(i64::MIN, -(1 << 62))]);
}

fn sessions<F>(gap: Duration, input: F) -> Box<dyn Running>
where
    F: Fn(&u64) + Send + Sync + 'static,
{
    let process = WindowStep::<String, u64, Count<()>, F> {
        window: Window::Session { gap },
        input,
        of: PhantomData,
    };
    let decode: DecodeInput<WindowStep<String, u64, Count<()>, F>> = |bytes| u64::decode(bytes);
    let step = Step {
        name: "sessions".to_owned(),
        process: Arc::new(process),
        ports: vec![decode],
        branches: Arc::new([]),
        tables: [(1, 0)].into(),
        has_time: true,
    };
    step.start()
}

#[test]
fn a_session_has_one_timer_however_many_events_it_has() {
    let mut step = sessions(Duration::from_micros(10), |_| ());
    // Two sessions; then what joins them; then a third one.
    for (times, entries) in [
        ((0..50).chain(70..90).collect::<Vec<i64>>(), 4),
        (vec![65, 57], 2),
        (vec![500], 4),
    ] {
        let mut rows = RowsBuilder::default();
        for (offset, time) in times.into_iter().enumerate() {
            let origin = Origin {
                time,
                partition: 0,
                offset: offset as i64,
            };
            rows.push(0, Some(&"key".to_owned().to_bytes()), &[], origin, 1);
        }
        step.take(0, &rows.finish(), &mut Output::default());
        let end = End {
            now: 0,
            watermark: None,
        };
        while step.finish(&end, &mut Output::default()) {}
        // A value and a timer of each session.
        assert_eq!(step.entries(), entries);
    }
}
