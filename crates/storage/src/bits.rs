//! Telling a flipped bit from other content, by the algebra of CRC32C.
//!
//! For two messages of one length, `crc(a) ^ crc(b)` depends only on `a ^ b`. Every single-bit difference has a value
//! of its own for messages far longer than ours, so a difference of checksums says whether one flipped bit explains
//! it, and which. Old content of a sector that a torn write never reached is explained so with a chance of
//! message bits / 2^32, one in a million for a sector of 512 bytes.
//!
//! The result only classifies damage; nothing is repaired by it, because damage of many bits may alias to one bit.

/// CRC32C's polynomial, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Where one flipped bit explains the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flip {
    /// In the message: byte position, bit number.
    Message { at: usize, bit: u8 },
    /// In the stored checksum itself.
    Checksum,
}

/// The single flipped bit that explains `stored ^ computed` over a message of `bytes`, if one does.
pub(crate) fn flipped_bit(stored: u32, computed: u32, bytes: usize) -> Option<Flip> {
    let difference = stored ^ computed;
    if difference.count_ones() == 1 {
        return Some(Flip::Checksum);
    }
    // The register after the last bit of the message (bit 7 of the last byte) was fed alone, then one step earlier
    // for each bit towards the front.
    let mut register = POLYNOMIAL;
    for at in (0..bytes).rev() {
        for bit in (0..8).rev() {
            if register == difference {
                return Some(Flip::Message { at, bit });
            }
            register = (register >> 1) ^ (if register & 1 == 1 { POLYNOMIAL } else { 0 });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_bit_is_found_and_other_content_is_not() {
        let message: Vec<u8> = (0..512u32).map(|i| (i * 7 + 3) as u8).collect();
        let good = iobuf::crc32c(&message);
        for at in (0..512).step_by(5) {
            for bit in 0..8u8 {
                let mut bad = message.clone();
                bad[at] ^= 1 << bit;
                let found = flipped_bit(good, iobuf::crc32c(&bad), 512);
                assert_eq!(found, Some(Flip::Message { at, bit }));
            }
        }
        assert_eq!(flipped_bit(good ^ 16, good, 512), Some(Flip::Checksum));
        let other = vec![0u8; 512];
        assert_eq!(flipped_bit(good, iobuf::crc32c(&other), 512), None);
    }
}
