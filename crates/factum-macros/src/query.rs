//! `#[derive(Query)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Result, spanned::Spanned};

use crate::{
    attribute::{Keys, required},
    shape,
};

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    shape::object(input)?;
    let keys = Keys::read(&input.attrs, &["name", "reads"])?;
    let name = shape::named(input, keys.name)?;
    let ident = &input.ident;
    let reads = required(keys.reads, ident.span(), || {
        "nothing it reads: write `#[factum(reads(AccountSummaries))]`, the projections whose read models it reads"
            .to_owned()
    })?;
    let keys =
        reads.iter().map(|projection| quote_spanned!(projection.span()=> ::factum::ProjectionKey::of::<#projection>()));
    let message = shape::message(input, &name);
    Ok(quote! {
        #message

        #[automatically_derived]
        impl ::factum::Query for #ident {
            const READS: &'static [::factum::ProjectionKey] = &[#(#keys),*];
        }
    })
}
