//! JSON Schema: whether all that one schema allows the other allows as well.
//!
//! The question has no answer in general; what is said here to be readable is, and what cannot be shown is said to be
//! not. Followed are: `true` and `false`; `type`, `enum`, `const`; bounds of numbers, lengths and counts, `multipleOf`;
//! `properties`, `required`, `additionalProperties`; `items` with one schema for all; `allOf`, `anyOf`, `oneOf` (of a
//! reader, if its branches are of different types); `$ref` into the same document and to references. Every other keyword
//! of a reader that restricts must stand in the writer as it is, without references in it; of those whose meaning depends
//! on others beside them, the whole schema must.
//!
//! Numbers are compared as they are, and doubles as the doubles that they are read as. A schema within that has an `$id` is a
//! document of its own to references in it.
//!
//! A property that only one of the two has meets what the other says of all others, which is `true` unless
//! `additionalProperties` stands there: adding one to an open reader asks that it takes anything.

use std::{cmp::Ordering, collections::BTreeSet};

use serde_json::{Map, Number, Value};

/// Steps of one comparison: values that are looked at.
const STEPS_MAX: usize = 1 << 20;
/// A pair of schemas is as much work as that many values.
const PAIR_STEPS: usize = 8;
/// Bytes of text that are as much work as a step.
const STEP_BYTES: usize = 16;
const DEPTH_MAX: usize = 64;
const REASONS_MAX: usize = 16;

/// Of a document, with those it may refer to.
type Document<'a> = (&'a Value, &'a [(String, Value)]);

const TYPES: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];
/// One that is not a whole number.
const FRACTION: u8 = 1 << 6;
const ALL_TYPES: u8 = (1 << 7) - 1;

/// Say nothing of what is allowed.
const ANNOTATIONS: [&str; 16] = [
    "$schema",
    "$id",
    "$comment",
    "$anchor",
    "$vocabulary",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "id",
    "connect.index",
];

/// What stands where nothing does.
static ANY: Value = Value::Bool(true);

/// What they forbid depends on all that stands beside them.
const OF_THE_WHOLE: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];

const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

pub fn unreadable(reader: Document<'_>, writer: Document<'_>, steps: &mut usize) -> Vec<String> {
    let steps_max = STEPS_MAX.min(*steps);
    let mut check = Check {
        documents: [documents(reader), documents(writer)],
        open: BTreeSet::new(),
        reasons: Vec::new(),
        steps: 0,
        steps_max,
        depth: 0,
    };
    let root = |side| check.root(side, 0);
    let (reader, writer) = (root(READER), root(WRITER));
    let allows = check.allows(reader, writer, "#");
    *steps -= check.steps.min(steps_max);
    if allows { Vec::new() } else { check.reasons }
}

const READER: usize = 0;
const WRITER: usize = 1;

fn documents<'a>((root, others): Document<'a>) -> Vec<(&'a str, &'a Value)> {
    let others = others.iter().map(|(name, value)| (name.as_str(), value));
    [("", root)].into_iter().chain(others).collect()
}

/// A schema within one of the documents of a side.
#[derive(Clone, Copy)]
struct Node<'a> {
    side: usize,
    document: usize,
    /// What pointers begin at: the document, or the innermost schema around that has an id.
    base: &'a Value,
    value: &'a Value,
}

impl<'a> Node<'a> {
    fn at(self, value: &'a Value) -> Self {
        let id = value.get("$id").and_then(Value::as_str);
        // Older drafts have names of places there too.
        let base = match id.is_some_and(|id| !id.starts_with('#')) {
            true => value,
            false => self.base,
        };
        Self {
            base,
            value,
            ..self
        }
    }

    /// Where a pointer (RFC 6901) leads from here.
    fn pointed(self, pointer: &str) -> Option<Self> {
        let mut parts = pointer.split('/');
        // What does not begin with a slash is a name.
        if parts.next() != Some("") {
            return None;
        }
        parts.try_fold(self, |node, part| {
            let part = part.replace("~1", "/").replace("~0", "~");
            let value = match node.value {
                Value::Object(members) => members.get(&part),
                Value::Array(items) => items.get(part.parse::<usize>().ok()?),
                _ => None,
            };
            Some(node.at(value?))
        })
    }

    fn get(self, keyword: &str) -> Option<Self> {
        Some(self.at(self.value.get(keyword)?))
    }

    /// What says nothing of a place allows anything there.
    fn get_or_true(self, keyword: &str) -> Self {
        self.at(self.value.get(keyword).unwrap_or(&ANY))
    }

    fn branches(self, keyword: &str) -> Option<Vec<Self>> {
        let branches = self.value.get(keyword)?.as_array()?.iter();
        Some(branches.map(|branch| self.at(branch)).collect())
    }

    fn members(self, keyword: &str) -> impl Iterator<Item = (&'a String, Self)> {
        let members = self.value.get(keyword).and_then(Value::as_object);
        let members = members.into_iter().flatten();
        members.map(move |(name, value)| (name, self.at(value)))
    }

    fn number(self, keyword: &str) -> Option<&'a Number> {
        self.value.get(keyword).and_then(Value::as_number)
    }

    fn names(self, keyword: &str) -> BTreeSet<&'a str> {
        let names = self.value.get(keyword).and_then(Value::as_array);
        names
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// Values that alone are allowed.
    fn values(self) -> Option<Vec<&'a Value>> {
        match self.value.get("const") {
            Some(value) => Some(vec![value]),
            None => Some(self.value.get("enum")?.as_array()?.iter().collect()),
        }
    }

    /// Of values that may be allowed.
    fn types(self) -> u8 {
        if *self.value == Value::Bool(false) {
            return 0;
        }
        if let Some(values) = self.values() {
            return values
                .into_iter()
                .fold(0, |all, value| all | type_of(value));
        }
        self.named_types()
    }

    /// Those that `type` says.
    fn named_types(self) -> u8 {
        match self.value.get("type") {
            Some(Value::String(name)) => types_named(name),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                names.fold(0, |all, name| all | types_named(name))
            }
            _ => ALL_TYPES,
        }
    }
}

fn types_named(name: &str) -> u8 {
    match name {
        "integer" => types_named("number") & !FRACTION,
        "number" => 1 << 2 | FRACTION,
        _ => TYPES
            .iter()
            .position(|known| *known == name)
            .map_or(0, |at| 1 << at),
    }
}

fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => types_named("null"),
        Value::Bool(_) => types_named("boolean"),
        Value::Number(number) if number.as_f64().is_some_and(|value| value.fract() == 0.0) => {
            types_named("integer")
        }
        Value::Number(_) => types_named("number"),
        Value::String(_) => types_named("string"),
        Value::Array(_) => types_named("array"),
        Value::Object(_) => types_named("object"),
    }
}

/// How a number stands to another.
fn compared(one: &Number, other: &Number) -> Option<Ordering> {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        (Some(one), None) => Some(compared_with_double(one, other.as_f64()?)),
        (None, Some(other)) => Some(compared_with_double(other, one.as_f64()?).reverse()),
        (None, None) => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

/// A double has not all the digits that a whole number may have.
fn compared_with_double(whole: i128, double: f64) -> Ordering {
    // What is beyond all numbers of 64 bits still is.
    let floor = double.floor() as i128;
    match whole.cmp(&floor) {
        Ordering::Equal if double.fract() != 0.0 => Ordering::Less,
        order => order,
    }
}

/// Whether all that the writer has is a multiple of the reader's; what cannot be said exactly is not.
fn is_multiple(of: &Value, value: &Value) -> bool {
    if of == value {
        return true;
    }
    match (of.as_u64(), value.as_u64()) {
        (Some(of), Some(value)) => value.checked_rem(of) == Some(0),
        // A double's remainder is exact, but no double is a decimal fraction: the rest is not nothing then.
        _ => {
            let is_small = |value: i64| value.unsigned_abs() < 1 << 53;
            let is_exact = |value: &Value| value.is_f64() || value.as_i64().is_some_and(is_small);
            let rest = value
                .as_f64()
                .zip(of.as_f64())
                .map(|(value, of)| value % of);
            is_exact(of) && is_exact(value) && rest == Some(0.0)
        }
    }
}

/// Keywords with their values and those right in them: what looking at a schema alone takes.
fn width(schema: &Value) -> usize {
    let members = schema.as_object().into_iter().flatten();
    let widths = members.map(|(_, value)| match value {
        Value::Object(members) => 1 + members.len(),
        Value::Array(items) => 1 + items.len(),
        _ => 1,
    });
    widths.sum()
}

struct Check<'a> {
    documents: [Vec<(&'a str, &'a Value)>; 2],
    /// Pairs being looked at, by where they stand: a ring adds no condition.
    open: BTreeSet<(*const Value, *const Value)>,
    reasons: Vec<String>,
    steps: usize,
    steps_max: usize,
    depth: usize,
}

impl<'a> Check<'a> {
    fn refuse(&mut self, at: &str, why: &str) -> bool {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(format!("{why} at {at}"));
        }
        false
    }

    /// Without leaving reasons.
    fn tries(&mut self, reader: Node<'a>, writer: Node<'a>, at: &str) -> bool {
        let told = self.reasons.len();
        let allows = self.allows(reader, writer, at);
        self.reasons.truncate(told);
        allows
    }

    /// Whether two are the same and mean the same wherever they stand: with no reference in them.
    fn equal(&mut self, read: &Value, written: &Value) -> bool {
        self.steps += 1;
        if self.steps > self.steps_max {
            return false;
        }
        match (read, written) {
            (Value::Object(read), Value::Object(written)) => {
                read.len() == written.len()
                    && read.iter().all(|(name, value)| {
                        !REFERENCES.contains(&name.as_str())
                            && written
                                .get(name)
                                .is_some_and(|written| self.equal(value, written))
                    })
            }
            (Value::Array(read), Value::Array(written)) => {
                let mut pairs = read.iter().zip(written);
                read.len() == written.len()
                    && pairs.all(|(read, written)| self.equal(read, written))
            }
            (Value::String(read), Value::String(written)) => {
                self.steps += read.len().min(written.len()) / STEP_BYTES;
                read == written
            }
            (read, written) => read == written,
        }
    }

    /// As `equal`, whatever is said of them beside.
    fn equal_but_for_annotations(&mut self, read: &Value, written: &Value) -> bool {
        let (Value::Object(read), Value::Object(written)) = (read, written) else {
            return self.equal(read, written);
        };
        let restricts = |(name, _): &(&String, &Value)| !ANNOTATIONS.contains(&name.as_str());
        let mut count = 0;
        let is_same = read.iter().filter(restricts).all(|(name, value)| {
            count += 1;
            let is_reference = REFERENCES.contains(&name.as_str());
            let same = written.get(name);
            !is_reference && same.is_some_and(|written| self.equal(value, written))
        });
        is_same && written.iter().filter(restricts).count() == count
    }

    /// Values to look others up in.
    fn set(&mut self, values: &[&Value]) -> BTreeSet<String> {
        let texts = values.iter().map(|value| value.to_string());
        let texts: BTreeSet<String> = texts.collect();
        let steps = texts.iter().map(|text| text.len() / STEP_BYTES);
        self.steps += steps.sum::<usize>();
        texts
    }

    fn root(&self, side: usize, document: usize) -> Node<'a> {
        let value = self.documents[side][document].1;
        Node {
            side,
            document,
            base: value,
            value,
        }
    }

    /// Where a `$ref` leads.
    fn target(&self, node: Node<'a>, reference: &str) -> Option<Node<'a>> {
        let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let root = self.root(node.side, node.document);
        let base = match name {
            "" => root.at(node.base),
            // Names are relative to the id around; only that of the whole document is what others are named by.
            _ if !std::ptr::eq(node.base, root.base) => return None,
            name => {
                let mut documents = self.documents[node.side].iter();
                self.root(node.side, documents.position(|(known, _)| *known == name)?)
            }
        };
        base.pointed(pointer)
    }

    /// Follows references that stand alone.
    fn follow(&mut self, node: Node<'a>) -> Option<Node<'a>> {
        let mut node = node;
        for _ in 0..DEPTH_MAX {
            let Some(reference) = node.value.get("$ref") else {
                return Some(node);
            };
            // Newer drafts heed what stands beside it; of a writer it may be passed over.
            let members = node.value.as_object()?;
            let is_alone = members
                .keys()
                .all(|name| name == "$ref" || ANNOTATIONS.contains(&name.as_str()));
            if node.side == READER && !is_alone {
                return None;
            }
            let reference = reference.as_str()?;
            self.steps += 1 + reference.len() / STEP_BYTES;
            node = self.target(node, reference)?;
        }
        None
    }

    fn allows(&mut self, reader: Node<'a>, writer: Node<'a>, at: &str) -> bool {
        self.steps += PAIR_STEPS + at.len() / STEP_BYTES;
        if self.steps > self.steps_max || self.depth == DEPTH_MAX {
            return self.refuse(at, "TOO_LARGE_TO_COMPARE");
        }
        let (Some(reader), Some(writer)) = (self.follow(reader), self.follow(writer)) else {
            return self.refuse(at, "REFERENCE_UNKNOWN");
        };
        let pair = (
            std::ptr::from_ref(reader.value),
            std::ptr::from_ref(writer.value),
        );
        self.steps += width(reader.value) + width(writer.value);
        if !self.open.insert(pair) {
            return true;
        }
        self.depth += 1;
        let allows = self.allows_followed(reader, writer, at);
        self.depth -= 1;
        self.open.remove(&pair);
        allows
    }

    fn allows_followed(&mut self, reader: Node<'a>, writer: Node<'a>, at: &str) -> bool {
        let is_any = |value: &Value| match value {
            Value::Bool(any) => *any,
            Value::Object(members) => members
                .keys()
                .all(|name| ANNOTATIONS.contains(&name.as_str())),
            _ => false,
        };
        if is_any(reader.value) || writer.types() == 0 {
            return true;
        }
        if self.equal_but_for_annotations(reader.value, writer.value) {
            return true;
        }
        // Whatever the writer allows, one of its branches does, or all of them do.
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branches) = writer.branches(keyword)
                && branches
                    .iter()
                    .all(|branch| self.tries(reader, *branch, at))
            {
                return true;
            }
        }
        if let Some(branches) = writer.branches("allOf")
            && branches
                .iter()
                .any(|branch| self.tries(reader, *branch, at))
        {
            return true;
        }
        if *reader.value == Value::Bool(false) {
            return self.refuse(at, "NOTHING_IS_ALLOWED");
        }
        let Some(members) = reader.value.as_object() else {
            return self.refuse(at, "NO_SCHEMA");
        };
        let types = writer.types();
        let mut allows = self.allows_types(reader, writer, at);
        for keyword in members.keys() {
            allows = self.allows_keyword(keyword, reader, (writer, types), at) && allows;
        }
        allows
    }

    fn allows_types(&mut self, reader: Node<'a>, writer: Node<'a>, at: &str) -> bool {
        if let Some(allowed) = reader.values() {
            let named = reader.named_types();
            let allowed = allowed.into_iter();
            let allowed: Vec<_> = allowed
                .filter(|value| type_of(value) & !named == 0)
                .collect();
            let allowed = self.set(&allowed);
            let written = writer.values().map(|written| self.set(&written));
            return match written {
                Some(written) if written.is_subset(&allowed) => true,
                _ => self.refuse(at, "ENUM_NARROWED"),
            };
        }
        if writer.types() & !reader.types() == 0 {
            return true;
        }
        self.refuse(at, "TYPE_NARROWED")
    }

    /// What a keyword of the reader forbids the writer must forbid as well.
    fn allows_keyword(
        &mut self,
        keyword: &str,
        reader: Node<'a>,
        (writer, types): (Node<'a>, u8),
        at: &str,
    ) -> bool {
        let concerns = |name: &str| types & types_named(name) != 0;
        match keyword {
            "type" | "enum" | "const" => true,
            "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" | "multipleOf" => {
                !concerns("number") || self.allows_number(keyword, reader, writer, at)
            }
            "minLength" | "maxLength" => {
                !concerns("string") || self.allows_count(keyword, reader, writer, at)
            }
            "minItems" | "maxItems" => {
                !concerns("array") || self.allows_count(keyword, reader, writer, at)
            }
            "minProperties" | "maxProperties" => {
                !concerns("object") || self.allows_count(keyword, reader, writer, at)
            }
            "items" if reader.value["items"].is_array() || writer.value["items"].is_array() => {
                self.is_same(keyword, reader, writer, at)
            }
            "items" => {
                // What stands in front of these has schemas of its own.
                let is_plain = writer.get("prefixItems").is_none();
                let (read, written) = (reader.get_or_true("items"), writer.get_or_true("items"));
                !concerns("array")
                    || is_plain && self.allows(read, written, &format!("{at}/items"))
                    || (!is_plain && self.refuse(at, "PREFIX_ITEMS"))
            }
            "properties" | "additionalProperties" => {
                !concerns("object")
                    || keyword == "additionalProperties" && reader.get("properties").is_some()
                    || self.allows_properties(reader, writer, at)
            }
            "required" => {
                let missing = reader.names("required");
                let written = writer.names("required");
                match missing.difference(&written).next() {
                    Some(name) if concerns("object") => {
                        self.refuse(&format!("{at}/required/{name}"), "REQUIRED_PROPERTY_ADDED")
                    }
                    _ => true,
                }
            }
            "allOf" => {
                let branches = reader.branches("allOf").unwrap_or_default();
                branches
                    .into_iter()
                    .all(|branch| self.allows(branch, writer, at))
            }
            "anyOf" => {
                let branches = reader.branches("anyOf").unwrap_or_default();
                branches
                    .iter()
                    .any(|branch| self.tries(*branch, writer, at))
                    || self.is_same(keyword, reader, writer, at)
            }
            "oneOf" => self.allows_one_of(reader, writer, at),
            // How many of those there must be stands beside it.
            "contains" => {
                let count = |node: Node<'a>| node.value.get("minContains");
                match count(reader) == count(writer) {
                    true => self.is_same(keyword, reader, writer, at),
                    false => self.refuse(at, "CHANGE_NOT_UNDERSTOOD of minContains"),
                }
            }
            whole if OF_THE_WHOLE.contains(&whole) => {
                self.refuse(at, &format!("CHANGE_NOT_UNDERSTOOD beside {whole}"))
            }
            known if ANNOTATIONS.contains(&known) => true,
            other => self.is_same(other, reader, writer, at),
        }
    }

    fn is_same(&mut self, keyword: &str, reader: Node<'a>, writer: Node<'a>, at: &str) -> bool {
        let (read, written) = (&reader.value[keyword], writer.value.get(keyword));
        if written.is_some_and(|written| self.equal(read, written)) {
            return true;
        }
        self.refuse(at, &format!("CHANGE_NOT_UNDERSTOOD of {keyword}"))
    }

    fn allows_number(
        &mut self,
        keyword: &str,
        reader: Node<'a>,
        writer: Node<'a>,
        at: &str,
    ) -> bool {
        let Some(bound) = reader.number(keyword) else {
            // In older drafts exclusive bounds are truth values.
            return self.is_same(keyword, reader, writer, at);
        };
        use Ordering::{Equal, Greater, Less};
        let is = |written: &Number, orders: &[Ordering]| {
            compared(written, bound).is_some_and(|order| orders.contains(&order))
        };
        let bounds =
            |inclusive: &str, exclusive: &str| (writer.number(inclusive), writer.number(exclusive));
        let is_bound = match keyword {
            "minimum" => {
                let (above, beyond) = bounds("minimum", "exclusiveMinimum");
                let mut least = above.into_iter().chain(beyond);
                least.any(|least| is(least, &[Greater, Equal]))
            }
            "maximum" => {
                let (below, beyond) = bounds("maximum", "exclusiveMaximum");
                let mut most = below.into_iter().chain(beyond);
                most.any(|most| is(most, &[Less, Equal]))
            }
            "exclusiveMinimum" => {
                let (above, beyond) = bounds("minimum", "exclusiveMinimum");
                above.is_some_and(|least| is(least, &[Greater]))
                    || beyond.is_some_and(|least| is(least, &[Greater, Equal]))
            }
            "exclusiveMaximum" => {
                let (below, beyond) = bounds("maximum", "exclusiveMaximum");
                below.is_some_and(|most| is(most, &[Less]))
                    || beyond.is_some_and(|most| is(most, &[Less, Equal]))
            }
            _ => {
                let written = writer.value.get("multipleOf");
                written.is_some_and(|step| is_multiple(&reader.value["multipleOf"], step))
            }
        };
        is_bound || self.refuse(at, &format!("{keyword} NARROWED"))
    }

    fn allows_count(
        &mut self,
        keyword: &str,
        reader: Node<'a>,
        writer: Node<'a>,
        at: &str,
    ) -> bool {
        let (bound, written) = (reader.number(keyword), writer.number(keyword));
        let is_least = keyword.starts_with("min");
        let is_bound = match (bound, written) {
            (Some(bound), Some(written)) => match compared(written, bound) {
                Some(order) if is_least => order.is_ge(),
                Some(order) => order.is_le(),
                None => false,
            },
            (Some(bound), None) => is_least && bound.as_f64().is_some_and(|bound| bound <= 0.0),
            (None, _) => true,
        };
        is_bound || self.refuse(at, &format!("{keyword} NARROWED"))
    }

    fn allows_properties(&mut self, reader: Node<'a>, writer: Node<'a>, at: &str) -> bool {
        if reader.get("patternProperties").is_some() {
            let keywords = ["properties", "patternProperties", "additionalProperties"];
            let is_same = keywords.iter().all(|keyword| {
                match (reader.value.get(keyword), writer.value.get(keyword)) {
                    (Some(read), Some(written)) => self.equal(read, written),
                    (read, written) => read.is_none() && written.is_none(),
                }
            });
            return is_same || self.refuse(at, "CHANGE_NOT_UNDERSTOOD of patternProperties");
        }
        let own = |node: Node<'a>, name: &str| {
            let properties = node.value.get("properties").and_then(Value::as_object);
            properties.and_then(|properties: &'a Map<String, Value>| properties.get(name))
        };
        // A name that matches a pattern is under that alone; what it says is not looked at.
        let has_patterns = writer.get("patternProperties").is_some();
        let mut allows = true;
        for (name, read) in reader.members("properties") {
            let at = format!("{at}/properties/{name}");
            let written = match own(writer, name) {
                Some(written) => writer.at(written),
                None if has_patterns => writer.at(&ANY),
                None => writer.get_or_true("additionalProperties"),
            };
            allows = self.allows(read, written, &at) && allows;
        }
        let others = reader.get_or_true("additionalProperties");
        for (name, written) in writer.members("properties") {
            if own(reader, name).is_none() {
                let at = format!("{at}/properties/{name}");
                allows = self.allows(others, written, &at) && allows;
            }
        }
        for (name, written) in writer.members("patternProperties") {
            let at = format!("{at}/patternProperties/{name}");
            allows = self.allows(others, written, &at) && allows;
        }
        let written = writer.get_or_true("additionalProperties");
        self.allows(others, written, &format!("{at}/additionalProperties")) && allows
    }

    fn allows_one_of(&mut self, reader: Node<'a>, writer: Node<'a>, at: &str) -> bool {
        let branches = reader.branches("oneOf").unwrap_or_default();
        let types = branches
            .iter()
            .map(|branch| self.follow(*branch).map(Node::types));
        let Some(types) = types.collect::<Option<Vec<u8>>>() else {
            return self.refuse(at, "REFERENCE_UNKNOWN");
        };
        // No value is of two branches when no type is.
        let mut seen = 0;
        let is_disjoint = types.iter().all(|types| {
            let is_new = seen & types == 0;
            seen |= types;
            is_new
        });
        let is_one = is_disjoint
            && branches
                .iter()
                .any(|branch| self.tries(*branch, writer, at));
        is_one || self.is_same("oneOf", reader, writer, at)
    }
}
