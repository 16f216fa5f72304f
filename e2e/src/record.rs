//! Records as the driver knows them: made from a seed, carried in base64, compared byte for byte.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// One record. Keys, values and headers are base64, as they travel to and from the client programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    pub time_ms: i64,
    pub key: Option<String>,
    pub value: Option<String>,
    /// Sorted by name: some clients keep headers in a map.
    pub headers: Vec<(String, Option<String>)>,
}

impl Record {
    /// The record as a produce command carries it.
    pub fn to_json(&self) -> Value {
        json!({ "t": self.time_ms, "k": self.key, "v": self.value, "h": self.headers })
    }

    /// A record out of a read command's answer.
    pub fn from_json(value: &Value) -> Record {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut headers: Vec<(String, Option<String>)> = value["h"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|pair| {
                (
                    pair[0].as_str().unwrap_or_default().to_owned(),
                    text(&pair[1]),
                )
            })
            .collect();
        headers.sort();
        Record {
            offset: value["o"].as_i64().unwrap_or(-1),
            time_ms: value["t"].as_i64().unwrap_or(-1),
            key: text(&value["k"]),
            value: text(&value["v"]),
            headers,
        }
    }

    /// What a mismatch report shows: long values by their length.
    fn brief(&self) -> String {
        let short = |text: &Option<String>| match text {
            None => "null".to_owned(),
            Some(text) if text.len() > 40 => format!("<{} base64 characters>", text.len()),
            Some(text) => format!("{text:?}"),
        };
        format!(
            "[{} at {} key {} value {} headers {:?}]",
            self.offset,
            self.time_ms,
            short(&self.key),
            short(&self.value),
            self.headers
        )
    }
}

/// Fails at the first record that differs.
pub fn same(expected: &[Record], found: &[Record]) -> Result<()> {
    for (index, wanted) in expected.iter().enumerate() {
        let got = found.get(index);
        ensure!(
            got == Some(wanted),
            "record {index}: wrote {}, read {}",
            wanted.brief(),
            got.map_or_else(|| "nothing".to_owned(), Record::brief)
        );
    }
    ensure!(
        found.len() == expected.len(),
        "wrote {} records, read {}",
        expected.len(),
        found.len()
    );
    Ok(())
}

/// Numbers from a seed (xorshift64*), the same in every run.
pub struct Seeded(u64);

impl Seeded {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Seeded {
        Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Bytes that no codec makes smaller.
    pub fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Bytes that every codec makes smaller.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 32);
        while bytes.len() < length {
            bytes.extend_from_slice(format!("departure {} delayed; ", self.below(100)).as_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads() {
        let cases: [(&[u8], &str); 5] = [
            (b"", ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (&[0xff, 0xee, 0x00, 0x10], "/+4AEA=="),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes), text);
        }
    }
}
