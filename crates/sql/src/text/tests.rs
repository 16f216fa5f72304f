//! Values as PostgreSQL 15 writes them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Float32Array, Float64Array, IntervalMonthDayNanoArray,
    ListArray, StringArray, TimestampMicrosecondArray, types::Int32Type,
};

use super::*;
use crate::column_type::postgres_type;

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
    default_of(&(Arc::new(array) as ArrayRef))
}

fn default_of(array: &ArrayRef) -> Vec<String> {
    written(array, &Style::default())
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
        written(&zoned, &Style::new("Asia/Kolkata", "1"))[0],
        "1970-01-01 05:30:00+05:30"
    );
    // As POSIX has it, hours are those to the west of Greenwich.
    assert_eq!(
        written(&zoned, &Style::new("+05:30", "1"))[0],
        "1969-12-31 18:30:00-05:30"
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

#[test]
fn texts_fit_their_columns() {
    let field = |sql_type: &str| {
        let dialect = datafusion_sql::sqlparser::dialect::PostgreSqlDialect {};
        let mut parser = datafusion_sql::sqlparser::parser::Parser::new(&dialect)
            .try_with_sql(sql_type)
            .expect("it has tokens");
        let written = parser.parse_data_type().expect("it is a type");
        crate::column_type::field_of("", &written).expect("it is known")
    };
    let kept = |sql_type: &str, text: &str| {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some(text), None]));
        let kept = stored(&field(sql_type), &column).map_err(|error| error.message)?;
        assert!(kept.is_null(1));
        Ok::<_, String>(kept.as_string::<i32>().value(0).to_owned())
    };
    let small = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    for text in [
        small,
        &small.to_uppercase(),
        &small.replace('-', ""),
        "{a0eebc999c0b4ef8bb6d6bb9bd380a11}",
        "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
    ] {
        assert_eq!(kept("UUID", text), Ok(small.to_owned()));
    }
    let wrong = [
        "",
        "a0eebc99",
        "{",
        "a0-eebc999c0b4ef8bb6d6bb9bd380a1",
        "a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11",
        &small.replace('a', "g"),
    ];
    for text in wrong {
        let wanted = format!("invalid input syntax for type uuid: \"{text}\"");
        assert_eq!(kept("UUID", text), Err(wanted));
    }
    assert_eq!(kept("JSON", " [1] "), Ok(" [1] ".to_owned()));
    let document = "{\"bb\":1,\"a\":[1,{}],\"a\":\"\\u00e4\"}";
    let wanted = "{\"a\": \"ä\", \"bb\": 1}";
    assert_eq!(kept("JSONB", document), Ok(wanted.to_owned()));
    let wanted = "invalid input syntax for type jsonb: \"{bad\"";
    assert_eq!(kept("JSONB", "{bad"), Err(wanted.to_owned()));
    assert_eq!(kept("VARCHAR(3)", "äöü  "), Ok("äöü".to_owned()));
    let wanted = "value too long for type character varying(3)";
    assert_eq!(kept("VARCHAR(3)", "äöü  x"), Err(wanted.to_owned()));
    assert_eq!(kept("VARCHAR", "äöü  x"), Ok("äöü  x".to_owned()));
}

/// A number may be sixteen times as long without its exponent.
#[test]
fn documents_that_grow_beyond_a_column_are_refused() {
    let field = crate::column_type::marked(Field::new("", DataType::Utf8, true), "jsonb");
    let text = format!("[{}1]", "1e63,".repeat(3_000_000));
    let column: ArrayRef = Arc::new(StringArray::from(vec![text; 3]));
    let refused = stored(&field, &column).expect_err("it would be of 576 MiB");
    assert_eq!(
        refused.sqlstate,
        crate::error::sqlstate::PROGRAM_LIMIT_EXCEEDED
    );
}

/// As PostgreSQL 15 reads them.
#[test]
fn texts_become_values() {
    let read_as = |to: &DataType, text: &str| {
        let texts = StringArray::from(vec![Some(text), None]);
        let found = column(&texts, to, false).map_err(|error| error.message);
        let found = found.inspect(|found| {
            assert_eq!((found.data_type(), found.len()), (to, 2));
            assert!(found.is_null(1));
            let of = postgres_type(&Field::new("", to.clone(), true));
            let one = read(of.oid, text).expect("a column of it is read");
            let one = one.cast_to(to).expect("its own type").to_array();
            assert_eq!(one.expect("one value").as_ref(), found.slice(0, 1).as_ref());
        });
        let lenient = column(&texts, to, true).expect("nothing is refused");
        assert_eq!(lenient.is_null(0), found.is_err(), "{text}");
        found.map(|found| default_of(&found)[0].clone())
    };
    let microseconds = TimeUnit::Microsecond;
    let zoned = DataType::Timestamp(microseconds, Some("UTC".into()));
    let plain = DataType::Timestamp(microseconds, None);
    let integers = DataType::new_list(DataType::Int32, true);
    let cases = [
        (DataType::Boolean, " Tru ", "t"),
        (DataType::Int16, " -32768 ", "-32768"),
        (DataType::Int64, "+7", "7"),
        (DataType::Float64, "-inf", "-Infinity"),
        (DataType::Float32, " 1e-3", "0.001"),
        (DataType::Decimal128(5, 2), "1.005", "1.01"),
        (DataType::Decimal128(5, 2), " 12e1 ", "120.00"),
        (DataType::Binary, "\\x 01aB", "\\x01ab"),
        (DataType::Binary, "a\\\\\\001", "\\x615c01"),
        (DataType::Date32, "2026-1-9", "2026-01-09"),
        (DataType::Date32, "20260109", "2026-01-09"),
        (DataType::Date32, "2026-01-09 10:00", "2026-01-09"),
        (DataType::Date32, "epoch", "1970-01-01"),
        (DataType::Time64(microseconds), "9:30", "09:30:00"),
        (plain.clone(), "2026-01-09 10:00", "2026-01-09 10:00:00"),
        (
            plain.clone(),
            " 2026-01-09T9:00:01.5+02 ",
            "2026-01-09 09:00:01.5",
        ),
        (
            zoned.clone(),
            "2026-01-09 10:00+02:30",
            "2026-01-09 07:30:00+00",
        ),
        (
            zoned.clone(),
            "2026-07-09 10:00 Europe/Zurich",
            "2026-07-09 08:00:00+00",
        ),
        (zoned.clone(), "2026-07-09", "2026-07-09 00:00:00+00"),
        (
            DataType::Interval(IntervalUnit::MonthDayNano),
            "1 day 2:03",
            "1 day 02:03:00",
        ),
        (integers.clone(), "{1, NULL,3}", "{1,NULL,3}"),
    ];
    for (to, text, shown) in cases {
        assert_eq!(read_as(&to, text).as_deref(), Ok(shown), "{text}");
    }
    let refused = [
        (
            DataType::Boolean,
            "o",
            "invalid input syntax for type boolean: \"o\"",
        ),
        (
            DataType::Int16,
            "32768",
            "value \"32768\" is out of range for type smallint",
        ),
        (
            DataType::Int32,
            "5.0",
            "invalid input syntax for type integer: \"5.0\"",
        ),
        (
            DataType::Float64,
            "1e400",
            "value \"1e400\" is out of range for type double precision",
        ),
        (
            DataType::Float64,
            "1e-400",
            "value \"1e-400\" is out of range for type double precision",
        ),
        (DataType::Decimal128(5, 2), "1000", "numeric field overflow"),
        (
            DataType::Binary,
            "\\x0",
            "invalid input syntax for type bytea: \"\\x0\"",
        ),
        (
            DataType::Date32,
            "2026-02-30",
            "invalid input syntax for type date: \"2026-02-30\"",
        ),
        (
            plain,
            "soon",
            "invalid input syntax for type timestamp: \"soon\"",
        ),
        (
            zoned,
            "2026-07-09 10:00 Europe/Nowhere",
            "invalid input syntax for type timestamp with time zone: \"2026-07-09 10:00 Europe/Nowhere\"",
        ),
        (integers, "{1", "malformed array literal: \"{1\""),
    ];
    for (to, text, message) in refused {
        assert_eq!(read_as(&to, text), Err(message.to_owned()), "{text}");
    }
}
