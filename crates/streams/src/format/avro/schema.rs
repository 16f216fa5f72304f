//! Avro schemas from their JSON (specification 1.11).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use crate::format::FormatError;

/// Types that a schema may consist of.
const TYPES_MAX: usize = 4096;
/// Levels that a schema's text may nest its types.
const DEPTH_MAX: usize = 64;

/// A type by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TypeId(pub usize);

/// All types; the first is that of the records.
#[derive(Debug, Default)]
pub(super) struct Schema {
    types: Vec<Type>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Null,
    Boolean,
    /// `int` as well: both lie in the record alike.
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Arc<[String]>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<(String, TypeId)>),
    /// Days.
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
    /// In that many bytes, or in as many as are counted.
    Decimal {
        scale: u8,
        bytes: Option<usize>,
    },
}

/// Named types so far, and how deep the text is nested.
struct Names {
    known: BTreeMap<String, TypeId>,
    depth: usize,
}

fn invalid(expected: &'static str) -> FormatError {
    FormatError::SchemaJson { expected }
}

impl Schema {
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        // A name alone is a schema, with or without quotes.
        let json = serde_json::from_str(text).map_err(|_| invalid("JSON"))?;
        let mut schema = Self::default();
        let mut names = Names {
            known: BTreeMap::new(),
            depth: 0,
        };
        schema.add(&json, "", &mut names)?;
        Ok(schema)
    }

    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0]
    }

    /// That of the records.
    pub fn root(&self) -> TypeId {
        TypeId(0)
    }

    fn reserve(&mut self) -> Result<TypeId, FormatError> {
        if self.types.len() == TYPES_MAX {
            return Err(invalid("a schema of fewer types"));
        }
        self.types.push(Type::Null);
        Ok(TypeId(self.types.len() - 1))
    }

    fn add(&mut self, json: &Value, space: &str, names: &mut Names) -> Result<TypeId, FormatError> {
        names.depth += 1;
        if names.depth > DEPTH_MAX {
            return Err(invalid("less nesting"));
        }
        let added = match json {
            Value::String(name) => match primitive(name) {
                Some(primitive) => {
                    let id = self.reserve()?;
                    self.types[id.0] = primitive;
                    Ok(id)
                }
                None => {
                    let known = names.known.get(&full_name(name, space));
                    let known = known.or_else(|| names.known.get(name));
                    known
                        .copied()
                        .ok_or(invalid("a type that is declared before"))
                }
            },
            Value::Array(branches) => {
                let id = self.reserve()?;
                let branches = branches.iter().map(|branch| self.add(branch, space, names));
                let branches = branches.collect::<Result<Vec<_>, _>>()?;
                let is_union = |id: &TypeId| matches!(self.get(*id), Type::Union(_));
                if branches.iter().any(is_union) {
                    return Err(invalid("no union right within a union"));
                }
                self.types[id.0] = Type::Union(branches);
                Ok(id)
            }
            Value::Object(members) => self.add_object(members, space, names),
            _ => Err(invalid("a type")),
        };
        names.depth -= 1;
        added
    }

    fn add_object(
        &mut self,
        members: &Map<String, Value>,
        space: &str,
        names: &mut Names,
    ) -> Result<TypeId, FormatError> {
        let Some(kind) = members.get("type").and_then(Value::as_str) else {
            // The type may stand in a type's place once more.
            let inner = members.get("type").ok_or(invalid("a type"))?;
            return self.add(inner, space, names);
        };
        let id = match kind {
            "record" | "error" | "enum" | "fixed" => {
                return self.add_named(kind, members, space, names);
            }
            "array" => {
                let id = self.reserve()?;
                let items = members.get("items").ok_or(invalid("items"))?;
                self.types[id.0] = Type::Array(self.add(items, space, names)?);
                id
            }
            "map" => {
                let id = self.reserve()?;
                let values = members.get("values").ok_or(invalid("values"))?;
                self.types[id.0] = Type::Map(self.add(values, space, names)?);
                id
            }
            other => {
                let Some(primitive) = primitive(other) else {
                    return self.add(&Value::String(other.to_owned()), space, names);
                };
                let id = self.reserve()?;
                self.types[id.0] = logical(primitive, members);
                id
            }
        };
        Ok(id)
    }

    fn add_named(
        &mut self,
        kind: &str,
        members: &Map<String, Value>,
        space: &str,
        names: &mut Names,
    ) -> Result<TypeId, FormatError> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let name = text("name").ok_or(invalid("a name"))?;
        let name = full_name(name, text("namespace").unwrap_or(space));
        let space = name
            .rsplit_once('.')
            .map_or("", |(space, _)| space)
            .to_owned();
        let id = self.reserve()?;
        if names.known.insert(name, id).is_some() {
            return Err(invalid("a name of its own for each type"));
        }
        let list = |name: &str| members.get(name).and_then(Value::as_array);
        self.types[id.0] = match kind {
            "enum" => {
                let symbols = list("symbols").ok_or(invalid("symbols"))?.iter();
                let symbols = symbols.map(|symbol| symbol.as_str().map(str::to_owned));
                Type::Enum(symbols.collect::<Option<_>>().ok_or(invalid("symbols"))?)
            }
            "fixed" => {
                let size = members.get("size").and_then(Value::as_u64);
                let size = size.and_then(|size| usize::try_from(size).ok());
                logical(Type::Fixed(size.ok_or(invalid("a size"))?), members)
            }
            _ => {
                let mut fields = Vec::new();
                let mut distinct = BTreeSet::new();
                for field in list("fields").ok_or(invalid("fields"))? {
                    let name = field.get("name").and_then(Value::as_str);
                    let name = name.ok_or(invalid("a field's name"))?;
                    if !distinct.insert(name) {
                        return Err(invalid("a name of its own for each field"));
                    }
                    let declared = field.get("type").ok_or(invalid("a field's type"))?;
                    fields.push((name.to_owned(), self.add(declared, &space, names)?));
                }
                Type::Record(fields)
            }
        };
        Ok(id)
    }
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() {
        name.to_owned()
    } else {
        format!("{space}.{name}")
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" | "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::Text,
        _ => return None,
    })
}

/// What an annotation makes of a type; unknown ones are passed over, as the specification says.
fn logical(plain: Type, members: &Map<String, Value>) -> Type {
    let name = members.get("logicalType").and_then(Value::as_str);
    let scale = || {
        let scale = members.get("scale").map_or(Some(0), Value::as_u64);
        scale
            .and_then(|scale| u8::try_from(scale).ok())
            .filter(|scale| *scale <= 38)
    };
    match (name, &plain) {
        (Some("date"), Type::Long) => Type::Date,
        (Some("time-millis"), Type::Long) => Type::TimeMillis,
        (Some("time-micros"), Type::Long) => Type::TimeMicros,
        (Some("timestamp-millis" | "local-timestamp-millis"), Type::Long) => Type::TimestampMillis,
        (Some("timestamp-micros" | "local-timestamp-micros"), Type::Long) => Type::TimestampMicros,
        (Some("timestamp-nanos" | "local-timestamp-nanos"), Type::Long) => Type::TimestampNanos,
        (Some("decimal"), Type::Bytes) => {
            scale().map_or(plain, |scale| Type::Decimal { scale, bytes: None })
        }
        (Some("decimal"), Type::Fixed(bytes)) => {
            let bytes = Some(*bytes);
            scale().map_or(plain, |scale| Type::Decimal { scale, bytes })
        }
        _ => plain,
    }
}
