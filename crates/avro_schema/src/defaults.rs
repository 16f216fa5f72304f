//! Defaults of fields: JSON in a schema, as a writer would have written them.

use serde_json::Value;

use crate::{Schema, SchemaError, Type, TypeId, invalid};

/// Levels of values; a record may be a default of itself.
const DEPTH_MAX: usize = 64;
/// Bytes of one default.
const BYTES_MAX: usize = 1 << 20;
/// Values, branches of unions that are tried, and symbols that are looked through, of all defaults of a schema. Records of
/// records with defaults double with each level and may put out nothing.
const STEPS_MAX: usize = 1 << 20;
/// Bytes of text that are as much work as a step.
const STEP_BYTES: usize = 16;

/// Defaults of one schema in their binary form.
pub struct Defaults<'a> {
    schema: &'a Schema,
    steps: usize,
}

impl Schema {
    #[must_use]
    pub fn defaults(&self) -> Defaults<'_> {
        Defaults {
            schema: self,
            steps: 0,
        }
    }

    /// Fails when a field's default is none of its type.
    pub(crate) fn check_defaults(&self) -> Result<(), SchemaError> {
        let mut defaults = self.defaults();
        for declared in &self.types {
            let Type::Record(fields) = declared else {
                continue;
            };
            for field in fields {
                if let Some(value) = &field.default {
                    defaults.encode(field.id, value)?;
                }
            }
        }
        Ok(())
    }
}

impl Defaults<'_> {
    /// One more, as a writer would have written it.
    pub fn encode(&mut self, id: TypeId, value: &Value) -> Result<Vec<u8>, SchemaError> {
        let mut out = Vec::new();
        self.put(id, value, &mut out, 0)?;
        Ok(out)
    }

    fn take_steps(&mut self, count: usize) -> Result<(), SchemaError> {
        self.steps = self.steps.saturating_add(count);
        match self.steps > STEPS_MAX {
            true => Err(invalid("a smaller default")),
            false => Ok(()),
        }
    }

    fn put(
        &mut self,
        id: TypeId,
        value: &Value,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), SchemaError> {
        let refused = || invalid("a default of its field's type");
        if depth > DEPTH_MAX || out.len() > BYTES_MAX {
            return Err(invalid("a smaller default"));
        }
        let schema = self.schema;
        let kind = schema.get(id);
        self.take_steps(match (kind, value) {
            (Type::Enum(symbols), _) => symbols.len(),
            (_, Value::String(text)) => 1 + text.len() / STEP_BYTES,
            _ => 1,
        })?;
        match (kind, value) {
            (Type::Null, Value::Null) => {}
            (Type::Boolean, Value::Bool(value)) => out.push(u8::from(*value)),
            (Type::Int | Type::Date | Type::TimeMillis, value) => {
                let value = value.as_i64().and_then(|value| i32::try_from(value).ok());
                zigzag(value.ok_or_else(refused)?.into(), out);
            }
            (
                Type::Long
                | Type::TimeMicros
                | Type::TimestampMillis
                | Type::TimestampMicros
                | Type::TimestampNanos,
                value,
            ) => zigzag(value.as_i64().ok_or_else(refused)?, out),
            (Type::Float, value) => {
                let value = value.as_f64().ok_or_else(refused)? as f32;
                out.extend(value.to_le_bytes());
            }
            (Type::Double, value) => {
                out.extend(value.as_f64().ok_or_else(refused)?.to_le_bytes());
            }
            (Type::Text, Value::String(text)) => counted(text.as_bytes(), out),
            (Type::Bytes | Type::Decimal { bytes: None, .. }, Value::String(text)) => {
                counted(&bytes(text).ok_or_else(refused)?, out);
            }
            (
                Type::Fixed(count)
                | Type::Decimal {
                    bytes: Some(count), ..
                },
                Value::String(text),
            ) => {
                let bytes = bytes(text).filter(|bytes| bytes.len() == *count);
                out.extend(bytes.ok_or_else(refused)?);
            }
            (Type::Enum(symbols), Value::String(text)) => {
                let place = symbols.iter().position(|symbol| symbol == text);
                zigzag(place.ok_or_else(refused)? as i64, out);
            }
            (Type::Union(branches), value) => {
                // The first that takes it: of the first branch alone it must be by the older versions of the specification.
                let start = out.len();
                for (place, branch) in branches.iter().enumerate() {
                    zigzag(place as i64, out);
                    if self.put(*branch, value, out, depth + 1).is_ok() {
                        return Ok(());
                    }
                    out.truncate(start);
                }
                return Err(refused());
            }
            (Type::Array(items), Value::Array(values)) => {
                if !values.is_empty() {
                    zigzag(values.len() as i64, out);
                }
                for value in values {
                    self.put(*items, value, out, depth + 1)?;
                }
                out.push(0);
            }
            (Type::Map(of), Value::Object(members)) => {
                if !members.is_empty() {
                    zigzag(members.len() as i64, out);
                }
                for (key, value) in members {
                    self.take_steps(key.len() / STEP_BYTES)?;
                    counted(key.as_bytes(), out);
                    self.put(*of, value, out, depth + 1)?;
                }
                out.push(0);
            }
            (Type::Record(fields), Value::Object(members)) => {
                for field in fields {
                    let value = members.get(&field.name).or(field.default.as_ref());
                    self.put(field.id, value.ok_or_else(refused)?, out, depth + 1)?;
                }
            }
            _ => return Err(refused()),
        }
        Ok(())
    }
}

/// Each character stands for the byte of its number.
fn bytes(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|character| u8::try_from(u32::from(character)).ok())
        .collect()
}

fn counted(bytes: &[u8], out: &mut Vec<u8>) {
    zigzag(bytes.len() as i64, out);
    out.extend(bytes);
}

fn zigzag(value: i64, out: &mut Vec<u8>) {
    let mut value = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
