//! Lines and values of COPY, in pieces cut anywhere.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema},
};
use expect_test::{Expect, expect};

use super::{CopyReader, CopyWriter};
use crate::{
    backend::SqlError,
    postgres::encoding::{Columns, Encoder},
    session::CopyTarget,
    statement::{CopyFormat, StatementKind, parse},
    text::Style,
};

fn format(options: &str) -> CopyFormat {
    let text = format!("COPY t FROM STDIN {options}");
    match parse(&text).expect("it parses").remove(0).kind {
        StatementKind::CopyFrom(from) => from.format,
        other => panic!("{other:?}"),
    }
}

fn target(options: &str) -> Arc<CopyTarget> {
    Arc::new(CopyTarget {
        table: "t".to_owned(),
        schema: Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::Utf8, true),
        ])),
        format: format(options),
    })
}

fn read(options: &str, bytes: &[u8], piece: usize) -> Result<Vec<RecordBatch>, SqlError> {
    let mut reader = CopyReader::new(target(options));
    for piece in bytes.chunks(piece) {
        reader.take(piece)?;
    }
    reader.finish()
}

fn written(options: &str, rows: &[RecordBatch]) -> Vec<u8> {
    let format = format(options);
    let writer = CopyWriter(&format);
    let mut out = Vec::new();
    let schema = target(options).schema.clone();
    out.extend(writer.header(&schema).unwrap_or_default());
    let encoder = Encoder::new(&schema, &[writer.is_binary().into()], &Style::default());
    for batch in rows {
        let columns = Columns::new(batch).expect("columns that are shown");
        for row in 0..batch.num_rows() {
            out.extend(writer.row(&encoder, &columns, row).expect("a row"));
        }
    }
    out.extend(writer.trailer().unwrap_or_default());
    out
}

/// Rows as text, whatever they came as; or where they were wrong.
fn check(options: &str, bytes: &[u8], expected: Expect) {
    let shown = |piece| match read(options, bytes, piece) {
        Ok(rows) => String::from_utf8(written("", &rows)).expect("text"),
        Err(error) => format!("{}\n{}\n", error.message, error.context.unwrap_or_default()),
    };
    let whole = shown(bytes.len().max(1));
    for piece in 1..bytes.len().min(20) {
        assert_eq!(shown(piece), whole, "pieces of {piece}");
    }
    expected.assert_eq(&whole);
}

#[test]
fn text_is_read_as_postgres_does() {
    check(
        "",
        b"1\ta\\tb\\\\\\x41\\101\\\nc\r\n\\N\t\\N\n3\t\\\\N\n4\t\n\\.\nwhatever",
        expect![[r#"
            1	a\tb\\AA\nc
            \N	\N
            3	\\N
            4	
        "#]],
    );
    check(
        "(DELIMITER '|', NULL 'none', HEADER match)",
        b"a|b\n1|x\\|y\nnone|none",
        expect![[r#"
            1	x|y
            \N	\N
        "#]],
    );
}

#[test]
fn csv_is_read_as_postgres_does() {
    check(
        "CSV HEADER",
        b"whatever,this is\n1,\"a,\"\"b\"\"\nc\"\r\n,\n3,\"\"\n4,x\"y,\"z\n",
        expect![[r#"
            1	a,"b"\nc
            \N	\N
            3	
            4	xy,z
        "#]],
    );
    check(
        "(FORMAT csv, QUOTE '''', ESCAPE '~', NULL '-')",
        b"1,'it~'s ~~ ~x'\n-,-\n",
        expect![[r#"
            1	it's ~ ~x
            \N	\N
        "#]],
    );
}

#[test]
fn errors_tell_their_place() {
    for (options, bytes, expected) in [
        (
            "",
            &b"1\ta\n2x\tb\n"[..],
            expect![[r#"
            invalid input syntax for type integer: "2x"
            COPY t, line 2, column a: "2x"
        "#]],
        ),
        (
            "",
            b"1\ta\n2\n",
            expect![[r#"
            missing data for column "b"
            COPY t, line 2: "2"
        "#]],
        ),
        (
            "",
            b"1\ta\tb\n",
            expect![[r#"
            extra data after last expected column
            COPY t, line 1: "1	a	b"
        "#]],
        ),
        (
            "",
            b"1\t\xff\n",
            expect![[r#"
            invalid byte sequence for encoding "UTF8": 0xff
            COPY t, line 1: "1	�"
        "#]],
        ),
        (
            "CSV",
            b"1,\"a\nb\nc",
            expect![[r#"
            unterminated CSV quoted field
            COPY t, line 3: "1,"a
            b
            c"
        "#]],
        ),
        (
            "CSV",
            b"1,\"a\nb\"\nx,c",
            expect![[r#"
            invalid input syntax for type integer: "x"
            COPY t, line 3, column a: "x"
        "#]],
        ),
        (
            "(HEADER match)",
            b"a\tc\n",
            expect![[r#"
            column name mismatch in header line field 2: got "c", expected "b"
            COPY t, line 1
        "#]],
        ),
        (
            "BINARY",
            b"1\ta\n",
            expect![[r#"
            COPY file signature not recognized
            COPY t, line 0
        "#]],
        ),
        (
            "BINARY",
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\0\0",
            expect![[r#"
            unexpected EOF in COPY data
            COPY t, line 0
        "#]],
        ),
        (
            "BINARY",
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\xff\xff\xff\xff",
            expect![[r#"
            row field count is 1, expected 2
            COPY t, line 1
        "#]],
        ),
    ] {
        check(options, bytes, expected);
    }
}

/// Whatever is written is read again.
#[test]
fn what_is_written_is_read() {
    let rows = read("", b"1\ta\\tb,\"\\\\\\n\n\\N\t\\N\n3\t\n", 100).expect("rows");
    for options in [
        "",
        "CSV",
        "CSV HEADER",
        "(FORMAT csv, ESCAPE '\\')",
        "BINARY",
        "(DELIMITER ';')",
    ] {
        let again = read(options, &written(options, &rows), 7).expect("rows");
        assert_eq!(again, rows, "{options}");
    }
}
