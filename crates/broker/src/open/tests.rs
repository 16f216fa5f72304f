//! The meta file and the form of ids.

use super::{OpenError, base64_url, parse_meta};

#[test]
fn ids_are_url_safe_base64() {
    assert_eq!(base64_url(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(base64_url(&[255; 16]), "_____________________w");
    let mut counting = [0; 16];
    for (at, byte) in counting.iter_mut().enumerate() {
        *byte = u8::try_from(at).expect("16 bytes");
    }
    assert_eq!(base64_url(&counting), "AAECAwQFBgcICQoLDA0ODw");
}

#[test]
fn meta_files() {
    let good = br#"{"format":2,"cluster_id":"abc"}"#;
    assert_eq!(parse_meta(good), Ok("abc".to_owned()));
    for found in [1, 3] {
        let other = format!(r#"{{"format":{found},"cluster_id":"abc"}}"#);
        let refused = Err(OpenError::Format { found });
        assert_eq!(parse_meta(other.as_bytes()), refused);
    }
    for bad in [
        "",
        "{}",
        "[]",
        r#"{"format":2}"#,
        r#"{"format":2,"cluster_id":""}"#,
        "{\"format",
    ] {
        assert!(
            matches!(parse_meta(bad.as_bytes()), Err(OpenError::Meta(_))),
            "{bad}"
        );
    }
}
