//! Tests of the rows of a view: changes against a model, snapshots that stay.

use std::collections::BTreeMap;

use arrow_array::{Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;

use super::{merging::CHUNK_BYTES_MAX, *};

pub(in crate::engine) fn schema() -> SchemaRef {
    let fields = ["key", "value"].map(|name| Field::new(name, DataType::Int64, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Key, value and weight of each.
pub(in crate::engine) fn delta(rows: &[(i64, i64, i64)]) -> Delta {
    let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let columns = vec![
        column(rows.iter().map(|row| row.0).collect()),
        column(rows.iter().map(|row| row.1).collect()),
    ];
    let batch = RecordBatch::try_new(schema(), columns).expect("two columns");
    Delta::new(batch, rows.iter().map(|row| row.2).collect())
}

impl Arrangement {
    /// Applies a whole change at a stretch.
    pub(in crate::engine) fn apply(
        &mut self,
        change: &mut Prepared,
        epoch: u64,
    ) -> Result<(), NotThere> {
        while self.apply_some(change, epoch)? {}
        Ok(())
    }
}

fn apply(rows: &mut Arrangement, delta: &Delta) -> Result<(), NotThere> {
    let mut change = rows.prepare(delta);
    rows.apply(&mut change, 1)?;
    rows.tidy_all();
    Ok(())
}

/// How often each row is there.
type Counts = BTreeMap<(i64, i64), i64>;

fn contents(rows: &Rows) -> Counts {
    let mut found = BTreeMap::new();
    for batch in rows.batches() {
        let (keys, values) = (batch.column(0), batch.column(1));
        let (keys, values) = (
            keys.as_primitive::<Int64Type>(),
            values.as_primitive::<Int64Type>(),
        );
        for row in 0..batch.num_rows() {
            *found
                .entry((keys.value(row), values.value(row)))
                .or_default() += 1;
        }
    }
    found
}

#[test]
fn an_update_within_one_change_leaves_the_newer_row() {
    let mut rows = Arrangement::new(schema(), Some(&[0]));
    let all = [(1, 10, 1), (2, 20, 1), (2, 20, -1), (2, 21, 1), (1, 10, -1)];
    apply(&mut rows, &delta(&all)).expect("what goes has come");
    assert_eq!(contents(&rows.rows()), BTreeMap::from([((2, 21), 1)]));
    assert_eq!(rows.row_count(), 1);
    let key: ArrayRef = Arc::new(Int64Array::from(vec![2, 1]));
    assert_eq!(
        contents(&rows.lookup(&[0], &[key])),
        BTreeMap::from([((2, 21), 1)])
    );
}

#[test]
fn a_row_that_is_not_there_cannot_go() {
    let mut rows = Arrangement::new(schema(), None);
    assert_eq!(apply(&mut rows, &delta(&[(1, 1, -1)])), Err(NotThere));
    assert!(rows.lacks(&delta(&[(1, 1, -1)])));
    assert!(!rows.lacks(&delta(&[(1, 1, 1), (1, 1, -1)])));
    apply(&mut rows, &delta(&[(1, 1, 1)])).expect("it comes");
    assert!(!rows.lacks(&delta(&[(1, 1, -1), (2, 2, 1)])));
    assert!(rows.lacks(&delta(&[(1, 1, -2), (1, 2, 2)])));
}

#[test]
fn a_second_row_of_a_key_is_seen_before_it_is_there() {
    let mut rows = Arrangement::new(schema(), Some(&[0]));
    apply(&mut rows, &delta(&[(1, 10, 1)])).expect("it comes");
    assert!(rows.violates_key(&delta(&[(1, 11, 1)]), &[0]));
    assert!(!rows.violates_key(&delta(&[(1, 11, 1), (1, 10, -1)]), &[0]));
    assert!(rows.violates_key(&delta(&[(2, 1, 1), (2, 2, 1)]), &[0]));
}

fn lookup_all(rows: &Arrangement, epoch: u64) -> Rows {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..500));
    rows.lookup_as_of(&[0], &[keys], epoch)
}

/// Random changes with and without a key; what was read before stays as it was.
#[test]
fn changes_add_up_as_a_model_says() {
    for has_key in [false, true] {
        let mut state = 7u64 + u64::from(has_key);
        let mut draw = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        let mut rows = Arrangement::new(schema(), has_key.then_some(&[0]));
        let mut model: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        let mut kept: Option<(Rows, Counts)> = None;
        let mut epoch = 0;
        for _ in 0..3000 {
            let mut changes = Vec::new();
            for _ in 0..1 + draw(30) {
                let key = draw(500) as i64;
                let living = model.keys().find(|(known, _)| *known == key).copied();
                if let Some(row) = living
                    && (has_key || draw(2) == 0)
                {
                    changes.push((row.0, row.1, -1));
                    *model.entry(row).or_default() -= 1;
                    model.retain(|_, weight| *weight != 0);
                }
                if draw(3) > 0 {
                    let row = (key, draw(3) as i64);
                    changes.push((row.0, row.1, 1));
                    *model.entry(row).or_default() += 1;
                }
            }
            if changes.is_empty() {
                continue;
            }
            let mut change = rows.prepare(&delta(&changes));
            if draw(50) == 0 {
                let before = contents(&rows.rows());
                while rows.stage(&mut change) {}
                assert_eq!(contents(&rows.rows()), before, "nobody sees it yet");
                if has_key {
                    assert_eq!(contents(&lookup_all(&rows, epoch)), before);
                }
            }
            let shown = contents(&lookup_all(&rows, epoch));
            epoch += 1;
            rows.apply(&mut change, epoch).expect("what goes is there");
            if has_key {
                assert_eq!(contents(&lookup_all(&rows, epoch - 1)), shown);
                assert_eq!(contents(&lookup_all(&rows, epoch)), model);
            }
            rows.tidy_all();
            let living = rows.chunks.iter().map(|chunk| chunk.living);
            assert_eq!(rows.places.len(), living.sum::<usize>());
            if draw(50) == 0 {
                assert_eq!(contents(&rows.rows()), model);
                let chunks = rows.chunks.iter().map(|chunk| {
                    chunk.rows.get_array_memory_size()
                        + chunk.weights.len() * (size_of::<i64>() + size_of::<u64>())
                });
                assert_eq!(rows.chunks.bytes(), chunks.sum::<usize>());
                assert_eq!(rows.row_count(), model.values().sum::<i64>() as u64);
                if let Some((snapshot, then)) = kept.take() {
                    assert_eq!(contents(&snapshot), then, "a snapshot has changed");
                }
                kept = Some((rows.rows(), model.clone()));
            }
        }
        assert!(rows.chunks.order().len() < 40, "chunks are merged");
    }
}

/// Random changes: an index finds what a look at all rows does.
/// All of an epoch's changes are made ready before the first of them is applied.
#[test]
fn changes_that_are_prepared_together_follow_each_other() {
    for key in [Some(&[0][..]), None] {
        let mut rows = Arrangement::new(schema(), key);
        apply(&mut rows, &delta(&[(1, 10, 1), (2, 20, 1)])).expect("all of it comes");
        let before = contents(&rows.rows());
        let changes = [
            // Its row is found where it is, the next one's where that was, or came to be meanwhile.
            delta(&[(1, 10, -1), (1, 11, 1)]),
            delta(&[(1, 11, -1), (1, 10, 1), (3, 30, 1)]),
            delta(&[(1, 10, -1), (3, 30, -1), (1, 12, 1), (2, 20, -1)]),
            delta(&[(2, 20, 1)]),
        ];
        let mut prepared: Vec<Prepared> =
            changes.iter().map(|change| rows.prepare(change)).collect();
        for change in &mut prepared {
            rows.apply(change, 2).expect("what goes has come");
            if key.is_some() {
                assert_eq!(contents(&lookup_all(&rows, 1)), before);
            }
        }
        rows.tidy_all();
        let expected = BTreeMap::from([((1, 12), 1), ((2, 20), 1)]);
        assert_eq!(contents(&rows.rows()), expected);
        let twice = delta(&[(2, 20, -1)]);
        let [mut first, mut second] = [rows.prepare(&twice), rows.prepare(&twice)];
        assert_eq!(rows.apply(&mut first, 3), Ok(()));
        assert_eq!(rows.apply(&mut second, 3), Err(NotThere));
    }
}

/// A column of text ends at two gigabytes.
#[test]
fn chunks_of_much_text_are_not_merged() {
    let text = Field::new("text", DataType::Utf8, true);
    let schema = Arc::new(Schema::new(vec![text]));
    let mut rows = Arrangement::new(schema.clone(), None);
    let mut add = |letter: &str, bytes: usize| {
        let text = arrow_array::StringArray::from(vec![letter.repeat(bytes)]);
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(text)]);
        apply(&mut rows, &Delta::insert(batch.expect("one column"))).expect("it comes");
        rows.rows().batches().len()
    };
    let much = CHUNK_BYTES_MAX;
    assert_eq!([add("a", much), add("b", much)], [1, 2]);
    assert_eq!([add("c", 1), add("d", 1)], [3, 3]);
}

#[test]
fn an_index_finds_what_a_look_at_all_rows_does() {
    for has_key in [false, true] {
        let key = [0];
        let mut rows = Arrangement::new(schema(), has_key.then_some(&key[..]));
        let mut model: Counts = BTreeMap::new();
        let mut random = 1_u64;
        for step in 0..200 {
            if step == 50 {
                add_index(&mut rows, &[1]);
            }
            let mut changes = Vec::new();
            for _ in 0..40 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let (key, value) = ((random >> 33) as i64 % 50, (random >> 20) as i64 % 7);
                let known = model.keys().find(|row| row.0 == key).copied();
                match known {
                    Some(row) if has_key || random.is_multiple_of(2) => {
                        changes.push((row.0, row.1, -1));
                        *model.entry(row).or_default() -= 1;
                        model.retain(|_, count| *count > 0);
                    }
                    _ => {
                        changes.push((key, value, 1));
                        *model.entry((key, value)).or_default() += 1;
                    }
                }
            }
            apply(&mut rows, &delta(&changes)).expect("what goes has come");
            for value in 0..7 {
                let wanted = model.iter().filter(|(row, _)| row.1 == value);
                let wanted: Counts = wanted.map(|(row, count)| (*row, *count)).collect();
                let keys: ArrayRef = Arc::new(Int64Array::from(vec![value]));
                let found = contents(&rows.lookup(&[1], &[keys]));
                match step {
                    ..50 => assert_eq!(found, model),
                    _ => assert_eq!(found, wanted, "step {step}"),
                }
            }
        }
        rows.remove_index(&[1]);
        assert!(rows.indexes.is_empty());
    }
}

/// A row is there as often as it is, however often its key is asked for.
#[test]
fn a_key_that_is_asked_for_twice_is_found_once() {
    let mut rows = Arrangement::new(schema(), Some(&[0]));
    apply(&mut rows, &delta(&[(1, 10, 1), (2, 20, 1), (3, 20, 1)])).expect("they come");
    let asked = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let found = rows.lookup(&[0], &[asked(&[2, 1, 2])]);
    let expected = BTreeMap::from([((1, 10), 1), ((2, 20), 1)]);
    assert_eq!(contents(&found), expected);
    add_index(&mut rows, &[1]);
    let found = rows.lookup(&[1], &[asked(&[20, 20])]);
    let expected = BTreeMap::from([((2, 20), 1), ((3, 20), 1)]);
    assert_eq!(contents(&found), expected);
}

/// Also of rows that need several steps.
#[test]
fn an_index_has_all_rows_that_were_there() {
    let mut rows = Arrangement::new(schema(), Some(&[0]));
    let all: Vec<(i64, i64, i64)> = (0..5000).map(|n| (n, n % 10, 1)).collect();
    apply(&mut rows, &delta(&all)).expect("they come");
    let gone: Vec<(i64, i64, i64)> = (0..50).map(|n| (n, n % 10, -1)).collect();
    apply(&mut rows, &delta(&gone)).expect("they were there");
    add_index(&mut rows, &[1]);
    let key: ArrayRef = Arc::new(Int64Array::from(vec![3]));
    assert_eq!(contents(&rows.lookup(&[1], &[key])).len(), 495);
}

fn add_index(rows: &mut Arrangement, columns: &[usize]) {
    let mut building = rows.begin_index(columns).expect("it is the first");
    while rows.index_some(&mut building) {}
    rows.end_index(building);
}
