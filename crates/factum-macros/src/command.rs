//! `#[derive(Command)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Error, Field, FieldsNamed, Ident, Path, PathArguments, Result, Type, spanned::Spanned};

use crate::{
    attribute::{Keys, required},
    shape,
};

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let fields = shape::object(input)?;
    let keys = Keys::read(&input.attrs, &["name", "aggregate", "id", "validate"])?;
    let name = shape::named(input, keys.name)?;
    let ident = &input.ident;
    let aggregate = required(keys.aggregate, ident.span(), || {
        "no aggregate that decides about it: write `#[factum(aggregate = Account)]`".to_owned()
    })?;
    let id = required(keys.id, ident.span(), || {
        "no field that names the aggregate: write `#[factum(id = account_id)]`, with a field of type `Id`, or \
         `Option<Id>` if callers may leave it out"
            .to_owned()
    })?;
    let aggregate_id = aggregate_id(field(fields, &id)?, &id);
    let validate = keys.validate.as_ref().map(validate);
    let message = shape::message(input, &name);
    Ok(quote! {
        #message

        #[automatically_derived]
        impl ::factum::Command for #ident {
            type Aggregate = #aggregate;

            fn aggregate_id(
                &self,
            ) -> ::core::option::Option<&<Self::Aggregate as ::factum::Aggregate>::Id> {
                #aggregate_id
            }

            #validate
        }
    })
}

fn field<'a>(fields: &'a FieldsNamed, id: &Ident) -> Result<&'a Field> {
    let found = fields.named.iter().find(|field| field.ident.as_ref() == Some(id));
    found.ok_or_else(|| {
        let names: Vec<_> = fields.named.iter().flat_map(|field| &field.ident).map(|f| format!("`{f}`")).collect();
        Error::new(
            id.span(),
            format!(
                "no such field: the command has {}",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            ),
        )
    })
}

fn aggregate_id(field: &Field, id: &Ident) -> TokenStream {
    // Wholly at the field's type, so that an id of another type is told there.
    let span = field.ty.span();
    let mut id = id.clone();
    id.set_span(span.resolved_at(id.span()));
    if is_option(&field.ty) {
        quote_spanned!(span=> self.#id.as_ref())
    } else {
        let borrowed = quote_spanned!(span=> &self.#id);
        quote! {
            let id: &<Self::Aggregate as ::factum::Aggregate>::Id = #borrowed;
            ::core::option::Option::Some(id)
        }
    }
}

fn validate(check: &Path) -> TokenStream {
    let call = quote_spanned!(check.span()=> #check(self));
    quote! {
        fn validate(&self) -> ::core::result::Result<(), ::factum::InvalidField> {
            #call
        }
    }
}

/// Whether the type is written as an `Option`; an alias of one is not seen.
fn is_option(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|last| last.ident == "Option" && matches!(last.arguments, PathArguments::AngleBracketed(_)))
}
