//! `#[factum(...)]`: one grammar for all derives; each allows the keys it understands.

use proc_macro2::Span;
use syn::{
    Attribute, Error, Ident, LitInt, LitStr, Path, Result, Token, Type, meta::ParseNestedMeta, parse::Parse,
    punctuated::Punctuated, token,
};

use crate::wire_name;

/// The keys of `#[factum(...)]` as they were written.
#[derive(Default)]
pub struct Keys {
    pub name: Option<LitStr>,
    pub schema: Option<u32>,
    pub tags: Option<Path>,
    pub aggregate: Option<Type>,
    pub id: Option<Ident>,
    pub validate: Option<Path>,
    pub reads: Option<Vec<Type>>,
}

impl Keys {
    /// Reads every `#[factum(...)]` of one item. A key outside `known`, or written twice, is an error.
    pub fn read(attributes: &[Attribute], known: &[&str]) -> Result<Self> {
        let mut keys = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("factum")) {
            attribute.parse_nested_meta(|meta| keys.take(&meta, known))?;
        }
        Ok(keys)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>, known: &[&str]) -> Result<()> {
        let key = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        if !known.contains(&key.as_str()) {
            return Err(meta.error(format!("no such key here: write {}", list(known))));
        }
        match key.as_str() {
            "name" => once(&mut self.name, meta, wire_name::checked(meta.value()?.parse()?)?),
            "schema" => once(&mut self.schema, meta, schema(&meta.value()?.parse()?)?),
            "tags" => once(&mut self.tags, meta, unquoted(meta)?),
            "aggregate" => once(&mut self.aggregate, meta, unquoted(meta)?),
            "id" => once(&mut self.id, meta, unquoted(meta)?),
            "validate" => once(&mut self.validate, meta, unquoted(meta)?),
            "reads" => once(&mut self.reads, meta, types(meta)?),
            _ => unreachable!("every known key is read above"),
        }
    }
}

/// The value of a key that cannot be left out.
pub fn required<T>(value: Option<T>, owner: Span, complaint: impl FnOnce() -> String) -> Result<T> {
    value.ok_or_else(|| Error::new(owner, complaint()))
}

/// Refuses `#[factum(...)]` where no derive reads it: ignored there, it would mislead.
pub fn none_on<'a>(attributes: impl IntoIterator<Item = &'a Attribute>, instead: &str) -> Result<()> {
    match attributes.into_iter().find(|attribute| attribute.path().is_ident("factum")) {
        Some(attribute) => Err(Error::new_spanned(attribute, format!("`#[factum(...)]` says nothing here: {instead}"))),
        None => Ok(()),
    }
}

fn once<T>(slot: &mut Option<T>, meta: &ParseNestedMeta<'_>, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(meta.error("written twice: leave one of them out"));
    }
    Ok(())
}

fn schema(number: &LitInt) -> Result<u32> {
    match number.base10_parse::<u32>()? {
        0 => Err(Error::new_spanned(number, "schemas are counted from 1: write `schema = 1`, or leave it out")),
        schema => Ok(schema),
    }
}

/// A path, type or field; serde's habit of quoting it gets an answer instead of "expected identifier".
fn unquoted<T: Parse>(meta: &ParseNestedMeta<'_>) -> Result<T> {
    let value = meta.value()?;
    if value.peek(LitStr) {
        let quoted: LitStr = value.parse()?;
        let complaint = format!("a name in the code, not a text: write `{}` without quotes", quoted.value());
        return Err(Error::new_spanned(quoted, complaint));
    }
    value.parse()
}

fn types(meta: &ParseNestedMeta<'_>) -> Result<Vec<Type>> {
    if !meta.input.peek(token::Paren) {
        return Err(meta.error("a list: write `reads(OneProjection, AnotherProjection)`"));
    }
    let content;
    syn::parenthesized!(content in meta.input);
    let types = Punctuated::<Type, Token![,]>::parse_terminated(&content)?;
    if types.is_empty() {
        return Err(meta.error("names nothing: write the projections whose read models the query reads"));
    }
    Ok(types.into_iter().collect())
}

fn list(keys: &[&str]) -> String {
    let quoted: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "none".to_owned(),
    }
}
