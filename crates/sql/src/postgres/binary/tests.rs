//! Binary forms as PostgreSQL's send functions give them, and back.

use super::*;

fn encoded(value: &ScalarValue) -> Vec<u8> {
    let array = value.to_array().expect("a value is an array of one row");
    let field = Field::new("", array.data_type().clone(), true);
    let mut out = Vec::new();
    encode(&field, array.as_ref(), 0, &mut out).expect("the type has a binary form");
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Right sides as `select encode(numeric_send(…), 'hex')` of PostgreSQL gives them.
#[test]
fn numerics() {
    let cases = [
        (0, 2, "0000000000000002"),
        (1, 0, "00010000000000000001"),
        (-12_345, 2, "0002000040000002007b1194"),
        (1, 8, "0001fffe000000080001"),
        (100_000_000, 0, "00010002000000000001"),
        (123_456_789, 4, "0003000100000004000109291a85"),
        (10, 1, "00010000000000010001"),
    ];
    for (value, scale, expected) in cases {
        let value = ScalarValue::Decimal128(Some(value), 38, scale);
        assert_eq!(hex(&encoded(&value)), expected, "{value}");
    }
}

#[test]
fn values_come_back() {
    let cases = [
        (oid::BOOL, ScalarValue::Boolean(Some(true))),
        (oid::INT2, ScalarValue::Int16(Some(-2))),
        (oid::INT4, ScalarValue::Int32(Some(7))),
        (oid::INT8, ScalarValue::Int64(Some(i64::MIN))),
        (oid::FLOAT4, ScalarValue::Float32(Some(1.5))),
        (oid::FLOAT8, ScalarValue::Float64(Some(-0.25))),
        (
            oid::NUMERIC,
            ScalarValue::Decimal128(Some(-1_234_567_890_123), 38, 5),
        ),
        (oid::NUMERIC, ScalarValue::Decimal128(Some(0), 38, 3)),
        (oid::BYTEA, ScalarValue::Binary(Some(vec![0, 255]))),
        (oid::DATE, ScalarValue::Date32(Some(20_000))),
        (
            oid::TIME,
            ScalarValue::Time64Microsecond(Some(86_399_999_999)),
        ),
        (
            oid::TIMESTAMP,
            ScalarValue::TimestampMicrosecond(Some(-1), None),
        ),
        (
            oid::TIMESTAMPTZ,
            ScalarValue::TimestampMicrosecond(Some(1), Some("UTC".into())),
        ),
        (25, ScalarValue::Utf8(Some("é".to_owned()))),
    ];
    for (type_oid, value) in cases {
        let bytes = encoded(&value);
        assert_eq!(decode(type_oid, &bytes).expect("what was encoded"), value);
        if type_oid != 25 && type_oid != oid::BYTEA {
            let short = decode(type_oid, &bytes[..bytes.len() - 1]);
            assert!(short.is_err(), "{value} cut short");
        }
    }
}

#[test]
fn lists_come_back() {
    let values = [Some(1), None, Some(3)].map(ScalarValue::Int32);
    let list = ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Int32));
    let bytes = encoded(&list);
    assert_eq!(
        hex(&bytes),
        "00000001000000010000001700000003000000010000000400000001ffffffff0000000400000003"
    );
    assert_eq!(decode(1007, &bytes).expect("what was encoded"), list);
    let mut lie = bytes;
    lie[12..16].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(decode(1007, &lie).is_err());
}
