//! Certificates by what they are signed with.

use super::*;

fn wrapped(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let held = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(held.len()) {
        Ok(short @ ..0x80) => out.push(short),
        _ => {
            out.push(0x82);
            out.extend((held.len() as u16).to_be_bytes());
        }
    }
    out.extend(held);
    out
}

/// As much of a certificate as is looked at, and some bytes behind.
fn certificate(algorithm: &[u8]) -> Vec<u8> {
    let body = wrapped(SEQUENCE, &[&[2; 300]]);
    wrapped(SEQUENCE, &[&body, algorithm, &[3, 2, 0, 1]])
}

fn algorithm(family: &[u8], last: &[u8], parameters: &[u8]) -> Vec<u8> {
    let id = wrapped(OBJECT_ID, &[family, last]);
    wrapped(SEQUENCE, &[&id, parameters])
}

#[test]
fn each_signature_has_its_hash() {
    let pss = |hash: Option<u8>| {
        let hash = hash.map(|last| wrapped(PSS_HASH, &[&algorithm(HASHES, &[last], &[])]));
        let parameters = wrapped(SEQUENCE, &[&hash.unwrap_or_default()]);
        algorithm(RSA, &[10], &parameters)
    };
    let cases = [
        (algorithm(RSA, &[4], &[5, 0]), Some(32)),
        (algorithm(RSA, &[5], &[5, 0]), Some(32)),
        (algorithm(RSA, &[11], &[5, 0]), Some(32)),
        (algorithm(RSA, &[12], &[5, 0]), Some(48)),
        (algorithm(RSA, &[13], &[5, 0]), Some(64)),
        (algorithm(RSA, &[14], &[5, 0]), Some(28)),
        (algorithm(ECDSA, &[1], &[]), Some(32)),
        (algorithm(ECDSA, &[3, 2], &[]), Some(32)),
        (algorithm(ECDSA, &[3, 3], &[]), Some(48)),
        (algorithm(ECDSA, &[3, 4], &[]), Some(64)),
        (pss(None), Some(32)),
        (pss(Some(2)), Some(48)),
        (pss(Some(9)), None),
        // Ed25519.
        (algorithm(&[0x2b, 0x65], &[0x70], &[]), None),
    ];
    for (algorithm, expected) in cases {
        let certificate = certificate(&algorithm);
        let hash = end_point(&certificate);
        assert_eq!(hash.as_ref().map(Vec::len), expected, "{algorithm:x?}");
        if expected == Some(32) {
            assert_eq!(hash, Some(Sha256::digest(&certificate).to_vec()));
        }
    }
}

#[test]
fn what_is_cut_short_is_no_certificate() {
    let whole = certificate(&algorithm(RSA, &[11], &[5, 0]));
    for end in 0..whole.len() {
        assert_eq!(end_point(&whole[..end]), None, "{end} bytes");
    }
    assert_eq!(end_point(&[0x30, 0x88, 1, 1, 1, 1, 1, 1, 1, 1]), None);
}
