//! Values that are too large for a chunk of rows.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, StringArray, types::Int64Type};
use arrow_schema::{Field, Schema};

use super::*;
use crate::{
    Delta, Fault, Operator, Plan,
    expression::{Column, Expression},
    graph::Graph,
    plan::{Custom, Input},
};

/// Values of all rows together may be as large, for the expression; and what is put out at once.
const WHOLE_MAX: usize = 2000;
const BYTES_MAX: usize = 1000;

/// As many letters as the first column says; below zero it fails.
#[derive(Debug)]
struct Letters;

impl Expression for Letters {
    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, Fault> {
        let counts = rows.column(0).as_primitive::<Int64Type>();
        let fault = |message: &str| Fault {
            sqlstate: *b"22000",
            message: message.to_owned(),
        };
        let counts = counts.values().iter().map(|count| usize::try_from(*count));
        let counts: Result<Vec<usize>, _> = counts.collect();
        let counts = counts.map_err(|_| fault("below zero"))?;
        if counts.iter().sum::<usize>() > WHOLE_MAX {
            return Err(fault("too much at once"));
        }
        let values = counts.into_iter().map(|count| "x".repeat(count));
        Ok(Arc::new(StringArray::from_iter_values(values)))
    }

    fn is_same(&self, _other: &dyn Expression) -> bool {
        false
    }
}

/// The projection, with a limit that a test can reach.
#[derive(Debug)]
struct Lettered;

fn schema() -> SchemaRef {
    let number = Field::new("n", DataType::Int64, true);
    let letters = Field::new("letters", DataType::Utf8, true);
    Arc::new(Schema::new(vec![number, letters]))
}

impl Custom for Lettered {
    fn name(&self) -> &'static str {
        "lettered"
    }

    fn is_append_only(&self) -> bool {
        false
    }

    fn start(&self) -> Box<dyn Running> {
        let expressions: Vec<(ExpressionRef, DataType)> = vec![
            (Arc::new(Column(0)), DataType::Int64),
            (Arc::new(Letters), DataType::Utf8),
        ];
        Box::new(Project {
            expressions,
            schema: schema(),
            bytes_max: BYTES_MAX,
        })
    }
}

/// A number, the length of a text if there is one, and a weight.
type Row = (i64, Option<usize>, i64);

/// What comes out for these numbers, each with its weight: chunks of number, count of letters and weight; and how many faults
/// there were.
fn run(numbers: &[(i64, i64)]) -> (Vec<Vec<Row>>, u64) {
    let of = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let mut plan = Plan::default();
    let input = Input {
        relation: "s".to_owned(),
        columns: vec![0],
        is_append_only: false,
        time: None,
    };
    let input = plan.add(Operator::Input(input), &[], of.clone());
    plan.add(Operator::Custom(Arc::new(Lettered)), &[input], schema());
    let mut graph = Graph::new(&plan).expect("a sound plan");
    let column = Int64Array::from_iter_values(numbers.iter().map(|(number, _)| *number));
    let rows = RecordBatch::try_new(of, vec![Arc::new(column)]).expect("one column");
    let weights = numbers.iter().map(|(_, weight)| *weight).collect();
    graph.push(input, Delta::new(rows, weights));
    while graph.work() {}
    let stats = &graph.stats()[1];
    assert_eq!(stats.rows_in, numbers.len() as u64);
    let faults = stats.faults;
    let chunks = graph.take_output().into_iter().map(|delta| {
        let numbers = delta.column(0).as_primitive::<Int64Type>().clone();
        let letters = delta.column(1).as_string::<i32>().clone();
        let row = |at: usize| {
            let letters = letters.is_valid(at).then(|| letters.value(at).len());
            (numbers.value(at), letters, delta.weight(at))
        };
        (0..delta.len()).map(row).collect()
    });
    (chunks.collect(), faults)
}

/// Above all a value that comes is the same when it goes, whatever goes with it.
#[test]
fn a_rows_value_depends_on_no_other_row() {
    let few = [(400, 1), (300, -1), (-1, 1)];
    let many: Vec<(i64, i64)> = (0..20)
        .map(|n| (300 + n, if n % 2 == 0 { 1 } else { -1 }))
        .collect();
    for numbers in [&few[..], &many, &[many.clone(), few.to_vec()].concat()] {
        let (chunks, faults) = run(numbers);
        let wanted = numbers
            .iter()
            .map(|(number, weight)| (*number, usize::try_from(*number).ok(), *weight));
        let found: Vec<_> = chunks.concat();
        assert_eq!(found, wanted.collect::<Vec<_>>());
        let failed = numbers.iter().filter(|(number, _)| *number < 0);
        assert_eq!(faults, failed.count() as u64);
        for chunk in chunks {
            let letters: usize = chunk.iter().filter_map(|(_, letters, _)| *letters).sum();
            assert!(letters <= BYTES_MAX, "{letters}");
        }
    }
}

#[test]
fn one_value_that_is_too_large_is_too_large_in_any_company() {
    let (large, small) = ((1200, 1), (1, 1));
    for numbers in [
        &[large][..],
        &[large, small],
        &[small, large, small],
        &[large, large],
    ] {
        let (chunks, faults) = run(numbers);
        for (number, letters, _) in chunks.concat() {
            assert_eq!(letters, (number == 1).then_some(1), "{numbers:?}");
        }
        assert_eq!(
            faults,
            numbers.iter().filter(|of| **of == large).count() as u64
        );
    }
}
