//! What the types must look like.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, FieldsNamed, LitStr, Result};

use crate::{attribute, wire_name};

/// All of them, or every complaint at once.
pub fn all<T>(results: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let mut complaints: Option<Error> = None;
    for result in results {
        match (result, &mut complaints) {
            (Ok(value), _) => values.push(value),
            (Err(complaint), Some(complaints)) => complaints.combine(complaint),
            (Err(complaint), None) => complaints = Some(complaint),
        }
    }
    complaints.map_or(Ok(values), Err)
}

/// A name on the wire stands for one type.
pub fn no_generics(input: &DeriveInput) -> Result<()> {
    if input.generics.params.is_empty() {
        return Ok(());
    }
    let complaint = "a name on the wire stands for one type: leave the parameters out, and wrap each concrete type \
                     under a name of its own";
    Err(Error::new_spanned(&input.generics, complaint))
}

/// The fields of a struct that is a JSON object.
pub fn object(input: &DeriveInput) -> Result<&FieldsNamed> {
    no_generics(input)?;
    let ident = &input.ident;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(ident.span(), format!("a message is a JSON object: write `struct {ident} {{ … }}`")));
    };
    let Fields::Named(fields) = &data.fields else {
        let complaint = format!("a message is a JSON object: name its fields, as in `struct {ident} {{ … }}`");
        return Err(Error::new(ident.span(), complaint));
    };
    for field in &fields.named {
        attribute::none_on(&field.attrs, "write it above the struct")?;
    }
    Ok(fields)
}

/// The name that `#[factum(name = …)]` gives to the struct.
pub fn named(input: &DeriveInput, name: Option<LitStr>) -> Result<LitStr> {
    name.ok_or_else(|| wire_name::missing(&input.ident, &wire_name::suggested(&input.ident)))
}

/// `impl Message`.
pub fn message(input: &DeriveInput, name: &LitStr) -> TokenStream {
    let ident = &input.ident;
    quote! {
        #[automatically_derived]
        impl ::factum::Message for #ident {
            const NAME: &'static str = #name;
        }
    }
}
