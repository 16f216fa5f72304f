//! Arbitrary encoded messages, drawn straight from Kafka's descriptors.
//!
//! An interpreter of its own: it shares no code with the generator it checks. Its output is canonical (tagged fields
//! ascending and never at their default), so a codec that reads it must write the same bytes again.

use serde_json::Value;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }
}

/// A descriptor.
pub struct Schema(Value);

impl Schema {
    /// Reads `NAME.json` of the committed descriptors.
    pub fn load(name: &str) -> Self {
        let path = format!(
            "{}/../crates/kafka/messages/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(&path).expect(&path);
        let json: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        Self(serde_json::from_str(&json).expect(&path))
    }

    /// The encoding of an arbitrary message at `version`.
    pub fn message(&self, version: i16, random: &mut Random) -> Vec<u8> {
        self.encode(version, Some(random))
    }

    /// The encoding of the message with every field at its default.
    pub fn default_message(&self, version: i16) -> Vec<u8> {
        self.encode(version, None)
    }

    fn encode(&self, version: i16, random: Option<&mut Random>) -> Vec<u8> {
        let flexible = within(&self.0["flexibleVersions"], version);
        let mut encoder = Encoder {
            schema: &self.0,
            version,
            flexible,
            random,
        };
        let mut out = Vec::new();
        encoder.fields(&self.0["fields"], &mut out);
        out
    }
}

fn within(versions: &Value, version: i16) -> bool {
    let Some(text) = versions.as_str() else {
        return false;
    };
    if let Some(first) = text.strip_suffix('+') {
        return version >= first.parse().expect("a version");
    }
    match text.split_once('-') {
        Some((first, last)) => (first.parse().expect("a version")
            ..=last.parse().expect("a version"))
            .contains(&version),
        None => text.parse() == Ok(version),
    }
}

struct Encoder<'s, 'r> {
    schema: &'s Value,
    version: i16,
    flexible: bool,
    /// `None`: every value is its default.
    random: Option<&'r mut Random>,
}

impl Encoder<'_, '_> {
    fn fields(&mut self, fields: &Value, out: &mut Vec<u8>) {
        let mut tagged = Vec::new();
        for field in fields.as_array().expect("fields") {
            if !within(&field["versions"], self.version) {
                continue;
            }
            match field["tag"].as_u64() {
                Some(tag) if within(&field["taggedVersions"], self.version) => {
                    tagged.push((tag, field));
                }
                _ => self.field(field, out),
            }
        }
        if !self.flexible {
            return;
        }
        tagged.sort_by_key(|(tag, _)| *tag);
        let mut present = Vec::new();
        for (tag, field) in tagged {
            let mut bytes = Vec::new();
            self.field(field, &mut bytes);
            let mut default = Vec::new();
            let random = self.random.take();
            self.field(field, &mut default);
            self.random = random;
            let drawn = self
                .random
                .as_mut()
                .is_some_and(|random| random.below(4) > 0);
            if bytes != default && drawn {
                present.push((tag, bytes));
            }
        }
        uvarint(out, present.len() as u64);
        for (tag, bytes) in present {
            uvarint(out, tag);
            uvarint(out, bytes.len() as u64);
            out.extend_from_slice(&bytes);
        }
    }

    fn field(&mut self, field: &Value, out: &mut Vec<u8>) {
        let ty = field["type"].as_str().expect("a type");
        let nullable = within(&field["nullableVersions"], self.version);
        let null = match &mut self.random {
            Some(random) => nullable && random.below(4) == 0,
            None => nullable && (field["default"] == "null" || ty == "records"),
        };
        if let Some(item) = ty.strip_prefix("[]") {
            let count = match &mut self.random {
                _ if null => None,
                Some(random) => Some([0, 1, 1, 2, 3][random.below(5) as usize]),
                None => Some(0),
            };
            self.length(count, false, out);
            for _ in 0..count.unwrap_or(0) {
                self.value(item, field, out);
            }
            return;
        }
        match ty {
            "string" | "bytes" | "records" => {
                let bytes = (!null).then(|| self.bytes(ty, field));
                self.length(bytes.as_ref().map(Vec::len), ty == "string", out);
                out.extend_from_slice(&bytes.unwrap_or_default());
            }
            _ => {
                let is_struct = ty.starts_with(|c: char| c.is_ascii_uppercase());
                if is_struct && !field["nullableVersions"].is_null() {
                    assert!(nullable, "a struct that is nullable at some versions only");
                    out.push(if null { 0xff } else { 1 });
                    if null {
                        return;
                    }
                }
                self.value(ty, field, out);
            }
        }
    }

    fn bytes(&mut self, ty: &str, field: &Value) -> Vec<u8> {
        let Some(random) = &mut self.random else {
            return match field["default"].as_str() {
                Some("null") | None => Vec::new(),
                Some(text) => text.as_bytes().to_vec(),
            };
        };
        // Lengths on both sides of one and two varint bytes.
        let length = [0, 1, 5, 126, 127, 128, 300][random.below(7) as usize];
        match ty {
            "string" => (0..length)
                .map(|_| b"abcdefghijklmnopqrstuvwxyz.-_"[random.below(29) as usize])
                .collect(),
            _ => (0..length).map(|_| random.draw() as u8).collect(),
        }
    }

    fn value(&mut self, ty: &str, field: &Value, out: &mut Vec<u8>) {
        match ty {
            "bool" => {
                let default = field["default"] == "true" || field["default"] == true;
                let value = match &mut self.random {
                    Some(random) => random.below(2) == 1,
                    None => default,
                };
                out.push(value.into());
            }
            "int8" => self.integer(field, 1, out),
            "int16" | "uint16" => self.integer(field, 2, out),
            "int32" | "uint32" => self.integer(field, 4, out),
            "int64" => self.integer(field, 8, out),
            "float64" => {
                let value = match &mut self.random {
                    Some(random) => random.draw() as f64 / 3.0,
                    None => 0.0,
                };
                out.extend_from_slice(&value.to_be_bytes());
            }
            "uuid" => {
                for _ in 0..2 {
                    let half = self.random.as_mut().map_or(0, |random| random.draw());
                    out.extend_from_slice(&half.to_be_bytes());
                }
            }
            "string" => {
                let bytes = self.bytes(ty, field);
                self.length(Some(bytes.len()), true, out);
                out.extend_from_slice(&bytes);
            }
            name => {
                let fields = match &field["fields"] {
                    Value::Null => self.common(name),
                    fields => fields.clone(),
                };
                self.fields(&fields, out);
            }
        }
    }

    fn common(&self, name: &str) -> Value {
        self.schema["commonStructs"]
            .as_array()
            .and_then(|all| all.iter().find(|common| common["name"] == name))
            .expect(name)["fields"]
            .clone()
    }

    fn integer(&mut self, field: &Value, bytes: usize, out: &mut Vec<u8>) {
        let value = match &mut self.random {
            Some(random) => match random.below(3) {
                0 => random.draw() as i64,
                1 => random.below(100) as i64,
                _ => -1,
            },
            None => match &field["default"] {
                Value::String(text) => match text.trim().strip_prefix("0x") {
                    Some(hex) => i64::from_str_radix(hex, 16).expect("hexadecimal"),
                    None => text.trim().parse().expect("a number"),
                },
                other => other.as_i64().unwrap_or(0),
            },
        };
        out.extend_from_slice(&value.to_be_bytes()[8 - bytes..]);
    }

    fn length(&self, length: Option<usize>, short: bool, out: &mut Vec<u8>) {
        match (self.flexible, short) {
            (true, _) => uvarint(out, length.map_or(0, |length| length as u64 + 1)),
            (false, true) => {
                out.extend_from_slice(&length.map_or(-1, |length| length as i16).to_be_bytes());
            }
            (false, false) => {
                out.extend_from_slice(&length.map_or(-1, |length| length as i32).to_be_bytes());
            }
        }
    }
}

fn uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
