//! Types for what a `.proto` file declares.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use proc_macro2::{Ident, Span, TokenStream};
use proto_schema::{Enum, Field, Kind, Message, Scalar, Schema};
use quote::quote;
use syn::{Error, LitStr, Result};

use crate::event::screaming;

const WELL_KNOWN: &str = "google.protobuf.";
const TIMESTAMP: &str = "google.protobuf.Timestamp";
/// Well-known ones whose values are of any type.
const DYNAMIC: [&str; 3] = [
    "google.protobuf.Struct",
    "google.protobuf.Value",
    "google.protobuf.ListValue",
];

pub fn include(path: &LitStr) -> Result<TokenStream> {
    let failed = |text: String| Error::new(path.span(), text);
    let root = env::var("CARGO_MANIFEST_DIR").map_err(|error| failed(error.to_string()))?;
    let file = PathBuf::from(root).join(path.value());
    let text = fs::read_to_string(&file)
        .map_err(|error| failed(format!("{}: {error}", file.display())))?;
    let schema =
        Schema::parse(&text).map_err(|error| failed(format!("{}: {error}", file.display())))?;
    let types = declare(&schema).map_err(failed)?;
    let file = file.display().to_string();
    Ok(quote! {
        // So that the compiler looks again when the file changes.
        const _: &str = include_str!(#file);
        #types
    })
}

/// All messages and enums of the file, and those well-known ones that they use.
fn declare(schema: &Schema) -> std::result::Result<TokenStream, String> {
    let mut names = BTreeSet::new();
    let mut out = TokenStream::new();
    for (at, declared) in schema.enums.iter().enumerate() {
        if declared.name.starts_with(WELL_KNOWN) {
            match is_used(schema, &Kind::Enum(at)) {
                true => return Err(format!("{} is no type of events", declared.name)),
                false => continue,
            }
        }
        unique(&mut names, &type_name(&declared.name))?;
        out.extend(enumeration(declared));
    }
    for (at, message) in schema.messages.iter().enumerate() {
        let is_entry = message.name.ends_with("<>");
        let is_wanted =
            !message.name.starts_with(WELL_KNOWN) || is_used(schema, &Kind::Message(at));
        if is_entry || !is_wanted || message.name == TIMESTAMP {
            continue;
        }
        if DYNAMIC.contains(&message.name.as_str()) {
            return Err(format!("{} is no type of events", message.name));
        }
        unique(&mut names, &type_name(&message.name))?;
        out.extend(structure(schema, at, message));
    }
    Ok(out)
}

fn unique(names: &mut BTreeSet<String>, name: &str) -> std::result::Result<(), String> {
    match names.insert(name.to_owned()) {
        true => Ok(()),
        false => Err(format!("two types would be called {name}")),
    }
}

fn is_used(schema: &Schema, wanted: &Kind) -> bool {
    let own = schema
        .messages
        .iter()
        .filter(|m| !m.name.starts_with(WELL_KNOWN));
    let mut fields = own.flat_map(|message| &message.fields);
    fields.any(|field| field.kind == *wanted)
}

/// Whether values of the message hold such values again, other than in lists and maps.
fn holds(schema: &Schema, from: usize, wanted: usize, seen: &mut BTreeSet<usize>) -> bool {
    if !seen.insert(from) {
        return false;
    }
    let fields = schema.messages[from].fields.iter();
    let mut direct = fields.filter(|field| !field.is_repeated);
    direct.any(|field| match field.kind {
        Kind::Message(at) => at == wanted || holds(schema, at, wanted, seen),
        _ => false,
    })
}

/// `package.Outer.inner_name` as `OuterInnerName`: packages begin with a small letter.
fn type_name(name: &str) -> String {
    let parts = name.split('.');
    let starts_large = |part: &&str| part.starts_with(|letter: char| letter.is_uppercase());
    let parts: Vec<&str> = parts.collect();
    let from = parts.iter().position(starts_large);
    let from = from.unwrap_or(parts.len() - 1);
    parts[from..].iter().map(|part| camel(part)).collect()
}

fn camel(name: &str) -> String {
    let words = name.split('_').filter(|word| !word.is_empty());
    let is_shouted = !name.chars().any(char::is_lowercase);
    let words = words.map(|word| {
        let mut letters = word.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        let rest = letters.as_str();
        let rest = match is_shouted {
            true => rest.to_lowercase(),
            false => rest.to_owned(),
        };
        first.collect::<String>() + &rest
    });
    words.collect()
}

fn ident(name: &str) -> Ident {
    match syn::parse_str::<Ident>(name) {
        Ok(ident) => ident,
        Err(_) if matches!(name, "self" | "Self" | "super" | "crate" | "_") => {
            Ident::new(&format!("{name}_"), Span::call_site())
        }
        Err(_) if name.starts_with(|letter: char| letter.is_ascii_digit()) => {
            Ident::new(&format!("_{name}"), Span::call_site())
        }
        Err(_) => Ident::new_raw(name, Span::call_site()),
    }
}

fn enumeration(declared: &Enum) -> TokenStream {
    let name = ident(&type_name(&declared.name));
    let full = &declared.name;
    let last = declared.name.rsplit('.').next().unwrap_or_default();
    let prefix = screaming(last) + "_";
    let strip = declared.values.iter().all(|(_, value)| {
        let rest = value.strip_prefix(&prefix);
        rest.is_some_and(|rest| !rest.is_empty())
    });
    let mut numbers = BTreeSet::new();
    let values = declared
        .values
        .iter()
        .filter(|(number, _)| numbers.insert(*number));
    let values = values.map(|(number, value)| {
        let value = if strip { &value[prefix.len()..] } else { value };
        let value = ident(&camel(value));
        let number = proc_macro2::Literal::i32_unsuffixed(*number);
        quote!(#value = #number)
    });
    quote! {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ::flow::Event)]
        #[event(name = #full)]
        pub enum #name { #(#values),* }
    }
}

fn structure(schema: &Schema, at: usize, message: &Message) -> TokenStream {
    let name = ident(&type_name(&message.name));
    let full = &message.name;
    let fields = message.fields.iter().map(|field| member(schema, at, field));
    quote! {
        #[derive(Clone, Debug, PartialEq, ::flow::Event)]
        #[event(name = #full)]
        pub struct #name { #(#fields),* }
    }
}

fn member(schema: &Schema, at: usize, field: &Field) -> TokenStream {
    let name = ident(&field.name);
    let number = proc_macro2::Literal::u32_unsuffixed(field.number);
    if let Kind::Message(entry) = field.kind
        && schema.messages[entry].name.ends_with("<>")
    {
        let fields = &schema.messages[entry].fields;
        let (key, _) = value(schema, &fields[0].kind);
        let (value, _) = value(schema, &fields[1].kind);
        return quote!(#[event(#number)] pub #name: ::std::collections::BTreeMap<#key, #value>);
    }
    let (value, encoding) = value(schema, &field.kind);
    let value = match field.kind {
        Kind::Message(inner)
            if !field.is_repeated
                && (inner == at || holds(schema, inner, at, &mut BTreeSet::new())) =>
        {
            quote!(::std::boxed::Box<#value>)
        }
        _ => value,
    };
    let value = match (field.is_repeated, field.has_presence) {
        (true, _) => quote!(::std::vec::Vec<#value>),
        (false, true) => quote!(::std::option::Option<#value>),
        (false, false) => value,
    };
    let encoding = encoding.map(|encoding| {
        let encoding = ident(encoding);
        quote!(, #encoding)
    });
    quote!(#[event(#number #encoding)] pub #name: #value)
}

fn value(schema: &Schema, kind: &Kind) -> (TokenStream, Option<&'static str>) {
    let sint = Some("sint");
    let fixed = Some("fixed");
    match kind {
        Kind::Scalar(scalar) => match scalar {
            Scalar::Double => (quote!(f64), None),
            Scalar::Float => (quote!(f32), None),
            Scalar::Int32 => (quote!(i32), None),
            Scalar::Int64 => (quote!(i64), None),
            Scalar::Uint32 => (quote!(u32), None),
            Scalar::Uint64 => (quote!(u64), None),
            Scalar::Sint32 => (quote!(i32), sint),
            Scalar::Sint64 => (quote!(i64), sint),
            Scalar::Fixed32 => (quote!(u32), fixed),
            Scalar::Fixed64 => (quote!(u64), fixed),
            Scalar::Sfixed32 => (quote!(i32), fixed),
            Scalar::Sfixed64 => (quote!(i64), fixed),
            Scalar::Bool => (quote!(bool), None),
            Scalar::String => (quote!(::std::string::String), None),
            Scalar::Bytes => (quote!(::std::vec::Vec<u8>), None),
        },
        Kind::Enum(at) => {
            let name = ident(&type_name(&schema.enums[*at].name));
            (quote!(#name), None)
        }
        Kind::Message(at) if schema.messages[*at].name == TIMESTAMP => {
            (quote!(::flow::Timestamp), None)
        }
        Kind::Message(at) => {
            let name = ident(&type_name(&schema.messages[*at].name));
            (quote!(#name), None)
        }
        Kind::Named(_) => unreachable!("the parser has resolved every name"),
    }
}
