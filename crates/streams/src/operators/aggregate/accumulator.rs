//! What aggregates have in common, and which of them computes what.

use std::{borrow::Cow, fmt::Debug};

use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_schema::DataType;
use arrow_select::take::take;

use super::{
    collected::{Collected, Collection, Fold},
    linear::{Bits, BitsFunction, Count, Truth},
    moments::{Moment, Moments},
    sums::{DecimalSum, FloatSum, IntegerSum, SumResult},
};
use crate::{
    graph::PlanError,
    operators::{Output, Place},
    plan::{Aggregate, AggregateFunction},
    row::{ColumnOrder, Corrupt, RowCodec},
    state::{Keys, Slot},
};

/// An aggregate of every group, by slot.
pub(super) trait Accumulator: Debug + Send {
    /// Makes room for slots below this one.
    fn grow(&mut self, slots: usize);

    /// So many more are going to come.
    fn reserve(&mut self, slots: usize);

    /// The slot is that of a new group, without rows.
    fn reset(&mut self, slot: Slot);

    fn update(&mut self, chunk: &Chunk<'_>, groups: &Keys);

    /// The values of these groups; one that cannot be had is null, and counted.
    fn output(&mut self, slots: &[Slot], groups: &Keys, out: &mut Output) -> ArrayRef;

    /// Appends what `read` needs, beside what is collected.
    fn write(&self, slot: Slot, out: &mut Vec<u8>);

    /// Takes from the front what `write` wrote.
    fn read(&mut self, slot: Slot, bytes: &mut &[u8]) -> Result<(), Corrupt>;

    fn end_epoch(&mut self) {}

    /// The rows that it keeps in a table of their own.
    fn collected(&mut self) -> Option<&mut Collection> {
        None
    }

    fn entries(&self) -> usize {
        0
    }

    fn bytes(&self) -> usize;
}

/// Rows for an accumulator: its arguments, their groups and weights.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    pub columns: Vec<ArrayRef>,
    pub slots: Cow<'a, [Slot]>,
    pub weights: Option<Cow<'a, [i64]>>,
}

impl<'a> Chunk<'a> {
    #[inline]
    pub(super) fn weight(&self, row: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights[row])
    }

    /// Some of the rows, with other weights if given.
    pub(super) fn of_rows(&self, rows: &[u32], weights: Option<Vec<i64>>) -> Self {
        let places = UInt32Array::from(rows.to_vec());
        let columns = self
            .columns
            .iter()
            .map(|column| take(column, &places, None).expect("places lie in the chunk"));
        let own_weights = || {
            let weights = self.weights.as_ref()?;
            Some(rows.iter().map(|row| weights[*row as usize]).collect())
        };
        Chunk {
            columns: columns.collect(),
            slots: rows.iter().map(|row| self.slots[*row as usize]).collect(),
            weights: weights.or_else(own_weights).map(Cow::Owned),
        }
    }

    /// Calls with each row whose first argument is not null.
    #[inline]
    pub(super) fn each_valid(&self, mut f: impl FnMut(usize, Slot, i64)) {
        let nulls = self.columns[0].logical_nulls();
        for (row, slot) in self.slots.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                f(row, *slot, self.weight(row));
            }
        }
    }
}

/// Columns of the input that an accumulator gets: its arguments, and behind them those that it sorts by.
pub(super) fn columns(place: &Place, aggregate: &Aggregate) -> Vec<usize> {
    let order = sort_columns(place, aggregate)
        .into_iter()
        .map(|(column, _)| column);
    aggregate.arguments.iter().copied().chain(order).collect()
}

/// By what the rows of a group are sorted before the aggregate looks at them.
fn sort_columns(place: &Place, aggregate: &Aggregate) -> Vec<(usize, ColumnOrder)> {
    use AggregateFunction::{ArrayAgg, FirstValue, LastValue, StringAgg};
    let explicit = aggregate.order.iter().map(|key| {
        let order = ColumnOrder {
            descending: key.descending,
            nulls_first: key.nulls_first,
        };
        (key.column, order)
    });
    match aggregate.function {
        FirstValue | LastValue if aggregate.order.is_empty() => (0..place.inputs[0].fields().len())
            .map(|column| (column, ColumnOrder::default()))
            .collect(),
        FirstValue | LastValue | StringAgg | ArrayAgg => explicit.collect(),
        _ => Vec::new(),
    }
}

pub(super) fn make(
    place: &Place,
    aggregate: &Aggregate,
    result: &DataType,
) -> Result<Box<dyn Accumulator>, PlanError> {
    use AggregateFunction as F;
    let arguments = place.input_types(0, &aggregate.arguments)?;
    let wrong = || PlanError::Aggregate {
        node: place.at,
        function: format!("{:?}", aggregate.function),
        argument: arguments
            .first()
            .map_or(String::from("nothing"), DataType::to_string),
        result: result.clone(),
    };
    let argument = match (&aggregate.function, &arguments[..]) {
        (F::Count, []) => &DataType::Null,
        (F::StringAgg, [argument, _]) | (_, [argument]) => argument,
        _ => return Err(wrong()),
    };
    let fold = match &aggregate.function {
        F::Count | F::ApproxDistinct if matches!(result, DataType::Int64 | DataType::UInt64) => {
            return Ok(Box::new(Count::new(!arguments.is_empty(), result)));
        }
        F::Sum | F::Avg => {
            let result =
                SumResult::new(result, argument, aggregate.function == F::Avg).ok_or_else(wrong)?;
            return Ok(match argument {
                DataType::Float32 | DataType::Float64 => Box::new(FloatSum::new(result)),
                DataType::Decimal128(..) => Box::new(DecimalSum::new(result)),
                _ => Box::new(IntegerSum::new(result)),
            });
        }
        F::BoolAnd | F::BoolOr if argument == &DataType::Boolean && result == argument => {
            return Ok(Box::new(Truth::new(aggregate.function == F::BoolOr)));
        }
        F::BitAnd | F::BitOr | F::BitXor if argument.is_integer() && result == argument => {
            let function = match aggregate.function {
                F::BitAnd => BitsFunction::And,
                F::BitOr => BitsFunction::Or,
                _ => BitsFunction::Xor,
            };
            return Ok(Box::new(Bits::new(function, result)));
        }
        F::VarPop | F::VarSamp | F::StddevPop | F::StddevSamp
            if argument == &DataType::Float64 && result == argument =>
        {
            let moment = match aggregate.function {
                F::VarPop => Moment::VarPop,
                F::VarSamp => Moment::VarSamp,
                F::StddevPop => Moment::StddevPop,
                _ => Moment::StddevSamp,
            };
            return Ok(Box::new(Moments::new(moment)));
        }
        F::Min if result == argument => Fold::First {
            ignores_nulls: true,
        },
        F::Max if result == argument => Fold::Last {
            ignores_nulls: true,
        },
        F::FirstValue if result == argument => Fold::First {
            ignores_nulls: false,
        },
        F::LastValue if result == argument => Fold::Last {
            ignores_nulls: false,
        },
        F::StringAgg if result.is_string() && arguments.iter().all(DataType::is_string) => {
            Fold::Text
        }
        F::ArrayAgg if matches!(result, DataType::List(field) if field.data_type() == argument) => {
            Fold::List
        }
        F::Percentile { fraction_bits }
            if argument.is_floating() && result == &DataType::Float64 =>
        {
            Fold::Percentile(f64::from_bits(*fraction_bits))
        }
        _ => return Err(wrong()),
    };
    let sorted = sort_columns(place, aggregate);
    let sort_columns: Vec<usize> = sorted.iter().map(|(column, _)| *column).collect();
    let sort_types = place.input_types(0, &sort_columns)?;
    let sort = sort_types
        .into_iter()
        .zip(sorted.iter().map(|(_, order)| *order));
    let argument_order = arguments
        .iter()
        .map(|argument| (argument.clone(), ColumnOrder::default()));
    let codec =
        RowCodec::new(sort.chain(argument_order)).map_err(|source| place.unsupported(source))?;
    let arity = arguments.len();
    Ok(Box::new(Collected::new(
        fold,
        codec,
        arity,
        result,
        place.append_only[0],
    )))
}

pub(super) fn read_i64(bytes: &mut &[u8]) -> Result<i64, Corrupt> {
    Ok(i64::from_le_bytes(read_array(bytes)?))
}

pub(super) fn read_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Corrupt> {
    let (value, rest) = bytes.split_first_chunk().ok_or(Corrupt)?;
    *bytes = rest;
    Ok(*value)
}
