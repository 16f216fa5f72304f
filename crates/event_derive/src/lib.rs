//! The macros of `flow`: events and state as structs with numbered fields, and structs from `.proto` files.
//!
//! # Place       runs in the compiler; what it writes names `::flow` only

mod event;
mod proto;
mod state;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// A struct as a Protobuf message, or an enum without fields as a Protobuf enum.
///
/// Each field has its number, `#[event(1)]`, and may have another way on the wire: `#[event(1, sint)]`, `#[event(1, fixed)]`.
/// `#[event(name = "package.Name")]` on the type gives its name in schemas.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::derive(&input)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}

/// A struct of states, each with its number: `#[state(1)]`.
#[proc_macro_derive(State, attributes(state))]
pub fn derive_state(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    state::derive(&input)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}

/// Types for all that a `.proto` file declares; its path is relative to the crate's manifest.
#[proc_macro]
pub fn include_proto(input: TokenStream) -> TokenStream {
    let path = parse_macro_input!(input as syn::LitStr);
    proto::include(&path)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
