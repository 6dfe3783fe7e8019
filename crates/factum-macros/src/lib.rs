//! The derives of factum, which re-exports them beside the traits they implement: use them from there.
#![forbid(unsafe_code)]

mod attribute;
mod command;
mod event;
mod message;
mod query;
mod shape;
mod wire_name;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, parse_macro_input};

/// Implements `Event` for an enum with a newtype variant per kind of fact.
#[proc_macro_derive(Event, attributes(factum))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::derive(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `Message` for a struct.
#[proc_macro_derive(Message, attributes(factum))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    message::derive(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `Message` and `Command` for a struct.
#[proc_macro_derive(Command, attributes(factum))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    command::derive(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `Message` and `Query` for a struct; `Answers` is written by hand.
#[proc_macro_derive(Query, attributes(factum))]
pub fn derive_query(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    query::derive(&input).unwrap_or_else(Error::into_compile_error).into()
}
