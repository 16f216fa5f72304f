//! Rows there and back, and their order.

use std::{cmp::Ordering, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int32Array,
    Int64Array, IntervalDayTimeArray, IntervalMonthDayNanoArray, LargeStringArray, ListArray,
    NullArray, StringArray, StringViewArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, UInt16Array, UInt32Array, UInt64Array, new_null_array,
};
use arrow_buffer::{IntervalDayTime, IntervalMonthDayNano, NullBuffer, OffsetBuffer, i256};
use arrow_schema::{DataType, Field, Fields};
use arrow_select::{concat::concat, take::take};
use expect_test::expect;

use super::{ColumnOrder, Corrupt, RowCodec, Unsupported};

/// A column of each type, its values ascending.
fn ascending() -> Vec<ArrayRef> {
    let texts = [
        "",
        "\0",
        "\0\0",
        "\0a",
        "a",
        "a\0",
        "a\0b",
        "aa",
        "b",
        "\u{10FFFF}",
    ];
    let bytes: [&[u8]; 6] = [&[], &[0], &[0, 0], &[0, 1], &[0, 255], &[255]];
    let decimals = [i128::MIN, -1, 0, 1, i128::MAX];
    let day = |days, ms| IntervalDayTime::new(days, ms);
    let month = IntervalMonthDayNano::new;
    let lists = [
        vec![],
        vec![Some(-1)],
        vec![Some(-1), Some(7)],
        vec![Some(-1), None],
        vec![Some(3)],
        vec![None],
    ];
    vec![
        Arc::new(BooleanArray::from(vec![false, true])),
        Arc::new(Int8Array::from(vec![i8::MIN, -1, 0, i8::MAX])),
        Arc::new(Int32Array::from(vec![
            i32::MIN,
            -256,
            -1,
            0,
            1,
            255,
            i32::MAX,
        ])),
        Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, 1, i64::MAX])),
        Arc::new(UInt16Array::from(vec![0, 1, 255, 256, u16::MAX])),
        Arc::new(UInt64Array::from(vec![0, 1, u64::MAX])),
        Arc::new(Float32Array::from(vec![
            f32::NEG_INFINITY,
            -1.5,
            0.0,
            1e-40,
            2.0,
            f32::INFINITY,
            f32::NAN,
        ])),
        Arc::new(Float64Array::from(vec![
            f64::NEG_INFINITY,
            -1e300,
            -5e-324,
            0.0,
            5e-324,
            f64::INFINITY,
            f64::NAN,
        ])),
        Arc::new(Decimal128Array::from(decimals.to_vec())),
        Arc::new(Decimal256Array::from(vec![
            i256::MIN,
            i256::MINUS_ONE,
            i256::ZERO,
            i256::ONE,
            i256::MAX,
        ])),
        Arc::new(Date32Array::from(vec![-1, 0, 20_000])),
        Arc::new(Time64MicrosecondArray::from(vec![0, 1, 86_399_999_999])),
        Arc::new(TimestampMicrosecondArray::from(vec![-1, 0, 1]).with_timezone("UTC")),
        Arc::new(IntervalDayTimeArray::from(vec![
            day(-1, 0),
            day(0, 0),
            day(0, 86_400_000),
            day(1, 0),
            day(2, -1),
        ])),
        Arc::new(IntervalMonthDayNanoArray::from(vec![
            month(-1, 0, 0),
            month(0, 0, 0),
            month(0, 29, 0),
            month(0, 30, 0),
            month(1, 0, 0),
            month(1, 0, 1),
        ])),
        Arc::new(StringArray::from(texts.to_vec())),
        Arc::new(LargeStringArray::from(texts.to_vec())),
        Arc::new(StringViewArray::from(texts.to_vec())),
        Arc::new(BinaryArray::from(bytes.to_vec())),
        Arc::new(FixedSizeBinaryArray::new(
            2,
            vec![0_u8, 0, 0, 1, 1, 0, 255, 255].into(),
            None,
        )),
        Arc::new(ListArray::from_iter_primitive::<
            arrow_array::types::Int64Type,
            _,
            _,
        >(lists.into_iter().map(Some))),
        fixed_lists(),
        structs(),
        Arc::new(NullArray::new(1)),
    ]
}

fn fixed_lists() -> ArrayRef {
    let values = Int32Array::from(vec![Some(1), Some(1), Some(1), Some(2), None, Some(0)]);
    let field = Arc::new(Field::new("item", DataType::Int32, true));
    Arc::new(FixedSizeListArray::new(field, 2, Arc::new(values), None))
}

fn structs() -> ArrayRef {
    let names = StringArray::from(vec![Some("a"), Some("a"), Some("b"), None]);
    let lists = ListArray::new(
        Arc::new(Field::new("item", DataType::Utf8, true)),
        OffsetBuffer::from_lengths([0, 2, 1, 0]),
        Arc::new(StringArray::from(vec![Some("x"), None, Some("y")])),
        None,
    );
    let fields: Fields = vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("list", lists.data_type().clone(), true),
    ]
    .into();
    Arc::new(StructArray::new(
        fields,
        vec![Arc::new(names), Arc::new(lists)],
        None,
    ))
}

fn orders() -> impl Iterator<Item = ColumnOrder> {
    [false, true].into_iter().flat_map(|descending| {
        [false, true].map(|nulls_first| ColumnOrder {
            descending,
            nulls_first,
        })
    })
}

fn codec(array: &ArrayRef, order: ColumnOrder) -> RowCodec {
    RowCodec::new([(array.data_type().clone(), order)]).expect("a type that rows can hold")
}

/// The values with a null behind them.
fn with_null(values: &ArrayRef) -> ArrayRef {
    concat(&[
        values.as_ref(),
        new_null_array(values.data_type(), 1).as_ref(),
    ])
    .expect("both are of one type")
}

#[test]
fn rows_of_each_type_sort_as_their_values_do_and_are_read_back() {
    for values in ascending() {
        for order in orders() {
            let column = with_null(&values);
            let rows = codec(&column, order).encode(std::slice::from_ref(&column), column.len());
            let null = column.len() - 1;
            for a in 0..column.len() {
                for b in 0..column.len() {
                    let expected = match (a == null, b == null) {
                        _ if values.data_type() == &DataType::Null => Ordering::Equal,
                        (false, false) if order.descending => b.cmp(&a),
                        (false, false) => a.cmp(&b),
                        (a, b) if order.nulls_first => b.cmp(&a),
                        (a, b) => a.cmp(&b),
                    };
                    let found = rows.row(a).cmp(rows.row(b));
                    assert_eq!(
                        found,
                        expected,
                        "{}, {order:?}: {a} and {b}",
                        values.data_type()
                    );
                }
            }
            let read = codec(&column, order)
                .decode(rows.iter())
                .expect("what was written");
            assert_eq!(&read[0], &column, "{order:?}");
            let codec = codec(&column, order);
            assert!(rows.iter().all(|row| codec.check(row).is_ok()), "{order:?}");
        }
    }
}

/// Rows of columns of several types, compared column by column.
#[test]
fn rows_sort_by_their_first_column_and_then_the_next() {
    let mut seed = 1_u64;
    let mut random = |bound: usize| {
        seed = seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        ((seed >> 33) % bound as u64) as usize
    };
    let all = ascending();
    let orders: Vec<ColumnOrder> = orders().collect();
    for _ in 0..500 {
        let columns: Vec<(ArrayRef, ColumnOrder)> = (0..1 + random(4))
            .map(|_| (with_null(&all[random(all.len())]), orders[random(4)]))
            .collect();
        let places: Vec<Vec<usize>> = columns
            .iter()
            .map(|(column, _)| (0..20).map(|_| random(column.len())).collect())
            .collect();
        let taken = columns.iter().zip(&places).map(|((column, _), places)| {
            let places: UInt32Array = places
                .iter()
                .map(|place| *place as u32)
                .collect::<Vec<_>>()
                .into();
            take(column, &places, None).expect("places lie in the column")
        });
        let taken: Vec<ArrayRef> = taken.collect();
        let typed = columns
            .iter()
            .map(|(column, order)| (column.data_type().clone(), *order));
        let codec = RowCodec::new(typed).expect("types that rows can hold");
        let rows = codec.encode(&taken, 20);
        let read = codec.decode(rows.iter()).expect("what was written");
        assert_eq!(read, taken);
        for a in 0..20 {
            for b in 0..20 {
                let mut expected = Ordering::Equal;
                for ((column, order), places) in columns.iter().zip(&places) {
                    let null = column.len() - 1;
                    let (a, b) = (places[a], places[b]);
                    let by_column = match (a == null, b == null) {
                        _ if column.data_type() == &DataType::Null => Ordering::Equal,
                        (false, false) if order.descending => b.cmp(&a),
                        (false, false) => a.cmp(&b),
                        (a, b) if order.nulls_first => b.cmp(&a),
                        (a, b) => a.cmp(&b),
                    };
                    expected = expected.then(by_column);
                }
                assert_eq!(rows.row(a).cmp(rows.row(b)), expected);
            }
        }
    }
}

#[test]
fn zeros_are_equal_and_so_are_all_nans() {
    let negative_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 1);
    let column: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, negative_nan]));
    let rows = codec(&column, ColumnOrder::default()).encode(&[column], 4);
    assert_eq!(rows.row(0), rows.row(1));
    assert_eq!(rows.row(2), rows.row(3));
}

/// What is written is on disk: these bytes may not change.
#[test]
fn bytes_are_those_of_the_format() {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(-2), None])),
        Arc::new(StringArray::from(vec![Some("a\0"), None])),
        Arc::new(Float64Array::from(vec![Some(-1.0), None])),
        Arc::new(ListArray::from_iter_primitive::<
            arrow_array::types::Int8Type,
            _,
            _,
        >([Some(vec![Some(1)]), None])),
    ];
    let orders = [
        ColumnOrder::default(),
        ColumnOrder {
            descending: true,
            nulls_first: true,
        },
    ];
    let mut text = String::new();
    for order in orders {
        let typed = columns
            .iter()
            .map(|column| (column.data_type().clone(), order));
        let codec = RowCodec::new(typed).expect("types that rows can hold");
        for row in codec.encode(&columns, 2).iter() {
            row.iter()
                .for_each(|byte| text.push_str(&format!("{byte:02x}")));
            text.push('\n');
        }
    }
    expect![[r#"
        017ffffffe016100ff000001400fffffffffffff0101018100
        02000000000202000000000000000002
        fe80000001fe9eff00fffffebff0000000000000fefefe7eff
        fdfffffffffdfdfffffffffffffffffd
    "#]]
    .assert_eq(&text);
}

#[test]
fn other_bytes_are_corrupt() {
    for values in ascending() {
        let column = with_null(&values);
        let codec = codec(&column, ColumnOrder::default());
        let rows = codec.encode(&[column], values.len() + 1);
        for row in rows.iter() {
            for length in 0..row.len() {
                assert_eq!(
                    codec.decode([&row[..length]]).err(),
                    Some(Corrupt),
                    "{}",
                    values.data_type()
                );
            }
            let longer = [row, &[1]].concat();
            assert_eq!(
                codec.decode([longer.as_slice()]).err(),
                Some(Corrupt),
                "{}",
                values.data_type()
            );
            // Whatever a flipped bit makes of it, nothing panics.
            for bit in 0..row.len() * 8 {
                let mut flipped = row.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let decoded = codec.decode([flipped.as_slice()]);
                assert_eq!(
                    codec.check(&flipped).is_ok(),
                    decoded.is_ok(),
                    "{flipped:?}"
                );
            }
        }
    }
    let text = RowCodec::ascending([&DataType::Utf8]).expect("text is known");
    assert_eq!(text.decode([&[1, 0xFF, 0, 0][..]]).err(), Some(Corrupt));
}

#[test]
fn a_null_within_a_fixed_list_or_struct_hides_what_is_under_it() {
    let values: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
    let field = Arc::new(Field::new("item", DataType::Int32, true));
    let nulls = NullBuffer::from(vec![false, true]);
    let lists: ArrayRef = Arc::new(FixedSizeListArray::new(field, 2, values, Some(nulls)));
    let codec = codec(&lists, ColumnOrder::default());
    let rows = codec.encode(std::slice::from_ref(&lists), 2);
    assert_eq!(rows.row(0), [2]);
    assert_eq!(
        &codec.decode(rows.iter()).expect("what was written")[0],
        &lists
    );
}

#[test]
fn types_without_an_order_are_refused() {
    let keys = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let list = DataType::List(Arc::new(Field::new("item", keys.clone(), true)));
    assert_eq!(RowCodec::ascending([&list]).err(), Some(Unsupported(keys)));
}
