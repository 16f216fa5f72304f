//! Messages as clients send them, and what is no message.

use super::*;

/// What psql 15 sends first: a request for encryption, then its startup packet.
const PSQL_SSL: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
const PSQL_STARTUP: &[u8] = b"\0\0\0\x54\0\x03\0\0user\0ann\0database\0forebay\0application_name\0psql\0client_encoding\0UTF8\0\0";

fn startup_frame() -> Vec<u8> {
    let mut frame = PSQL_STARTUP.to_vec();
    let length = u32::try_from(frame.len()).expect("it is short");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend((body.len() as u32 + 4).to_be_bytes());
    frame.extend(body);
    frame
}

#[test]
fn psql_begins() {
    assert_eq!(first_frame(PSQL_SSL), Ok(Some(8)));
    assert_eq!(First::decode(PSQL_SSL), Ok(First::Ssl));
    let frame = startup_frame();
    assert_eq!(first_frame(&frame), Ok(Some(frame.len())));
    let Ok(First::Startup(startup)) = First::decode(&frame) else {
        panic!("a startup packet");
    };
    assert_eq!(startup.minor, 0);
    let names: Vec<_> = startup
        .parameters
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        ["user", "database", "application_name", "client_encoding"]
    );
}

#[test]
fn frames_are_cut_where_they_end() {
    let frame = startup_frame();
    for length in 0..frame.len() {
        assert_eq!(first_frame(&frame[..length]), Ok(None), "{length} bytes");
    }
    let query = message(b'Q', b"SELECT 1\0");
    let mut two = query.clone();
    two.extend(&query);
    for length in 0..query.len() {
        assert_eq!(request_frame(&two[..length]), Ok(None), "{length} bytes");
    }
    assert_eq!(request_frame(&two), Ok(Some(query.len())));
}

#[test]
fn lengths_are_bounded() {
    let too_long = [b'Q', 0x01, 0, 0, 1];
    assert!(matches!(
        request_frame(&too_long),
        Err(DecodeError::TooLong { .. })
    ));
    assert_eq!(
        request_frame(&[b'Q', 0, 0, 0, 3]),
        Err(DecodeError::Length(3))
    );
    assert_eq!(
        request_frame(&[b'Q', 0xff, 0, 0, 0]),
        Err(DecodeError::Length(0xff00_0000))
    );
    assert_eq!(request_frame(b"GET /"), Err(DecodeError::Kind(b'G')));
    assert!(matches!(
        first_frame(b"GET / HTTP/1.1\r\n"),
        Err(DecodeError::TooLong { .. })
    ));
}

#[test]
fn requests_decode() {
    let query = message(b'Q', b"SELECT 1\0");
    assert_eq!(Request::decode(&query), Ok(Request::Query("SELECT 1")));
    let parse = message(b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17");
    let expected = Request::Parse {
        name: "s",
        sql: "SELECT $1",
        types: vec![23],
    };
    assert_eq!(Request::decode(&parse), Ok(expected));
    let bind = message(
        b'B',
        b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff\0\x01\0\x01",
    );
    let expected = Request::Bind(Bind {
        portal: "",
        statement: "s",
        formats: vec![1],
        values: vec![Some(&[0, 0, 0, 7]), None],
        result_formats: vec![1],
    });
    assert_eq!(Request::decode(&bind), Ok(expected));
    let execute = message(b'E', b"\0\xff\xff\xff\xff");
    let expected = Request::Execute {
        portal: "",
        rows_max: 0,
    };
    assert_eq!(Request::decode(&execute), Ok(expected));
    let describe = message(b'D', b"Ss\0");
    assert_eq!(
        Request::decode(&describe),
        Ok(Request::Describe(Target::Statement("s")))
    );
}

/// Counts and lengths that say more than is there, and messages that end too late.
#[test]
fn lies_are_refused() {
    let cases: &[(u8, &[u8], DecodeError)] = &[
        (b'Q', b"SELECT 1", DecodeError::Short),
        (b'Q', b"SELECT 1\0x", DecodeError::Trailing),
        (b'Q', b"\xff\0", DecodeError::Text),
        (b'P', b"s\0SELECT 1\0", DecodeError::Short),
        (b'P', b"s\0SELECT 1\0\xff\xff", DecodeError::Short),
        (b'B', b"\0s\0\0\0\0\x01\x7f\xff\xff\xff", DecodeError::Short),
        (b'B', b"\0s\0\0\0\xff\xff\0\0", DecodeError::Short),
        (b'D', b"Xs\0", DecodeError::Trailing),
        (b'E', b"\0\0\0", DecodeError::Short),
        (b'S', b"x", DecodeError::Trailing),
    ];
    for (kind, body, expected) in cases {
        assert_eq!(
            Request::decode(&message(*kind, body)),
            Err(*expected),
            "{}",
            *kind as char
        );
    }
}

#[test]
fn rows_that_fail_leave_nothing() {
    let mut replies = Replies::default();
    replies.plain(Plain::ParseComplete);
    let before = replies.bytes.clone();
    let failed = replies.data_row(2, |column, out| {
        out.extend(b"half");
        if column == 0 {
            Ok(true)
        } else {
            Err(SqlError::new(*b"22012", "division by zero"))
        }
    });
    assert!(failed.is_err());
    assert_eq!(replies.bytes, before);
}

#[test]
fn text_holds_no_zero_byte() {
    let mut replies = Replies::default();
    replies.error(Severity::Error, &SqlError::new(*b"42601", "a\0b"));
    let zeros = replies
        .bytes
        .windows(3)
        .filter(|part| *part == b"Mab")
        .count();
    assert_eq!(zeros, 1);
}
