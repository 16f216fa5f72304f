//! Tables and orders against plain maps.

use std::collections::{BTreeMap, BTreeSet};

use super::{Key, Keys, OrderedSlots, Slot, Table, WRITTEN_AT_ONCE};

fn random(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(0x5851_F42D_4C95_7F2D)
        .wrapping_add(0x1405_7B7E_F767_814F);
    *seed >> 33
}

#[test]
fn a_key_is_three_words_whether_short_or_long() {
    for length in 0..60 {
        let bytes = vec![7; length];
        assert_eq!(Key::new(&bytes).as_bytes(), bytes);
    }
    assert_eq!(size_of::<Key>(), 24);
    assert_eq!(size_of::<Option<Key>>(), 24);
}

/// Epochs of changes, some of which are undone, with checkpoints between them: what all checkpoints say together is what the
/// table holds, and what an epoch found is what the one before left.
#[test]
fn checkpoints_add_up_to_the_table() {
    let mut seed = 7;
    let mut table: Table<i64> = Table::default();
    let mut model: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    let mut stored: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    for _ in 0..3000 {
        let before = model.clone();
        let mut touched = BTreeSet::new();
        for _ in 0..random(&mut seed) % 20 {
            let key = vec![b'k'; random(&mut seed) as usize % 40];
            let (slot, _) = table.insert(&key);
            assert_eq!(table.old(slot), before.get(&key).copied().unwrap_or(0));
            let change = random(&mut seed) as i64 % 3 - 1;
            *table.change(slot) += change;
            *model.entry(key.clone()).or_default() += change;
            touched.insert(key);
        }
        assert_eq!(table.touched().len(), touched.len());
        for slot in table.touched() {
            let key = table.keys().key(*slot);
            assert_eq!(table.old(*slot), before.get(key).copied().unwrap_or(0));
        }
        table.end_epoch(|_, _, _| {});
        model.retain(|_, value| *value != 0);
        if random(&mut seed).is_multiple_of(3) {
            let all = random(&mut seed).is_multiple_of(5);
            if all {
                stored.clear();
            }
            table.checkpoint(all, |key, value| {
                match value {
                    Some(value) => stored.insert(key.to_vec(), value),
                    None => stored.remove(key),
                };
            });
            assert_eq!(stored, model);
        }
        assert_eq!(table.keys().len(), model.len());
    }
}

#[test]
fn a_checkpoint_of_much_comes_in_pieces() {
    let count = WRITTEN_AT_ONCE as u64 * 3 + 7;
    let mut keys = Keys::default();
    let mut stored = BTreeMap::new();
    let mut model = BTreeMap::new();
    for round in 0..4 {
        // Everything changes, and every fifth key goes or comes back.
        for number in 0..count {
            let key = number.to_be_bytes();
            let (slot, _) = keys.insert(&key);
            keys.touch(slot);
            match (number + round).is_multiple_of(5) {
                true => drop(model.remove(&key[..])),
                false => drop(model.insert(key.to_vec(), round)),
            }
        }
        let mut gone = Vec::new();
        for slot in keys.touched() {
            if !model.contains_key(keys.key(*slot)) {
                gone.push(*slot);
            }
        }
        keys.end_epoch(|slot| !gone.contains(&slot));
        // The third one says everything.
        let all = round == 2;
        if all {
            stored.clear();
        }
        let mut calls = 0;
        let mut begins_with_all = all;
        loop {
            calls += 1;
            let mut entries = 0;
            let has_more = keys.checkpoint(begins_with_all, |key, slot| {
                entries += 1;
                match slot {
                    Some(_) => drop(stored.insert(key.to_vec(), round)),
                    None => drop(stored.remove(key)),
                }
            });
            assert!(entries <= 3 * WRITTEN_AT_ONCE, "{entries} at once");
            begins_with_all = false;
            if !has_more {
                break;
            }
        }
        assert!(calls > 2, "all of it at once");
        assert_eq!(stored, model, "round {round}");
    }
}

#[test]
fn slots_are_in_the_order_of_their_keys() {
    let mut seed = 3;
    let mut keys = Keys::default();
    let mut ordered = OrderedSlots::default();
    let mut model: BTreeMap<Vec<u8>, Slot> = BTreeMap::new();
    for _ in 0..40_000 {
        // More come than go at first, then more go.
        let key = (random(&mut seed) % 3000).to_be_bytes();
        if let Some(slot) = model.remove(&key[..]) {
            ordered.remove(&keys, slot);
            keys.remove(slot);
        } else {
            let (slot, is_new) = keys.insert(&key);
            assert!(is_new);
            ordered.insert(&keys, slot);
            model.insert(key.to_vec(), slot);
        }
    }
    assert!(ordered.iter().eq(model.values().copied()));
    assert!(ordered.iter().rev().eq(model.values().rev().copied()));
    for (_, slot) in model {
        ordered.remove(&keys, slot);
        ordered.remove(&keys, slot);
    }
    assert!(ordered.is_empty());
}
