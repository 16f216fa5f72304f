//! The derive of events: structs as messages, enums without fields as enums.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, DataEnum, DataStruct, DeriveInput, Error, Expr, ExprLit, Field, Fields,
    GenericArgument, Ident, Lit, LitInt, LitStr, PathArguments, Result, Token, Type,
    ext::IdentExt,
    parse::{Parse, ParseStream},
    spanned::Spanned,
};

/// Field numbers end here, and these are Protobuf's own.
const NUMBER_MAX: u32 = (1 << 29) - 1;
const RESERVED: std::ops::Range<u32> = 19_000..20_000;

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new(
            input.generics.span(),
            "an event has no type parameters",
        ));
    }
    let name = name_of(input)?;
    match &input.data {
        syn::Data::Struct(data) => message(&input.ident, &name, data),
        syn::Data::Enum(data) => enumeration(&input.ident, &name, data),
        syn::Data::Union(data) => Err(Error::new(
            data.union_token.span,
            "an event is a struct or an enum",
        )),
    }
}

/// The type's own name, or the one it is given.
fn name_of(input: &DeriveInput) -> Result<String> {
    let mut name = input.ident.unraw().to_string();
    for attribute in input.attrs.iter().filter(|a| a.path().is_ident("event")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("`name = \"…\"` is expected"));
            }
            name = meta.value()?.parse::<LitStr>()?.value();
            Ok(())
        })?;
    }
    Ok(name)
}

/// `1`, `1, sint`, `1, fixed`.
struct Numbered {
    number: u32,
    encoding: TokenStream,
}

impl Parse for Numbered {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let number: LitInt = input.parse()?;
        let value: u32 = number.base10_parse()?;
        if !(1..=NUMBER_MAX).contains(&value) || RESERVED.contains(&value) {
            return Err(Error::new(number.span(), "this is no field's number"));
        }
        let mut encoding = quote!(::flow::event::Plain);
        if input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let word: Ident = input.parse()?;
            encoding = match word.to_string().as_str() {
                "sint" => quote!(::flow::event::Sint),
                "fixed" => quote!(::flow::event::Fixed),
                _ => return Err(Error::new(word.span(), "`sint` or `fixed` is expected")),
            };
        }
        Ok(Self {
            number: value,
            encoding,
        })
    }
}

fn numbered(field: &Field, attributes: &[Attribute]) -> Result<Numbered> {
    let attribute = attributes.iter().find(|a| a.path().is_ident("event"));
    let attribute = attribute
        .ok_or_else(|| Error::new(field.span(), "every field has its number: `#[event(1)]`"))?;
    attribute.parse_args()
}

/// The shape of a field, and the type of a value of it.
enum Shape<'a> {
    Plain(&'a Type),
    Optional(&'a Type),
    Repeated(&'a Type),
    Map(&'a Type, &'a Type),
}

fn arguments<'a>(declared: &'a Type, name: &str) -> Option<Vec<&'a Type>> {
    let Type::Path(path) = declared else {
        return None;
    };
    let last = path.path.segments.last()?;
    if last.ident != name {
        return None;
    }
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(argument) => Some(argument),
        _ => None,
    });
    Some(types.collect())
}

fn shape(declared: &Type) -> Shape<'_> {
    let is_byte = |element: &Type| matches!(element, Type::Path(path) if path.path.is_ident("u8"));
    if let Some([element]) = arguments(declared, "Option").as_deref() {
        return Shape::Optional(element);
    }
    if let Some([element]) = arguments(declared, "Vec").as_deref()
        && !is_byte(element)
    {
        return Shape::Repeated(element);
    }
    if let Some([key, value]) = arguments(declared, "BTreeMap").as_deref() {
        return Shape::Map(key, value);
    }
    Shape::Plain(declared)
}

fn message(ident: &Ident, name: &str, data: &DataStruct) -> Result<TokenStream> {
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(ident.span(), "an event's fields have names"));
    };
    let mut numbers = BTreeSet::new();
    let mut described = Vec::new();
    let mut written = Vec::new();
    let mut read = Vec::new();
    let mut empty = Vec::new();
    let mut sorted = Vec::new();
    for field in &fields.named {
        let Numbered { number, encoding } = numbered(field, &field.attrs)?;
        if !numbers.insert(number) {
            return Err(Error::new(field.span(), "another field has this number"));
        }
        sorted.push((number, field, encoding));
    }
    // Bytes are those of the numbers' order, whatever the order of the fields: keys are compared as bytes.
    sorted.sort_by_key(|(number, ..)| *number);
    for (number, field, encoding) in sorted {
        let at = field.ident.as_ref().expect("the fields have names");
        let text = at.unraw().to_string();
        let (function, types) = match shape(&field.ty) {
            Shape::Plain(value) => (quote!(plain), quote!(#value, #encoding)),
            Shape::Optional(value) => (quote!(optional), quote!(#value, #encoding)),
            Shape::Repeated(value) => (quote!(repeated), quote!(#value, #encoding)),
            Shape::Map(key, value) => (quote!(map), quote!(#key, #value)),
        };
        described
            .push(quote!(::flow::event::#function::describe::<#types>(message, #number, #text);));
        written.push(quote!(::flow::event::#function::put::<#types>(&self.#at, #number, out);));
        read.push(quote! {
            #number => ::flow::event::#function::merge::<#types>(&mut self.#at, wire, input)?,
        });
        empty.push(quote!(#at: ::flow::event::#function::empty::<#types>()));
    }
    Ok(quote! {
        impl ::flow::Event for #ident {
            fn name() -> ::std::string::String {
                ::std::string::String::from(#name)
            }

            fn describe(schema: &mut ::flow::event::Schema) {
                schema.message::<Self>(|message| {
                    let _ = &message;
                    #(#described)*
                });
            }

            fn empty() -> Self {
                Self { #(#empty),* }
            }

            fn put(&self, out: &mut ::std::vec::Vec<u8>) {
                let _ = &out;
                #(#written)*
            }

            fn merge(
                &mut self,
                input: &mut ::flow::event::Input<'_>,
            ) -> ::std::result::Result<(), ::flow::event::DecodeError> {
                while let ::std::option::Option::Some((number, wire)) = input.tag()? {
                    match number {
                        #(#read)*
                        _ => input.skip(wire)?,
                    }
                }
                ::std::result::Result::Ok(())
            }
        }

        ::flow::message_element!(#ident);
    })
}

fn enumeration(ident: &Ident, name: &str, data: &DataEnum) -> Result<TokenStream> {
    let mut next: i32 = 0;
    let mut variants = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(
                variant.span(),
                "an enum's values have no fields; a choice of messages is a struct of options",
            ));
        }
        if let Some((_, value)) = &variant.discriminant {
            next = discriminant(value)?;
        }
        variants.push((variant.ident.clone(), next));
        next = next.wrapping_add(1);
    }
    let Some((zero, _)) = variants.first() else {
        return Err(Error::new(ident.span(), "an enum has a value"));
    };
    let idents: Vec<&Ident> = variants.iter().map(|(ident, _)| ident).collect();
    let numbers: Vec<i32> = variants.iter().map(|(_, number)| *number).collect();
    let names: Vec<String> = idents
        .iter()
        .map(|ident| screaming(&ident.unraw().to_string()))
        .collect();
    Ok(quote! {
        impl ::flow::event::Enumeration for #ident {
            fn name() -> ::std::string::String {
                ::std::string::String::from(#name)
            }

            fn values() -> &'static [(&'static str, i32)] {
                &[#((#names, #numbers)),*]
            }

            fn from_number(number: i32) -> Self {
                match number {
                    #(#numbers => Self::#idents,)*
                    _ => Self::#zero,
                }
            }

            fn number(&self) -> i32 {
                match self {
                    #(Self::#idents => #numbers,)*
                }
            }
        }

        ::flow::enumeration_element!(#ident);
    })
}

fn discriminant(value: &Expr) -> Result<i32> {
    let text = quote!(#value).to_string().replace(' ', "");
    if let Expr::Lit(ExprLit {
        lit: Lit::Int(number),
        ..
    }) = value
    {
        return number.base10_parse();
    }
    text.parse()
        .map_err(|_| Error::new(value.span(), "a number is expected"))
}

/// `NewYork` as `NEW_YORK`.
pub fn screaming(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            out.push('_');
        }
        out.extend(letter.to_uppercase());
    }
    out
}
