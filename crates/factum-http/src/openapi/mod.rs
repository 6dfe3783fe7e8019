//! `GET /openapi.json`: what a surface takes and answers, as OpenAPI 3.1, from the schemas of what is registered.
//!
//! Schemas of requests are exactly what is taken: a field they do not name is refused. Schemas of answers are what is
//! written today: clients tolerate fields they do not know.

mod components;
mod dead_letters;
mod example;
mod forks;
mod operations;
mod operators;
mod parameters;
mod quarantine;
mod refusals;
mod routes;
mod traffic;

use factum::{dispatch::CommandInfo, query::QueryInfo};
use serde_json::{Map, Value, json};

use self::components::Components;
use crate::options::About;

/// The dialect of JSON Schema that the documents are written in: OpenAPI's own, which is draft 2020-12 and more words.
const DIALECT: &str = "https://spec.openapis.org/oas/3.1/dialect/base";

/// The document of a write surface.
pub(crate) fn of_commands(about: &About, commands: &[CommandInfo]) -> Value {
    let mut document = Document::new("commands", "Requests to change one aggregate.");
    for command in commands {
        let operation = operations::command(command, &mut document.components);
        document.path(&format!("/commands/{}", command.name), "post", operation);
    }
    let events = routes::admin_events(&mut document.components);
    document.path("/admin/events", "get", events);
    for (path, method, operation) in dead_letters::routes(&mut document.components) {
        document.path(path, method, operation);
    }
    for (path, method, operation) in quarantine::routes(&mut document.components) {
        document.path(path, method, operation);
    }
    for (path, method, operation) in forks::routes(&mut document.components) {
        document.path(path, method, operation);
    }
    for (path, method, operation) in traffic::routes(&mut document.components) {
        document.path(path, method, operation);
    }
    document.finish(about)
}

/// The document of a read surface.
pub(crate) fn of_queries(about: &About, queries: &[QueryInfo]) -> Value {
    let mut document = Document::new("queries", "Questions to read models; they change nothing.");
    for query in queries {
        let operation = operations::query(query, &mut document.components);
        document.path(&format!("/queries/{}", query.name), "get", operation);
        let live = operations::live(query, &mut document.components);
        document.path(&format!("/queries/{}/live", query.name), "get", live);
    }
    let read_models = routes::read_models(&mut document.components);
    document.path("/admin/read-models", "get", read_models);
    let rebuild = routes::rebuild(&mut document.components);
    document.path("/admin/read-models/{operation}", "post", rebuild);
    for (path, method, operation) in quarantine::routes(&mut document.components) {
        document.path(path, method, operation);
    }
    for (path, method, operation) in forks::routes(&mut document.components) {
        document.path(path, method, operation);
    }
    for (path, method, operation) in traffic::routes(&mut document.components) {
        document.path(path, method, operation);
    }
    document.finish(about)
}

/// A document being put together.
struct Document {
    surface: &'static str,
    purpose: &'static str,
    paths: Map<String, Value>,
    components: Components,
}

impl Document {
    /// A document with the routes of every surface: what others share with them is called after them.
    fn new(surface: &'static str, purpose: &'static str) -> Self {
        let mut document = Self { surface, purpose, paths: Map::new(), components: Components::new() };
        for (path, operation) in routes::of_every_surface(&mut document.components) {
            document.path(path, "get", operation);
        }
        document
    }

    fn path(&mut self, path: &str, method: &str, operation: Value) {
        self.paths.insert(path.to_owned(), json!({ method: operation }));
    }

    fn finish(self, about: &About) -> Value {
        json!({
            "openapi": "3.1.0",
            "jsonSchemaDialect": DIALECT,
            "info": {
                "title": format!("{}: {}", about.title, self.surface),
                "version": about.version,
                "description": "Every refusal is a problem (RFC 9457) with a stable `code` to branch on. A path that is \
                                not here answers 404 `not-found`, another method 405 `method-not-allowed`.",
            },
            "servers": [{ "url": "/" }],
            "tags": [
                { "name": self.surface, "description": self.purpose },
                { "name": "operations", "description": "What operators and their tools look at." },
            ],
            "paths": self.paths,
            "components": self.components.into_value(),
        })
    }
}

/// `open-account` as `OpenAccount`: names of components are taken from wire names, which are for ever.
fn pascal(wire_name: &str) -> String {
    let words = wire_name.split(|separator: char| !separator.is_ascii_alphanumeric());
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    words.map(capital).collect()
}
