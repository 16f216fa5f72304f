//! What a client can bind an exchange to: the hash of the server's certificate (`tls-server-end-point`, RFC 5929).

#[cfg(test)]
mod tests;

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
/// The first optional field of the parameters of RSASSA-PSS.
const PSS_HASH: u8 = 0xa0;

/// Of object identifiers, the bytes after `1.2.840.113549.1.1`, RSA's signatures.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// `1.2.840.10045.4`, those of elliptic curves.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
/// `2.16.840.1.101.3.4.2`, hashes.
const HASHES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// Hashes a certificate (DER) with what it was signed with, or with SHA-256 where that was MD5 or SHA-1. `None`: its
/// signature has no hash of its own, as Ed25519's, so nothing can be bound to it.
#[must_use]
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (fields, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(fields, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (id, parameters) = element(algorithm, OBJECT_ID)?;
    Some(match hash_of(id, parameters)? {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

fn hash_of(id: &[u8], parameters: &[u8]) -> Option<Hash> {
    if let Some(last) = id.strip_prefix(RSA) {
        return match last {
            // MD5 and SHA-1.
            [4 | 5] => Some(Hash::Sha256),
            [10] => pss_hash(parameters),
            [11] => Some(Hash::Sha256),
            [12] => Some(Hash::Sha384),
            [13] => Some(Hash::Sha512),
            [14] => Some(Hash::Sha224),
            _ => None,
        };
    }
    match id.strip_prefix(ECDSA)? {
        // SHA-1.
        [1] => Some(Hash::Sha256),
        [3, 1] => Some(Hash::Sha224),
        [3, 2] => Some(Hash::Sha256),
        [3, 3] => Some(Hash::Sha384),
        [3, 4] => Some(Hash::Sha512),
        _ => None,
    }
}

fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let (fields, _) = element(parameters, SEQUENCE)?;
    let Some((hash, _)) = element(fields, PSS_HASH) else {
        // SHA-1, unless another is named.
        return Some(Hash::Sha256);
    };
    let (algorithm, _) = element(hash, SEQUENCE)?;
    let (id, _) = element(algorithm, OBJECT_ID)?;
    match id.strip_prefix(HASHES)? {
        [1] => Some(Hash::Sha256),
        [2] => Some(Hash::Sha384),
        [3] => Some(Hash::Sha512),
        [4] => Some(Hash::Sha224),
        _ => None,
    }
}

/// What an element of DER with this tag at the front of `bytes` holds, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    if *first < 0x80 {
        return rest.split_at_checked(usize::from(*first));
    }
    // So many bytes of length follow; four are more than any certificate needs.
    let (length, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
    if length.is_empty() || length.len() > 4 {
        return None;
    }
    let length = length
        .iter()
        .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}
