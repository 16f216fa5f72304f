//! Values as PostgreSQL 15 writes them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Float32Array, Float64Array, IntervalMonthDayNanoArray,
    ListArray, TimestampMicrosecondArray, types::Int32Type,
};

use super::*;

fn written(array: &ArrayRef, style: &Style) -> Vec<String> {
    let field = Field::new("", array.data_type().clone(), true);
    let rows = (0..array.len()).map(|row| {
        let mut out = Vec::new();
        write(&field, array.as_ref(), row, style, &mut out).expect("the type has a text");
        String::from_utf8(out).expect("text is UTF-8")
    });
    rows.collect()
}

fn default(array: impl Array + 'static) -> Vec<String> {
    written(&(Arc::new(array) as ArrayRef), &Style::default())
}

#[test]
fn floats() {
    let values = vec![
        0.0,
        -0.0,
        1.0,
        0.1,
        100.0,
        1e14,
        1e15,
        1_234_567_890_123_456.0,
        0.0001,
        0.00001,
        -2.5e-7,
        1e300,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    let expected = [
        "0",
        "-0",
        "1",
        "0.1",
        "100",
        "100000000000000",
        "1e+15",
        "1.234567890123456e+15",
        "0.0001",
        "1e-05",
        "-2.5e-07",
        "1e+300",
        "NaN",
        "Infinity",
        "-Infinity",
    ];
    assert_eq!(default(Float64Array::from(values)), expected);
    assert_eq!(
        default(Float32Array::from(vec![1e6, 123_456.5, 1e5])),
        ["1e+06", "123456.5", "100000"]
    );
    let fewer = Style::new("UTC", "0");
    let array: ArrayRef = Arc::new(Float64Array::from(vec![0.1 + 0.2, 1.0 / 3.0]));
    assert_eq!(written(&array, &fewer), ["0.3", "0.333333333333333"]);
}

#[test]
fn times() {
    let moments = vec![
        0,
        951_782_400_000_000,
        -1,
        1_700_000_000_123_400,
        -62_135_596_800_000_001,
    ];
    let plain = TimestampMicrosecondArray::from(moments.clone());
    let expected = [
        "1970-01-01 00:00:00",
        "2000-02-29 00:00:00",
        "1969-12-31 23:59:59.999999",
        "2023-11-14 22:13:20.1234",
        "0001-12-31 23:59:59.999999 BC",
    ];
    assert_eq!(default(plain), expected);
    let zoned: ArrayRef = Arc::new(TimestampMicrosecondArray::from(moments).with_timezone("UTC"));
    assert_eq!(
        written(&zoned, &Style::default())[0],
        "1970-01-01 00:00:00+00"
    );
    assert_eq!(
        written(&zoned, &Style::new("+05:30", "1"))[0],
        "1970-01-01 05:30:00+05:30"
    );
    assert_eq!(
        default(Date32Array::from(vec![19_000, -719_529])),
        ["2022-01-08", "0002-12-31 BC"]
    );
}

#[test]
fn intervals() {
    let spans = vec![
        IntervalMonthDayNano::new(0, 0, 0),
        IntervalMonthDayNano::new(14, 3, 3_723_500_000_000),
        IntervalMonthDayNano::new(0, -1, 10_800_000_000_000),
        IntervalMonthDayNano::new(1, -1, -500_000_000),
    ];
    let expected = [
        "00:00:00",
        "1 year 2 mons 3 days 01:02:03.5",
        "-1 days +03:00:00",
        "1 mon -1 days -00:00:00.5",
    ];
    assert_eq!(default(IntervalMonthDayNanoArray::from(spans)), expected);
}

#[test]
fn lists_and_bytes() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        Some(vec![]),
    ]);
    assert_eq!(default(list), ["{1,NULL}", "{}"]);
    assert_eq!(
        default(BinaryArray::from(vec![&b"\x00\xff"[..]])),
        ["\\x00ff"]
    );
    let words = ["a b", "", "null", "x\"y", "plain"].map(Some);
    let mut builder = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    builder.append_value(words);
    assert_eq!(
        default(builder.finish()),
        ["{\"a b\",\"\",\"null\",\"x\\\"y\",plain}"]
    );
}
