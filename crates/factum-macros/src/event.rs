//! `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Fields, Ident, LitStr, Path, Result, Type, spanned::Spanned};

use crate::{
    attribute::{self, Keys},
    shape, wire_name,
};

/// One kind of fact: a newtype variant and what its attribute says.
struct Fact<'a> {
    variant: &'a Ident,
    document: &'a Type,
    name: LitStr,
    schema: u32,
    tags: Option<Path>,
}

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        let complaint = "an event is an enum with a newtype variant per kind of fact: write `enum`, and \
                         `#[derive(Message)]` for a struct";
        return Err(Error::new(input.ident.span(), complaint));
    };
    shape::no_generics(input)?;
    attribute::none_on(&input.attrs, "write it above a variant")?;
    let facts = shape::all(data.variants.iter().map(|variant| fact(input, variant)))?;
    all_differ(&facts)?;
    Ok(write(&input.ident, &facts))
}

fn fact<'a>(input: &DeriveInput, variant: &'a syn::Variant) -> Result<Fact<'a>> {
    let ident = &variant.ident;
    let document = match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => &fields.unnamed[0],
        other => {
            let span = if matches!(other, Fields::Unit) { ident.span() } else { other.span() };
            let complaint =
                format!("a fact has a type of its own: write `{ident}({ident})`, with its fields in a struct");
            return Err(Error::new(span, complaint));
        }
    };
    attribute::none_on(&document.attrs, "write it above the variant")?;
    let keys = Keys::read(&variant.attrs, &["name", "schema", "tags"])?;
    let name = keys.name.ok_or_else(|| {
        let owner = input.ident.to_string();
        let owner = Ident::new(owner.strip_suffix("Event").filter(|o| !o.is_empty()).unwrap_or(&owner), ident.span());
        wire_name::missing(ident, &format!("{}.{}", wire_name::suggested(&owner), wire_name::suggested(ident)))
    })?;
    Ok(Fact { variant: ident, document: &document.ty, name, schema: keys.schema.unwrap_or(1), tags: keys.tags })
}

fn all_differ(facts: &[Fact<'_>]) -> Result<()> {
    shape::all(facts.iter().enumerate().map(|(at, fact)| {
        let before = &facts[..at];
        if before.iter().any(|other| other.name.value() == fact.name.value()) {
            return Err(wire_name::duplicate(&fact.name));
        }
        let document = fact.document.to_token_stream().to_string();
        if before.iter().any(|other| other.document.to_token_stream().to_string() == document) {
            let complaint = format!("another variant wraps `{document}` already: give each fact a type of its own");
            return Err(Error::new_spanned(fact.document, complaint));
        }
        Ok(())
    }))
    .map(|_: Vec<()>| ())
}

fn write(event: &Ident, facts: &[Fact<'_>]) -> TokenStream {
    let variants: Vec<_> = facts.iter().map(|fact| fact.variant).collect();
    let names: Vec<_> = facts.iter().map(|fact| &fact.name).collect();
    let schemas = facts.iter().map(|fact| fact.schema);
    let documents: Vec<_> = facts.iter().map(|fact| fact.document).collect();
    let tags = facts.iter().map(tags);
    let encode = encode(facts);
    let reads = facts.iter().map(|fact| {
        let (document, schema) = (fact.document, fact.schema);
        quote_spanned!(document.span()=> raw.read::<#document>(#schema))
    });
    // `match *self` also matches an enum without variants.
    quote! {
        #[automatically_derived]
        impl ::factum::Event for #event {
            fn names() -> &'static [&'static str] {
                &[#(#names),*]
            }

            fn name(&self) -> &'static str {
                match *self {
                    #(Self::#variants(_) => #names,)*
                }
            }

            fn schema(&self) -> u32 {
                match *self {
                    #(Self::#variants(_) => #schemas,)*
                }
            }

            fn tags(&self) -> ::std::vec::Vec<::factum::store::Tag> {
                match *self {
                    #(#tags,)*
                }
            }

            #encode

            fn decode(
                raw: ::factum::RawEvent<'_>,
            ) -> ::core::result::Result<::factum::Decoded<Self>, ::factum::DecodeError> {
                match raw.name {
                    #(#names => #reads.map(|fact| ::factum::Decoded::Known(Self::#variants(fact))),)*
                    _ => ::core::result::Result::Ok(::factum::Decoded::Unknown),
                }
            }
        }

        #(
            #[automatically_derived]
            impl ::core::convert::From<#documents> for #event {
                fn from(fact: #documents) -> Self {
                    Self::#variants(fact)
                }
            }
        )*
    }
}

fn tags(fact: &Fact<'_>) -> TokenStream {
    let variant = fact.variant;
    match &fact.tags {
        Some(path) => {
            let call = quote_spanned!(path.span()=> #path(fact));
            quote!(Self::#variant(ref fact) => #call)
        }
        None => quote!(Self::#variant(_) => ::std::vec::Vec::new()),
    }
}

fn encode(facts: &[Fact<'_>]) -> TokenStream {
    if facts.is_empty() {
        return quote! {
            fn encode(&self, _: &mut ::std::vec::Vec<u8>) {
                match *self {}
            }
        };
    }
    let writes = facts.iter().map(|fact| {
        let (variant, document) = (fact.variant, fact.document);
        let write = quote_spanned!(document.span()=> ::factum::__private::serde_json::to_writer(out, fact));
        quote!(Self::#variant(ref fact) => #write)
    });
    quote! {
        fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
            let written = match *self {
                #(#writes,)*
            };
            if let ::core::result::Result::Err(source) = written {
                ::core::panic!("event `{}` cannot be written as JSON: {}", self.name(), source);
            }
        }
    }
}
