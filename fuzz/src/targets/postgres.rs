//! Messages of Postgres clients.

use sql::postgres::message::{First, Request, first_frame, request_frame};

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend((body.len() as u32 + 4).to_be_bytes());
    frame.extend(body);
    frame
}

/// A startup packet, a request to cancel, and one of each message behind them.
pub fn seeds() -> Vec<Vec<u8>> {
    let startup = b"\0\0\0\x17\0\x03\0\0user\0ann\0a\0bc\0\0".to_vec();
    let cancel = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04".to_vec();
    let bind = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff\0\x01\0\x01";
    let session = [
        message(b'Q', b"SELECT 1\0"),
        message(b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17"),
        message(b'B', bind),
        message(b'D', b"Pp\0"),
        message(b'E', b"p\0\0\0\0\x05"),
        message(b'C', b"Ss\0"),
        message(b'H', b""),
        message(b'S', b""),
        message(b'd', b"1\t2\n"),
        message(b'f', b"no\0"),
        message(b'p', b"secret\0"),
        message(b'X', b""),
    ];
    vec![
        startup.clone(),
        cancel,
        session.concat(),
        [startup, session.concat()].concat(),
    ]
}

/// Walks the messages of a stream as a connection does: as first ones while they are, then as requests.
pub fn messages(mut input: &[u8]) {
    while let Ok(Some(bytes)) = first_frame(input) {
        let (frame, rest) = input.split_at(bytes);
        input = rest;
        match First::decode(frame) {
            Ok(First::Startup(startup)) => {
                let kept: usize = startup
                    .parameters
                    .iter()
                    .map(|(name, value)| name.len() + value.len())
                    .sum();
                assert!(kept < frame.len());
                break;
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
    while let Ok(Some(bytes)) = request_frame(input) {
        let (frame, rest) = input.split_at(bytes);
        input = rest;
        if let Ok(Request::Bind(bind)) = Request::decode(frame) {
            let kept: usize = bind.values.iter().flatten().map(|value| value.len()).sum();
            assert!(kept < frame.len());
        }
    }
}

/// A list's elements take up to four times their bytes, and twice that while it grows; so do a parameter's two texts.
pub fn bytes_max(input_bytes: usize) -> usize {
    24 * input_bytes + (4 << 10)
}
