//! Avro schemas from their JSON (specification 1.12): types, defaults, and whether one reads what another wrote.
//!
//! # Limits
//! Types of a schema and their nesting, their names and aliases; beyond, it is refused.
//!
//! # Instead of
//! `apache-avro`: values of a dynamic type and a codec for them come with it, and its comparison of schemas follows types
//! that hold each other without a bound.

mod canonical;
mod defaults;
mod resolution;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};

pub use canonical::canonical;
pub use defaults::Defaults;
pub use resolution::{WrittenFields, unreadable};

/// Types that a schema may consist of.
const TYPES_MAX: usize = 4096;
/// Of a name with its namespace: a namespace stands once in the text and in the name of each type.
const NAME_BYTES_MAX: usize = 512;
/// Levels that a schema's text may nest its types.
const DEPTH_MAX: usize = 64;

/// Why a text is no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} is expected")]
pub struct SchemaError {
    pub expected: &'static str,
}

/// A type by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeId(usize);

/// All types.
#[derive(Debug)]
pub struct Schema {
    types: Vec<Type>,
    /// Of records, enums and fixed.
    names: BTreeMap<TypeId, Named>,
    root: TypeId,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Null,
    Boolean,
    Int,
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
    Record(Vec<Field>),
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

/// A record's.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub id: TypeId,
    /// What readers take when writers have no such field.
    pub default: Option<Value>,
}

#[derive(Debug)]
struct Named {
    /// In full.
    name: String,
    /// In full.
    aliases: Vec<String>,
    /// An enum's, for symbols that it does not have.
    default: Option<String>,
}

/// Named types so far, how many aliases they have, and how deep the text is nested.
#[derive(Default)]
struct Names {
    known: BTreeMap<String, TypeId>,
    aliases: usize,
    depth: usize,
}

fn invalid(expected: &'static str) -> SchemaError {
    SchemaError { expected }
}

impl Schema {
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        Self::parse_with(&[], text)
    }

    /// A schema that names types which others declare; those come in front, each behind what it names itself.
    pub fn parse_with(others: &[&str], text: &str) -> Result<Self, SchemaError> {
        let mut schema = Self {
            types: Vec::new(),
            names: BTreeMap::new(),
            root: TypeId(0),
        };
        let mut names = Names::default();
        for text in others.iter().chain([&text]) {
            // A name alone is a schema, with or without quotes.
            let json = serde_json::from_str(text);
            let json = json.or_else(|error| match primitive(text.trim()) {
                Some(_) => Ok(Value::String(text.trim().to_owned())),
                None => Err(error),
            });
            let json: Value = json.map_err(|_| invalid("JSON"))?;
            schema.root = schema.add(&json, "", &mut names)?;
        }
        Ok(schema)
    }

    #[must_use]
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0]
    }

    /// That of the records.
    #[must_use]
    pub fn root(&self) -> TypeId {
        self.root
    }

    /// A record's fields, also of a union of it with null.
    #[must_use]
    pub fn fields(&self, id: TypeId) -> Option<&[Field]> {
        match self.get(id) {
            Type::Record(fields) => Some(fields),
            Type::Union(branches) => {
                let mut others = branches.iter().filter(|id| *self.get(**id) != Type::Null);
                match (others.next().map(|id| self.get(*id)), others.next()) {
                    (Some(Type::Record(fields)), None) => Some(fields),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// What is asked of new schemas beyond what they can be read by: defaults of their fields' types, symbols that are
    /// names, and no two branches of a union that values cannot be told apart by.
    pub fn check_new(&self) -> Result<(), SchemaError> {
        for declared in &self.types {
            match declared {
                Type::Enum(symbols) if !symbols.iter().all(|symbol| is_name(symbol)) => {
                    return Err(invalid("a symbol of letters, digits and underscores"));
                }
                Type::Union(branches) => {
                    let names = branches.iter().map(|branch| match self.names.get(branch) {
                        Some(named) => named.name.as_str(),
                        None => resolution::kind(&resolution::plain(self, *branch)),
                    });
                    let distinct: BTreeSet<&str> = names.collect();
                    if distinct.len() < branches.len() {
                        return Err(invalid("a type of its own for each branch of a union"));
                    }
                }
                _ => {}
            }
        }
        self.check_defaults()
    }

    fn reserve(&mut self) -> Result<TypeId, SchemaError> {
        if self.types.len() == TYPES_MAX {
            return Err(invalid("a schema of fewer types"));
        }
        self.types.push(Type::Null);
        Ok(TypeId(self.types.len() - 1))
    }

    fn add(&mut self, json: &Value, space: &str, names: &mut Names) -> Result<TypeId, SchemaError> {
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
                    let full = full_name(name, space);
                    let known = full.and_then(|full| names.known.get(&full));
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
    ) -> Result<TypeId, SchemaError> {
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
    ) -> Result<TypeId, SchemaError> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let list = |name: &str| members.get(name).and_then(Value::as_array);
        let name = text("name").ok_or(invalid("a name"))?;
        let name = full_name(name, text("namespace").unwrap_or(space));
        let name = name.ok_or(invalid("a shorter name"))?;
        if !name.split('.').all(is_name) {
            return Err(invalid("a name of letters, digits and underscores"));
        }
        let space = name.rsplit_once('.').map_or("", |(space, _)| space);
        let space = space.to_owned();
        let id = self.reserve()?;
        if names.known.insert(name.clone(), id).is_some() {
            return Err(invalid("a name of its own for each type"));
        }
        names.aliases += aliases(members).count();
        if names.aliases > TYPES_MAX {
            return Err(invalid("fewer aliases"));
        }
        let aliases = aliases(members).map(|alias| full_name(alias, &space));
        let aliases: Option<Vec<String>> = aliases.collect();
        let named = Named {
            name,
            aliases: aliases.ok_or(invalid("a shorter alias"))?,
            default: text("default").map(str::to_owned),
        };
        self.types[id.0] = match kind {
            "enum" => {
                let symbols = list("symbols").ok_or(invalid("symbols"))?.iter();
                let symbols = symbols.map(|symbol| symbol.as_str().map(str::to_owned));
                let symbols: Option<Arc<[String]>> = symbols.collect();
                let symbols = symbols.ok_or(invalid("symbols"))?;
                let distinct: BTreeSet<&String> = symbols.iter().collect();
                if distinct.len() < symbols.len() {
                    return Err(invalid("a name of its own for each symbol"));
                }
                if named
                    .default
                    .as_ref()
                    .is_some_and(|symbol| !distinct.contains(symbol))
                {
                    return Err(invalid("a default that is one of the symbols"));
                }
                Type::Enum(symbols)
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
                    let field = field.as_object().ok_or(invalid("a field"))?;
                    let name = field.get("name").and_then(Value::as_str);
                    let name = name.filter(|name| is_name(name));
                    let name = name.ok_or(invalid("a field's name"))?;
                    if !distinct.insert(name) {
                        return Err(invalid("a name of its own for each field"));
                    }
                    let declared = field.get("type").ok_or(invalid("a field's type"))?;
                    fields.push(Field {
                        name: name.to_owned(),
                        aliases: self::aliases(field).map(str::to_owned).collect(),
                        id: self.add(declared, &space, names)?,
                        default: field.get("default").cloned(),
                    });
                }
                Type::Record(fields)
            }
        };
        self.names.insert(id, named);
        Ok(id)
    }
}

fn aliases(members: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let aliases = members.get("aliases").and_then(Value::as_array);
    aliases.into_iter().flatten().filter_map(Value::as_str)
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `None`: it is too long.
fn full_name(name: &str, space: &str) -> Option<String> {
    let space = match name.contains('.') {
        true => "",
        false => space,
    };
    if space.len() + name.len() >= NAME_BYTES_MAX {
        return None;
    }
    Some(match space {
        "" => name.to_owned(),
        space => format!("{space}.{name}"),
    })
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
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
        (Some("date"), Type::Int) => Type::Date,
        (Some("time-millis"), Type::Int) => Type::TimeMillis,
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
