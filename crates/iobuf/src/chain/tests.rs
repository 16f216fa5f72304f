//! Tests of chains against a plain byte string.

use super::*;
use crate::{crc32c, crc32c_append, crc32c_chain};

fn sample() -> (IoBuf, Vec<u8>) {
    let mut chain = IoBuf::new();
    let mut model = Vec::new();
    for (i, len) in [3usize, 0, 700, 1, 4096, 5].into_iter().enumerate() {
        let bytes: Vec<u8> = (0..len).map(|b| (b * 7 + i) as u8).collect();
        chain.push(Buf::copy_from_slice(&bytes));
        model.extend_from_slice(&bytes);
    }
    (chain, model)
}

#[test]
fn a_chain_reads_as_its_bytes() {
    let (chain, model) = sample();
    assert_eq!(chain.chunks().len(), 5);
    assert_eq!(chain.len(), model.len());
    assert_eq!(chain.to_vec(), model);
    assert_eq!(&chain.to_contiguous()[..], &model[..]);
    let steps = [0, 1, 2, 3, 4, 702, 703, 704, 705, model.len()];
    for start in steps {
        let mut rest = chain.clone();
        rest.advance(start);
        assert_eq!(rest.to_vec(), model[start..]);
        for end in steps.into_iter().filter(|end| *end >= start) {
            assert_eq!(chain.slice(start..end).to_vec(), model[start..end]);
            let mut part = rest.clone();
            part.append(chain.slice(start..end));
            assert_eq!(
                part.to_vec(),
                [&model[start..], &model[start..end]].concat()
            );
        }
    }
}

#[test]
fn one_chunk_is_contiguous_without_a_copy() {
    let buf = Buf::copy_from_slice(b"abc");
    let chain = IoBuf::from(buf.clone());
    assert_eq!(chain.to_contiguous().as_ptr(), buf.as_ptr());
    assert!(IoBuf::from(Vec::new()).to_contiguous().is_empty());
}

#[test]
fn checksums_agree_over_any_cut() {
    // Check value of CRC-32C (Castagnoli), RFC 3720 B.4 style: the ASCII digits.
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    let (chain, model) = sample();
    assert_eq!(crc32c_chain(&chain), crc32c(&model));
    assert_eq!(
        crc32c_append(crc32c(&model[..500]), &model[500..]),
        crc32c(&model)
    );
}
