//! The derive of state structs.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, LitInt, Result, ext::IdentExt, spanned::Spanned};

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.span(), "state is a struct"));
    };
    let fields: Vec<_> = match &data.fields {
        Fields::Named(fields) => fields.named.iter().collect(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(fields) => {
            return Err(Error::new(fields.span(), "states have names"));
        }
    };
    let mut numbers = BTreeSet::new();
    let (mut made, mut described, mut visited) = (Vec::new(), Vec::new(), Vec::new());
    for field in fields {
        let attribute = field.attrs.iter().find(|a| a.path().is_ident("state"));
        let attribute = attribute
            .ok_or_else(|| Error::new(field.span(), "every state has its number: `#[state(1)]`"))?;
        let number: LitInt = attribute.parse_args()?;
        let value: u8 = number.base10_parse()?;
        // 0 is the step's own, and so is 255.
        if value == 0 || value == u8::MAX || !numbers.insert(value) {
            return Err(Error::new(
                number.span(),
                "a number of its own, 1 to 254, is expected",
            ));
        }
        let at = field.ident.as_ref().expect("states have names");
        let text = at.unraw().to_string();
        let declared = &field.ty;
        made.push(quote!(#at: <#declared as ::flow::state::Keyed>::new()));
        described.push(quote!(::flow::state::describe::<#declared>(#value, #text)));
        visited.push(quote!(visit(#value, &mut self.#at);));
    }
    let (generics, types, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::flow::State for #ident #types #bounds {
            fn new() -> Self {
                Self { #(#made),* }
            }

            fn fields() -> ::std::vec::Vec<::flow::state::StateField> {
                ::std::vec![#(#described),*]
            }

            fn each(&mut self, visit: &mut dyn FnMut(u8, &mut dyn ::flow::state::Keyed)) {
                let _ = &visit;
                #(#visited)*
            }
        }
    })
}
