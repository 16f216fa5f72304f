//! Every kind of state against plain maps, over random changes in random epochs, with restores.

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::aggregate::Sum;

/// xorshift64*
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit
    }
}

struct Kinds {
    value: ValueState<String>,
    map: MapState<String, i64>,
    ordered: OrderedMapState<(i64, String), u64>,
    list: ListState<u64>,
    sum: AggregateState<Sum>,
}

impl State for Kinds {
    fn new() -> Self {
        Self {
            value: Keyed::new(),
            map: Keyed::new(),
            ordered: Keyed::new(),
            list: Keyed::new(),
            sum: Keyed::new(),
        }
    }

    fn fields() -> Vec<StateField> {
        Vec::new()
    }

    fn each(&mut self, visit: &mut dyn FnMut(u8, &mut dyn Keyed)) {
        visit(1, &mut self.value);
        visit(2, &mut self.map);
        visit(3, &mut self.ordered);
        visit(4, &mut self.list);
        visit(5, &mut self.sum);
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    value: Option<String>,
    map: BTreeMap<Vec<u8>, (String, i64)>,
    ordered: BTreeMap<(i64, String), u64>,
    list: VecDeque<u64>,
    sum: Option<i64>,
}

fn key(draw: &mut Draw) -> Vec<u8> {
    // Some begin with others, and one is empty.
    let length = draw.below(4) as usize;
    vec![draw.below(2) as u8 * 255; length]
}

fn text(draw: &mut Draw) -> String {
    ["", "a", "ab", "a\0b", "a\0", "ø"][draw.below(6) as usize].to_owned()
}

fn change(draw: &mut Draw, state: &mut Kinds, model: &mut Model) {
    match draw.below(14) {
        0 => {
            let value = text(draw);
            state.value.set(value.clone());
            model.value = Some(value);
        }
        1 => {
            state.value.change().push('x');
            model.value.get_or_insert_default().push('x');
        }
        2 => assert_eq!(state.value.clear(), model.value.take()),
        3 | 4 => {
            let (at, value) = (text(draw), draw.below(9) as i64 - 4);
            state.map.insert(&at, value);
            model.map.insert(at.to_bytes(), (at, value));
        }
        5 => {
            let at = text(draw);
            let gone = model.map.remove(&at.to_bytes()).map(|(_, value)| value);
            assert_eq!(state.map.remove(&at), gone);
        }
        6 | 7 => {
            let at = (draw.below(5) as i64 - 2, text(draw));
            *state.ordered.change(&at) += 1;
            *model.ordered.entry(at).or_default() += 1;
        }
        8 => {
            let at = (draw.below(5) as i64 - 2, text(draw));
            assert_eq!(state.ordered.remove(&at), model.ordered.remove(&at));
        }
        9 | 10 => {
            let value = draw.below(100);
            state.list.push(value);
            model.list.push_back(value);
        }
        11 => assert_eq!(state.list.pop_front(), model.list.pop_front()),
        12 => {
            let value = draw.below(9) as i64 - 4;
            state.sum.add(value);
            *model.sum.get_or_insert(0) += value;
        }
        _ if draw.below(5) > 0 => {}
        _ => {
            state.map.clear();
            state.ordered.clear();
            state.list.clear();
            state.sum.clear();
            let value = model.value.take();
            *model = Model {
                value,
                ..Model::default()
            };
        }
    }
}

fn check(draw: &mut Draw, state: &Kinds, model: &Model) {
    assert_eq!(state.value.get(), model.value.as_ref());
    let map: Vec<(String, i64)> = state.map.iter().map(|(at, value)| (at, *value)).collect();
    assert_eq!(map, model.map.values().cloned().collect::<Vec<_>>());
    let (low, high) = (draw.below(5) as i64 - 2, draw.below(5) as i64 - 2);
    let (low, high) = ((low, text(draw)), (high, text(draw)));
    let ranged: Vec<_> = state
        .ordered
        .range(low.clone()..high.clone())
        .map(|(at, _)| at)
        .collect();
    let expected = model.ordered.keys().filter(|at| **at >= low && **at < high);
    assert_eq!(ranged, expected.cloned().collect::<Vec<_>>());
    let last = state.ordered.last().map(|(at, value)| (at, *value));
    let expected = model
        .ordered
        .last_key_value()
        .map(|(at, value)| (at.clone(), *value));
    assert_eq!(last, expected);
    assert!(state.list.iter().eq(model.list.iter()));
    assert_eq!(state.sum.get(), model.sum.unwrap_or(0));
}

type Rows = BTreeMap<(u8, Vec<u8>, Option<Vec<u8>>, Vec<u8>), i64>;

fn end_epoch(state: &mut Kinds, everything: bool, rows: &mut Rows) {
    state.each(&mut |number, state| {
        let mut take = |key: &[u8], entry: Option<&[u8]>, value: &[u8], weight| {
            let row = (
                number,
                key.to_vec(),
                entry.map(<[u8]>::to_vec),
                value.to_vec(),
            );
            *rows.entry(row).or_default() += weight;
        };
        while state.end_epoch(everything, &mut take) {}
    });
    rows.retain(|_, weight| *weight != 0);
    assert!(
        rows.values().all(|weight| *weight == 1),
        "a row is there once"
    );
}

fn expected_rows(models: &BTreeMap<Vec<u8>, Model>) -> usize {
    let count = |model: &Model| {
        let single = usize::from(model.value.is_some()) + usize::from(model.sum.is_some());
        single + model.map.len() + model.ordered.len() + model.list.len()
    };
    models.values().map(count).sum()
}

fn run(seed: u64) {
    let mut draw = Draw(seed * 2 + 1);
    let mut state = Kinds::new();
    let mut models: BTreeMap<Vec<u8>, Model> = BTreeMap::new();
    let mut rows = Rows::new();
    let mut saved: BTreeMap<(u8, Vec<u8>), Vec<u8>> = BTreeMap::new();
    for _ in 0..30 {
        for _ in 0..draw.below(40) {
            let key = key(&mut draw);
            state.each(&mut |_, state| state.enter(&key));
            let model = models.entry(key).or_default();
            change(&mut draw, &mut state, model);
            check(&mut draw, &state, model);
        }
        end_epoch(&mut state, false, &mut rows);
        assert_eq!(rows.len(), expected_rows(&models));
        let all = draw.below(4) == 0;
        if draw.below(2) == 0 {
            if all {
                saved.clear();
            }
            state.each(&mut |number, state| {
                state.checkpoint(all, &mut |key, value| {
                    let at = (number, key.to_vec());
                    match value {
                        Some(value) => drop(saved.insert(at, value.to_vec())),
                        None => drop(saved.remove(&at)),
                    }
                });
            });
            if draw.below(2) == 0 {
                state = Kinds::new();
                for ((table, key), value) in &saved {
                    state.each(&mut |number, state| {
                        if number == *table {
                            state.restore(key, value).expect("its own bytes");
                        }
                    });
                }
                let mut told = Rows::new();
                end_epoch(&mut state, true, &mut told);
                assert_eq!(told, rows, "all of it, as it was told before");
            }
        }
        for (key, model) in &models {
            state.each(&mut |_, state| state.enter(key));
            check(&mut draw, &state, model);
        }
    }
}

#[test]
fn state_is_what_a_plain_map_is() {
    for seed in 0..200 {
        run(seed);
    }
}

#[test]
fn an_epoch_ends_piece_by_piece() {
    let count = streams::delta::CHUNK_ROWS * 5 / 2;
    let mut state = MapState::<u64, u64>::new();
    state.enter(b"key");
    for key in 0..count as u64 {
        state.insert(&key, key);
    }
    for everything in [false, true, true] {
        let (mut pieces, mut rows) = (0, 0);
        let mut has_more = true;
        while has_more {
            let mut in_piece = 0;
            has_more = state.end_epoch(everything, &mut |_, _, _, weight| {
                in_piece += 1;
                rows += weight;
            });
            assert!(in_piece <= streams::delta::CHUNK_ROWS, "of {in_piece} rows");
            pieces += 1;
        }
        assert_eq!(rows, count as i64);
        assert!(pieces >= 3);
    }
}

#[test]
fn bytes_of_ordered_keys_sort_as_they_do() {
    let mut keys = vec![];
    for number in [i64::MIN, -2, -1, 0, 1, 255, 256, i64::MAX] {
        for text in ["", "\0", "\0\0", "\0a", "a", "a\0", "ab", "b", "ø"] {
            keys.push((number, text.to_owned()));
        }
    }
    keys.sort();
    let bytes = |key: &(i64, String)| {
        let mut out = Vec::new();
        key.put_ordered(&mut out);
        out
    };
    for pair in keys.windows(2) {
        assert!(bytes(&pair[0]) < bytes(&pair[1]), "{pair:?}");
    }
    for key in &keys {
        let bytes = bytes(key);
        let read = <(i64, String)>::take_ordered(&mut &bytes[..]);
        assert_eq!(read.as_ref(), Ok(key));
    }
}
