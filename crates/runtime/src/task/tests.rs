//! Tests of the task table.

use super::*;

fn add(tasks: &mut Tasks) -> TaskKey {
    tasks.add(Class::Fetch, 3, Box::pin(async {}))
}

#[test]
fn a_slot_is_used_again_under_another_key() {
    let mut tasks = Tasks::default();
    let first = add(&mut tasks);
    let taken = tasks.take(first).expect("is there");
    assert_eq!((taken.class, taken.kind), (Class::Fetch, 3));
    tasks.remove(first);
    let second = add(&mut tasks);
    assert_eq!(first.index, second.index);
    assert!(tasks.take(first).is_none() && tasks.make_ready(first).is_none());
    assert!(tasks.abort(first).is_none());
    assert!(tasks.take(second).is_some());
}

#[test]
fn a_task_is_queued_once_however_often_it_is_woken() {
    let mut tasks = Tasks::default();
    let key = add(&mut tasks);
    assert!(tasks.make_ready(key).is_none(), "new tasks are ready");
    let taken = tasks.take(key).expect("is there");
    tasks.put_back(key, taken.future);
    assert_eq!(tasks.make_ready(key), Some(Class::Fetch));
    assert!(tasks.make_ready(key).is_none());
    // Woken while it runs: ready again at once.
    let taken = tasks.take(key).expect("is there");
    assert_eq!(tasks.make_ready(key), Some(Class::Fetch));
    tasks.put_back(key, taken.future);
    assert!(tasks.make_ready(key).is_none());
    assert!(!tasks.take(key).expect("is there").is_aborted);
}

#[test]
fn an_aborted_task_says_so_at_its_next_turn() {
    let mut tasks = Tasks::default();
    let key = add(&mut tasks);
    assert!(tasks.abort(key).is_none(), "it is queued already");
    assert!(tasks.take(key).expect("is there").is_aborted);
    tasks.remove(key);
    assert!(tasks.take_any().is_none());
}

#[test]
fn addresses_survive_packing() {
    let mut tasks = Tasks::default();
    let key = add(&mut tasks);
    for executor in [0, 1, u16::MAX] {
        let address = TaskAddress {
            executor,
            task: key,
        };
        let again = TaskAddress::unpack(address.pack());
        assert_eq!((again.executor, again.task), (executor, key));
    }
}
