//! CRC32C (Castagnoli) over slices and chains.

use crate::IoBuf;

/// CRC32C (Castagnoli), hardware accelerated.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Continues `crc` over `bytes`, as if they followed what `crc` was computed of.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

/// CRC of a chain, as of one byte string.
pub fn crc32c_chain(chain: &IoBuf) -> u32 {
    chain
        .chunks()
        .fold(0, |crc, chunk| crc32c::crc32c_append(crc, chunk))
}
