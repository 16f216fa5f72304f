//! Rust code of the message codec.

use std::fmt::Write as _;

use super::{
    Api, Module,
    schema::{Field, Message, Struct, Type, Versions},
};

/// `ReplicaId` to `replica_id`.
pub fn snake(name: &str) -> String {
    let mut out = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (at, c) in chars.iter().enumerate() {
        let after_lower = at > 0 && !chars[at - 1].is_ascii_uppercase();
        let before_lower = chars.get(at + 1).is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && at > 0 && (after_lower || before_lower) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn field_name(field: &Field) -> String {
    match snake(&field.name).as_str() {
        name @ ("type" | "match") => format!("r#{name}"),
        name => name.to_owned(),
    }
}

/// The table of APIs and the list of modules.
pub fn table(modules: &[Module]) -> String {
    let apis: Vec<(&Module, &Api)> = modules
        .iter()
        .filter_map(|module| module.api.as_ref().map(|api| (module, api)))
        .collect();
    let mut out = String::from(
        "//! Kafka's messages, @generated from its descriptors by `cargo xtask codegen`.\n\n",
    );
    for module in modules {
        let _ = writeln!(out, "pub mod {};", module.name);
    }
    out.push_str(
        "\n/// Keys of the APIs that clients and tools send.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n#[repr(i16)]\npub enum ApiKey {\n",
    );
    for (_, api) in &apis {
        let _ = writeln!(out, "{} = {},", api.name, api.key);
    }
    let keys = apis.iter().map(|(_, api)| api.key).max().unwrap_or(-1) + 1;
    let _ = writeln!(
        out,
        "}}\n\n\
         /// One API: its versions here are those of the newest stable release of Kafka, unstable ones left out.\n\
         struct Api {{ key: ApiKey, name: &'static str, version_min: i16, version_max: i16, flexible_version: i16 }}\n\n\
         /// Indexed by key.\nstatic APIS: [Option<Api>; {keys}] = ["
    );
    for key in 0..keys {
        let Some((_, api)) = apis.iter().find(|(_, api)| api.key == key) else {
            out.push_str("None,\n");
            continue;
        };
        let flexible = match api.flexible_version {
            i16::MAX => "i16::MAX".to_owned(),
            version => version.to_string(),
        };
        let _ = writeln!(
            out,
            "Some(row(ApiKey::{}, \"{}\", {}, {}, {flexible})),",
            api.name, api.name, api.versions.first, api.versions.last
        );
    }
    out.push_str(TABLE_CODE);
    out.push_str(
        "\n/// Hands every API to the macro `$then`, as `module Request Response;` each: for tests over all messages.\n\
         #[macro_export]\nmacro_rules! each_api {\n    ($then:ident) => {\n        $then! {\n",
    );
    for (module, _) in &apis {
        let _ = writeln!(
            out,
            "            {} {} {};",
            module.name,
            module.messages[0].name(),
            module.messages[1].name()
        );
    }
    out.push_str("        }\n    };\n}\n");
    out
}

const TABLE_CODE: &str = "];

const fn row(
    key: ApiKey,
    name: &'static str,
    version_min: i16,
    version_max: i16,
    flexible_version: i16,
) -> Api {
    Api {
        key,
        name,
        version_min,
        version_max,
        flexible_version,
    }
}

fn api(api_key: i16) -> Option<&'static Api> {
    APIS.get(usize::try_from(api_key).ok()?)?.as_ref()
}

/// Whether the version is in the compact encoding with tagged fields (KIP-482); for unknown keys no.
#[must_use]
pub fn is_flexible(api_key: i16, version: i16) -> bool {
    api(api_key).is_some_and(|api| version >= api.flexible_version)
}

impl ApiKey {
    /// All keys, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        APIS.iter().flatten().map(|api| api.key)
    }

    #[must_use]
    pub fn from_i16(api_key: i16) -> Option<Self> {
        api(api_key).map(|api| api.key)
    }

    /// Kafka's name of the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.api().name
    }

    /// Versions of the newest stable release of Kafka.
    #[must_use]
    pub fn versions(self) -> std::ops::RangeInclusive<i16> {
        self.api().version_min..=self.api().version_max
    }

    fn api(self) -> &'static Api {
        api(self as i16).expect(\"every key has a row\")
    }
}
";

/// One module: its messages and their structs.
pub fn module(module: &Module) -> String {
    let title = match &module.api {
        Some(api) => format!("{} (key {})", api.name, api.key),
        None => "Consumer protocol".to_owned(),
    };
    let mut body = String::new();
    for message in &module.messages {
        let compared = message.compared();
        for item in &message.structs {
            structure(&mut body, message, item, compared.contains(&item.name));
        }
        message_impl(&mut body, message);
    }
    let mut out = format!(
        "//! {title}: messages, @generated from Kafka's descriptors by `cargo xtask codegen`.\n\n"
    );
    if body.contains("Cow<") {
        out.push_str("use std::borrow::Cow;\n\n");
    }
    if body.contains("TopicId") {
        out.push_str("use base::TopicId;\n\n");
    }
    let mut names = vec!["DecodeError", "EncodeError"];
    if body.contains("List<") {
        names.push("List");
    }
    names.push("Reader");
    if body.contains("Records") && body.contains("Records<'a>") {
        names.push("Records");
    }
    if body.contains("Str<") {
        names.push("Str");
    }
    names.extend(["Wire", "Writer"]);
    let _ = writeln!(
        out,
        "use crate::{{Message, wire::{{{}}}}};\n",
        names.join(", ")
    );
    out.push_str(&body);
    out
}

fn message_impl(out: &mut String, message: &Message) {
    let name = message.name();
    let flexible = match message.flexible_version {
        i16::MAX => "i16::MAX".to_owned(),
        version => version.to_string(),
    };
    let _ = writeln!(
        out,
        "impl<'a> Message<'a> for {} {{\nconst API_KEY: i16 = {};\nconst MIN_VERSION: i16 = {};\n\
         const MAX_VERSION: i16 = {};\nconst FLEXIBLE_VERSION: i16 = {flexible};\n}}\n",
        type_name(message, name),
        message.api_key.unwrap_or(-1),
        message.versions.first,
        message.versions.last,
    );
}

fn type_name(message: &Message, name: &str) -> String {
    if message.borrows(name) {
        format!("{name}<'a>")
    } else {
        name.to_owned()
    }
}

fn rust_type(message: &Message, ty: &Type) -> String {
    match ty {
        Type::Scalar(name) => (*name).to_owned(),
        Type::Uuid => "TopicId".to_owned(),
        Type::Str => "Str<'a>".to_owned(),
        Type::Bytes => "Cow<'a, [u8]>".to_owned(),
        Type::Records => "Records<'a>".to_owned(),
        Type::Struct(name) => type_name(message, name),
        Type::Array(item) => format!("List<'a, {}>", rust_type(message, item)),
    }
}

fn field_type(message: &Message, field: &Field) -> String {
    let ty = rust_type(message, &field.ty);
    if optional(field) {
        format!("Option<{ty}>")
    } else {
        ty
    }
}

fn optional(field: &Field) -> bool {
    !field.nullable.is_empty() && field.ty != Type::Records
}

/// The default as an expression, and whether it is that of the Rust type.
fn default(field: &Field) -> (String, bool) {
    if optional(field) {
        return match field.default.as_deref() {
            Some("null") => ("None".to_owned(), true),
            _ => (format!("Some({})", type_default(field).0), false),
        };
    }
    type_default(field)
}

fn type_default(field: &Field) -> (String, bool) {
    let given = field.default.as_deref().map(str::trim);
    match &field.ty {
        Type::Scalar("bool") => {
            let value = given.unwrap_or("false");
            (value.to_owned(), value == "false")
        }
        Type::Scalar("f64") => ("0.0".to_owned(), true),
        Type::Scalar(_) => {
            let value = given.unwrap_or("0");
            let value = match value.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16)
                    .expect("descriptors hold valid numbers")
                    .to_string(),
                None => value.to_owned(),
            };
            let zero = value == "0";
            (value, zero)
        }
        Type::Uuid => ("TopicId::ZERO".to_owned(), true),
        Type::Str => match given {
            None | Some("" | "null") => ("Str::default()".to_owned(), true),
            Some(text) => (format!("Str::Borrowed({text:?})"), false),
        },
        Type::Bytes => ("Cow::default()".to_owned(), true),
        Type::Records => ("Records::Null".to_owned(), true),
        Type::Struct(name) => (format!("{name}::default()"), true),
        Type::Array(_) => ("List::default()".to_owned(), true),
    }
}

/// Test on `version` for being one of `versions`, given that it is one of `around`; `None` when always true.
fn test(versions: Versions, around: Versions) -> Option<String> {
    let from = versions.first > around.first;
    let to = versions.last < around.last;
    match (from, to) {
        (false, false) => None,
        (true, false) => Some(format!("version >= {}", versions.first)),
        (false, true) => Some(format!("version <= {}", versions.last)),
        (true, true) => Some(format!(
            "({}..={}).contains(&version)",
            versions.first, versions.last
        )),
    }
}

fn tests_version(code: &str) -> bool {
    ["version >=", "version <=", "(&version)"]
        .iter()
        .any(|test| code.contains(test))
}

fn structure(out: &mut String, message: &Message, item: &Struct, compared: bool) {
    let generic = if message.borrows(&item.name) {
        "<'a>"
    } else {
        ""
    };
    let derived = item.fields.iter().all(|field| default(field).1);
    let mut derives = String::from("Clone, Debug");
    if derived {
        derives.push_str(", Default");
    }
    if compared {
        derives.push_str(", PartialEq");
    }
    doc(out, &item.about);
    let _ = writeln!(
        out,
        "#[derive({derives})]\npub struct {}{generic} {{",
        item.name
    );
    for field in &item.fields {
        doc(out, &field.about);
        let _ = writeln!(
            out,
            "pub {}: {},",
            field_name(field),
            field_type(message, field)
        );
    }
    out.push_str("}\n\n");
    if !derived {
        let lifetime = if generic.is_empty() { "" } else { "<'_>" };
        let _ = writeln!(
            out,
            "impl Default for {}{lifetime} {{\nfn default() -> Self {{\nSelf {{",
            item.name
        );
        for field in &item.fields {
            let _ = writeln!(out, "{}: {},", field_name(field), default(field).0);
        }
        out.push_str("}\n}\n}\n\n");
    }
    let _ = writeln!(
        out,
        "impl<'a> Wire<'a> for {}{generic} {{\nconst BYTES_MIN: usize = {};\n",
        item.name,
        message.bytes_min(item)
    );
    read(out, message, item);
    write(out, message, item);
    out.push_str("}\n\n");
}

fn doc(out: &mut String, about: &str) {
    let about = about.trim();
    if !about.is_empty() {
        let escaped = about
            .replace('[', "\\[")
            .replace(']', "\\]")
            .replace('<', "\\<")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let _ = writeln!(out, "/// {escaped}");
    }
}

fn read(out: &mut String, message: &Message, item: &Struct) {
    let tagged: Vec<&Field> = item.fields.iter().filter(|f| f.tag.is_some()).collect();
    let mut body = String::from("Self {\n");
    for field in &item.fields {
        let name = field_name(field);
        let value = match (field.tag, test(field.versions, item.versions)) {
            (Some(_), _) => default(field).0,
            (None, None) => read_value(field, "reader", item.versions),
            (None, Some(test)) => format!(
                "if {test} {{ {} }} else {{ {} }}",
                read_value(field, "reader", field.versions),
                default(field).0
            ),
        };
        let _ = writeln!(body, "{name}: {value},");
    }
    body.push('}');
    let flexible = message.flexible_version <= item.versions.last;
    let mut tail = String::new();
    if tagged.is_empty() {
        body = match flexible {
            true => format!("let item = {body};\nreader.skip_tags()?;\nOk(item)"),
            false => format!("Ok({body})"),
        };
    } else {
        body = format!("let mut item = {body};\n");
        tail.push_str(
            "for _ in 0..reader.tag_count()? {\nlet (tag, mut field) = reader.tag()?;\nmatch tag {\n",
        );
        for field in &tagged {
            let guard = test(
                field.versions.and(item.versions),
                flexible_part(message, item),
            )
            .map_or(String::new(), |test| format!(" if {test}"));
            let _ = writeln!(
                tail,
                "{}{guard} => item.{} = {},",
                field.tag.unwrap_or(0),
                field_name(field),
                read_value(field, "field", field.versions)
            );
        }
        tail.push_str("_ => continue,\n}\nfield.tag_end(tag)?;\n}\nOk(item)");
    }
    let version = if tests_version(&body) || tests_version(&tail) {
        "let version = reader.version();\n"
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {{\n{version}{body}{tail}\n}}\n"
    );
}

/// The versions at which a struct can have tagged fields at all.
fn flexible_part(message: &Message, item: &Struct) -> Versions {
    item.versions.and(Versions {
        first: message.flexible_version,
        last: i16::MAX,
    })
}

fn read_value(field: &Field, reader: &str, around: Versions) -> String {
    let by_ref = if reader == "reader" { "" } else { "&mut " };
    let plain = match &field.ty {
        Type::Scalar(name) => format!("{reader}.{name}()?"),
        Type::Uuid => format!("{reader}.uuid()?"),
        Type::Str => format!("{reader}.string()?"),
        Type::Bytes => format!("{reader}.bytes()?"),
        Type::Records => return format!("{reader}.records()?"),
        Type::Struct(name) => format!("{name}::read({by_ref}{reader})?"),
        Type::Array(_) => format!("List::read({by_ref}{reader})?"),
    };
    if !optional(field) {
        return plain;
    }
    let nullable = match &field.ty {
        Type::Str => format!("{reader}.nullable_string()?"),
        Type::Bytes => format!("{reader}.nullable_bytes()?"),
        Type::Array(_) => format!("List::read_nullable({by_ref}{reader})?"),
        _ => format!("{reader}.nullable()?"),
    };
    match test(field.nullable, around) {
        None => nullable,
        Some(test) => format!("if {test} {{ {nullable} }} else {{ Some({plain}) }}"),
    }
}

fn write(out: &mut String, message: &Message, item: &Struct) {
    let mut body = String::new();
    // Neighbours that the same versions have share their test.
    let mut groups: Vec<(Option<String>, String, String)> = Vec::new();
    for field in item.fields.iter().filter(|field| field.tag.is_none()) {
        let test = test(field.versions, item.versions);
        let value = write_value(field, item.versions.and(field.versions));
        let absent = match field.ignorable {
            true => String::new(),
            false => format!("writer.absent({}, \"{}\")?;", set(field), field.name),
        };
        match groups.last_mut() {
            Some((shared, values, absents)) if *shared == test => {
                values.push_str(&value);
                absents.push_str(&absent);
            }
            _ => groups.push((test, value, absent)),
        }
    }
    for (test, values, absents) in groups {
        let line = match test {
            None => values,
            Some(test) if absents.is_empty() => format!("if {test} {{ {values} }}"),
            Some(test) => format!("if {test} {{ {values} }} else {{ {absents} }}"),
        };
        let _ = writeln!(body, "{line}");
    }
    let tagged: Vec<&Field> = item.fields.iter().filter(|f| f.tag.is_some()).collect();
    let flexible = message.flexible_version <= item.versions.last;
    if tagged.is_empty() {
        if flexible {
            body.push_str("writer.no_tags();\n");
        }
    } else {
        write_tags(&mut body, message, item, tagged);
    }
    let version = if tests_version(&body) {
        "let version = writer.version();\n"
    } else {
        ""
    };
    let unused = if body.is_empty() { "_" } else { "" };
    let _ = writeln!(
        out,
        "fn write(&self, {unused}writer: &mut Writer) -> Result<(), EncodeError> {{\n{version}{body}Ok(())\n}}"
    );
}

fn write_tags(body: &mut String, message: &Message, item: &Struct, mut tagged: Vec<&Field>) {
    tagged.sort_by_key(|field| field.tag);
    let mut tags = String::from("let tags = writer.tags();\n");
    for field in &tagged {
        assert!(field.ty != Type::Records, "a tagged field holds no records");
        let value = write_value(field, field.versions);
        let value = value.trim_end_matches(';');
        let value = match value.strip_suffix('?') {
            Some(fallible) => fallible.to_owned(),
            None => format!("{{ {value}; Ok(()) }}"),
        };
        let tag = field.tag.unwrap_or(0);
        let write = format!("writer.tag(tags, {tag}, |writer| {value})?;");
        let absent = format!("writer.absent({}, \"{}\")?;", set(field), field.name);
        let line = match (
            test(field.versions, flexible_part(message, item)),
            field.ignorable,
        ) {
            (None, _) => format!("if {} {{ {write} }}", set(field)),
            (Some(test), true) => format!("if {test} && {} {{ {write} }}", set(field)),
            (Some(test), false) => format!(
                "if {test} {{ if {} {{ {write} }} }} else {{ {absent} }}",
                set(field)
            ),
        };
        let _ = writeln!(tags, "{line}");
    }
    let absent: String = tagged
        .iter()
        .filter(|field| !field.ignorable)
        .map(|field| format!("writer.absent({}, \"{}\")?;\n", set(field), field.name))
        .collect();
    let _ = match (
        test(flexible_part(message, item), item.versions),
        absent.is_empty(),
    ) {
        (None, _) => write!(body, "{tags}"),
        (Some(test), true) => writeln!(body, "if {test} {{ {tags} }}"),
        (Some(test), false) => writeln!(body, "if {test} {{ {tags} }} else {{ {absent} }}"),
    };
}

fn write_value(field: &Field, around: Versions) -> String {
    let name = field_name(field);
    if !optional(field) {
        return match &field.ty {
            Type::Scalar(call) => format!("writer.{call}(self.{name});"),
            Type::Uuid => format!("writer.uuid(self.{name});"),
            Type::Str => format!("writer.string(&self.{name})?;"),
            Type::Bytes => format!("writer.bytes(&self.{name})?;"),
            Type::Records => format!("writer.records(&self.{name})?;"),
            Type::Struct(_) | Type::Array(_) => format!("self.{name}.write(writer)?;"),
        };
    }
    let (nullable, required) = match &field.ty {
        Type::Str => (
            format!("writer.nullable_string(self.{name}.as_deref())?;"),
            format!("writer.string(writer.required(self.{name}.as_deref())?)?;"),
        ),
        Type::Bytes => (
            format!("writer.nullable_bytes(self.{name}.as_deref())?;"),
            format!("writer.bytes(writer.required(self.{name}.as_deref())?)?;"),
        ),
        ty => {
            let call = match ty {
                Type::Array(_) => "nullable_list",
                _ => "nullable",
            };
            (
                format!("writer.{call}(self.{name}.as_ref())?;"),
                format!("writer.required(self.{name}.as_ref())?.write(writer)?;"),
            )
        }
    };
    match test(field.nullable, around) {
        None => nullable,
        Some(test) => format!("if {test} {{ {nullable} }} else {{ {required} }}"),
    }
}

/// Test for a field's value not being the default.
fn set(field: &Field) -> String {
    let name = field_name(field);
    let (value, _) = default(field);
    if optional(field) {
        return match (value.as_str(), &field.ty) {
            ("None", _) => format!("self.{name}.is_some()"),
            (_, Type::Struct(_)) => panic!("{name}: a nullable struct that is not null by default"),
            _ => format!("self.{name}.as_ref().is_none_or(|value| !value.is_empty())"),
        };
    }
    match &field.ty {
        Type::Scalar("bool") if value == "true" => format!("!self.{name}"),
        Type::Scalar("bool") => format!("self.{name}"),
        Type::Str if value.contains("Borrowed") => {
            panic!("{name}: a string default with text is compared nowhere yet")
        }
        Type::Str | Type::Bytes | Type::Array(_) => format!("!self.{name}.is_empty()"),
        Type::Records => format!("!self.{name}.is_null()"),
        _ => format!("self.{name} != {value}"),
    }
}
