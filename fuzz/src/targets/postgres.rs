//! Messages of Postgres clients.

use sql::postgres::{
    certificate::end_point,
    message::{
        AUTHENTICATION_BYTES_MAX, First, Request, Sasl, authentication_frame, first_frame,
        request_frame,
    },
    scram::{Exchange, ScramError, Secret},
    users::UserList,
};

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

const SECRET: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// Both messages of an exchange, with channel binding and without, and files that an operator writes.
pub fn scram_seeds() -> Vec<Vec<u8>> {
    let first = |mechanism: &str, said: &str| {
        let length = (said.len() as u32).to_be_bytes();
        let body = [mechanism.as_bytes(), b"\0", &length, said.as_bytes()];
        message(b'p', &body.concat())
    };
    let nonce = "abcAQEBAQEBAQEBAQEBAQEBAQEB";
    let last = |binding: &str| {
        let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        message(b'p', format!("c={binding},r={nonce},p={proof}").as_bytes())
    };
    vec![
        [first("SCRAM-SHA-256", "n,,n=,r=abc"), last("biws")].concat(),
        [
            first("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc"),
            last("cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAQI="),
        ]
        .concat(),
        format!("\"ann\" \"{SECRET}\"\n; more\n\"b\"\"b\" \"secret\"\n").into_bytes(),
        b"\x30\x14\x30\x02\x05\x00\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x03\x02\x00\x01"
            .to_vec(),
    ]
}

/// Nobody proves anything by chance.
pub fn scram(input: &[u8]) {
    let _ = end_point(input);
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = UserList::parse(text);
    }
    let Ok(Some(bytes)) = authentication_frame(input) else {
        return;
    };
    assert!(bytes <= AUTHENTICATION_BYTES_MAX + 1);
    let (frame, rest) = input.split_at(bytes);
    let Ok(initial) = Sasl::initial(frame) else {
        return;
    };
    let secret = Secret::parse(SECRET).expect("as Postgres keeps it");
    let exchange = Exchange::new(secret, true, Some(vec![1, 2]), [1; 18]);
    let Some(Ok((challenged, _))) = initial
        .message
        .map(|message| exchange.first(initial.mechanism, message))
    else {
        return;
    };
    if let Ok(Some(bytes)) = authentication_frame(rest)
        && let Ok(said) = Sasl::further(&rest[..bytes])
    {
        let proven: Result<String, ScramError> = challenged.last(said);
        assert!(proven.is_err());
    }
}

/// A message is kept, answered and signed; a list's names and secrets stand in a tree.
pub fn scram_bytes_max(input_bytes: usize) -> usize {
    64 * input_bytes + (16 << 10)
}
