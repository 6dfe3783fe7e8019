//! The derives of factum, which re-exports them beside the traits they implement, documents each as the code it
//! writes, and runs those examples: use them from there.
//!
//! One attribute grammar serves all of them, `#[factum(key = value, …)]`, on the struct or on an enum's variant:
//!
//! | key | value | `Event` variant | `Message` | `Command` | `Query` |
//! | --- | --- | --- | --- | --- | --- |
//! | `name` | the name on the wire, as text | yes | yes | yes | yes |
//! | `schema` | version of the fact's schema, from 1; 1 when left out | may | | | |
//! | `tags` | `fn(&Fact) -> Vec<Tag>` | may | | | |
//! | `aggregate` | the aggregate's type | | | yes | |
//! | `id` | a field of type `Id` or `Option<Id>` | | | yes | |
//! | `validate` | `fn(&Self) -> Result<(), InvalidField>` | | | may | |
//! | `reads(…)` | types of projections | | | | yes |
//!
//! A name on the wire is lower-case words in kebab-case joined by dots, at most 128 bytes, with a version at most at
//! its end: `account.funds-deposited`, `bank.accounts.funds-deposited.v1`. Whatever does not fit is refused where it
//! is written, with what to write instead.
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
