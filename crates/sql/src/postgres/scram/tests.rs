//! The vectors of RFC 7677, whole exchanges with a client, and what is no exchange.

use super::*;

const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_LAST: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn secret(password: &str) -> Secret {
    let salt = STANDARD.decode(SALT).expect("it is base64");
    Secret::of_password(password, &salt, 4096)
}

/// With the nonce of the RFC.
fn exchange(is_known: bool) -> Exchange {
    Exchange {
        secret: secret("pencil"),
        is_known,
        end_point: None,
        nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned(),
    }
}

fn bound(end_point: &[u8]) -> Exchange {
    Exchange::new(secret("pencil"), true, Some(end_point.to_vec()), [7; 18])
}

/// Goes through an exchange as a client that sends this header; whether each is sure of the other.
fn meet(
    exchange: Exchange,
    password: &str,
    header: &str,
    end_point: &[u8],
) -> Result<(), ScramError> {
    let mechanism = match header.starts_with('p') {
        true => SHA_256_PLUS,
        false => SHA_256,
    };
    let bare = "n=,r=client";
    let (challenged, challenge) =
        exchange.first(mechanism, format!("{header}{bare}").as_bytes())?;
    let parts: Vec<&str> = challenge.split(',').collect();
    let [nonce, salt, iterations] = parts[..] else {
        panic!("{challenge}");
    };
    assert!(nonce.starts_with("r=client"));
    let salt = STANDARD.decode(&salt[2..]).expect("it is base64");
    let iterations = iterations[2..].parse().expect("a number");
    let password = stringprep::saslprep(password).unwrap_or(password.into());
    let mut salted = [0; KEY_BYTES];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, iterations, &mut salted);
    let client_key = keyed(&salted, &[b"Client Key"]);
    let binding = STANDARD.encode([header.as_bytes(), end_point].concat());
    let last = format!("c={binding},{nonce}");
    let said = format!("{bare},{challenge},{last}");
    let signature = keyed(&Sha256::digest(client_key), &[said.as_bytes()]);
    let proof: Vec<u8> = client_key
        .iter()
        .zip(signature)
        .map(|(a, b)| a ^ b)
        .collect();
    let told = challenged.last(format!("{last},p={}", STANDARD.encode(proof)).as_bytes())?;
    let server_key = keyed(&salted, &[b"Server Key"]);
    let signature = keyed(&server_key, &[said.as_bytes()]);
    assert_eq!(told, format!("v={}", STANDARD.encode(signature)));
    Ok(())
}

#[test]
fn vectors_of_the_rfc() {
    let (challenged, challenge) = exchange(true)
        .first(SHA_256, CLIENT_FIRST.as_bytes())
        .expect("a first message");
    assert_eq!(challenge, SERVER_FIRST);
    assert_eq!(
        challenged.last(CLIENT_LAST.as_bytes()).as_deref(),
        Ok(SERVER_LAST)
    );
}

#[test]
fn who_is_not_known_hears_what_a_wrong_password_hears() {
    let (challenged, challenge) = exchange(false)
        .first(SHA_256, CLIENT_FIRST.as_bytes())
        .expect("a first message");
    assert_eq!(challenge, SERVER_FIRST);
    let right = challenged.last(CLIENT_LAST.as_bytes());
    assert_eq!(right, Err(ScramError::Refused));
    let wrong = meet(
        Exchange::new(secret("pencil"), true, None, [7; 18]),
        "pen",
        "n,,",
        b"",
    );
    assert_eq!(wrong, Err(ScramError::Refused));
    let told = ScramError::Refused.told_to("ann");
    assert_eq!(&told.sqlstate, b"28P01");
    assert_eq!(
        told.message,
        "password authentication failed for user \"ann\""
    );
}

#[test]
fn who_knows_the_password_is_let_in() {
    let plain = || Exchange::new(secret("pencil"), true, None, [7; 18]);
    assert_eq!(meet(plain(), "pencil", "n,,", b""), Ok(()));
    assert_eq!(meet(plain(), "pencil", "y,,", b""), Ok(()));
    let header = "p=tls-server-end-point,,";
    assert_eq!(meet(bound(b"hash"), "pencil", header, b"hash"), Ok(()));
    assert_eq!(meet(bound(b"hash"), "pencil", "n,,", b""), Ok(()));
    let between = meet(bound(b"hash"), "pencil", header, b"another");
    assert_eq!(between, Err(ScramError::Binding));
    // A password that SASLprep changes, and one that it forbids.
    for (password, typed) in [("\u{2168}\u{ad}", "IX"), ("bell\u{7}", "bell\u{7}")] {
        let exchange = Exchange::new(secret(password), true, None, [7; 18]);
        assert_eq!(meet(exchange, typed, "n,,", b""), Ok(()));
    }
}

#[test]
fn what_postgres_keeps_is_read() {
    let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    assert_eq!(Secret::parse(text), Some(secret("pencil")));
    for end in 0..text.len() {
        assert_eq!(Secret::parse(&text[..end]), None, "{end} bytes");
    }
    assert_eq!(Secret::parse(&text.replace("4096", "0")), None);
    assert_eq!(Secret::parse(&format!("{text}AAAA")), None);
    assert_eq!(format!("{:?}", secret("pencil")), "Secret");
}

#[test]
fn first_messages_that_are_refused() {
    use ScramError::*;
    let malformed = |detail| Malformed(detail);
    let without = "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.";
    let unasked = "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.";
    let missing = "An expected attribute is missing.";
    let cases: &[(&str, &str, ScramError)] = &[
        ("SCRAM-SHA-1", CLIENT_FIRST, Mechanism),
        ("", CLIENT_FIRST, Mechanism),
        (SHA_256_PLUS, CLIENT_FIRST, malformed(without)),
        (SHA_256, "y,,n=,r=a", Negotiation),
        (
            SHA_256,
            "p=tls-server-end-point,,n=,r=a",
            malformed(unasked),
        ),
        (
            SHA_256_PLUS,
            "p=tls-unique,,n=,r=a",
            BindingKind("tls-unique".into()),
        ),
        (SHA_256, "n,a=ann,n=,r=a", AuthorizationIdentity),
        (SHA_256, "n,,m=x,n=,r=a", Extension),
        (SHA_256, "n,,n=,r=\u{7f}", Nonce),
        (SHA_256, "n,,n=", malformed(missing)),
        (SHA_256, "n,,r=a", malformed(missing)),
        (SHA_256, "n,,", malformed(missing)),
        (
            SHA_256,
            "n,x",
            malformed("Unexpected attribute in client-first-message."),
        ),
        (
            SHA_256,
            "n",
            malformed("Comma expected, but found the end of the message."),
        ),
        (
            SHA_256,
            "",
            malformed("Comma expected, but found the end of the message."),
        ),
        (
            SHA_256,
            "x,,n=,r=a",
            malformed("Unexpected channel-binding flag."),
        ),
        (SHA_256, "n,,n=\0,r=a", malformed("The message is no text.")),
    ];
    for (mechanism, message, expected) in cases {
        let refused = bound(b"hash").first(mechanism, message.as_bytes());
        assert_eq!(
            refused.err().as_ref(),
            Some(expected),
            "{mechanism} {message}"
        );
    }
    let no_text = bound(b"hash").first(SHA_256, b"n,,n=\xff,r=a");
    assert_eq!(no_text.err(), Some(malformed("The message is no text.")));
    // Without a certificate there is nothing to bind to.
    let unbound = exchange(true).first(SHA_256_PLUS, b"p=tls-server-end-point,,n=,r=a");
    assert_eq!(unbound.err(), Some(Mechanism));
}

#[test]
fn last_messages_that_are_refused() {
    use ScramError::*;
    let proof = CLIENT_LAST.split(",p=").nth(1).expect("it has one");
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let cases = [
        (format!("c=biws,r=another,p={proof}"), Response),
        (format!("c=eSws,r={nonce},p={proof}"), BindingAttribute),
        (
            format!("c=biws,r={nonce},p={SALT}"),
            Malformed("Malformed proof in client-final-message."),
        ),
        (
            format!("c=biws,r={nonce}"),
            Malformed("The proof is missing."),
        ),
        (
            format!("r={nonce},c=biws,p={proof}"),
            Malformed("An expected attribute is missing."),
        ),
        (format!("c=biws,r={nonce},x=1,p={proof}"), Refused),
        (String::new(), Malformed("The proof is missing.")),
    ];
    for (message, expected) in cases {
        let (challenged, _) = exchange(true)
            .first(SHA_256, CLIENT_FIRST.as_bytes())
            .expect("a first message");
        assert_eq!(
            challenged.last(message.as_bytes()),
            Err(expected),
            "{message}"
        );
    }
}
