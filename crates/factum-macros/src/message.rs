//! `#[derive(Message)]`.

use proc_macro2::TokenStream;
use syn::{DeriveInput, Result};

use crate::{attribute::Keys, shape};

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    shape::object(input)?;
    let keys = Keys::read(&input.attrs, &["name"])?;
    let name = shape::named(input, keys.name)?;
    Ok(shape::message(input, &name))
}
