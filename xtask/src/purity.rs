//! What a manifest cannot say: which code inside a service may touch which.
//!
//! | where | never |
//! | --- | --- |
//! | `services/*/src/domain/`, `services/*/src/process_managers/` | async code, I/O, the clock, randomness, an adapter, any `factum-…` crate by name |
//! | `services/*/src/read_models/` | `crate::domain`, but for its events |
//! | `services/*/src/` | source of another folder by `#[path]` or `include!` |

use crate::{
    Finding, Tree,
    rust_text::{CodePath, code_only, paths, tokens},
};

/// A folder inside a service, and what its code must not name.
struct Rule {
    /// The folder under `services/<service>/src/`; empty for all of it.
    folder: &'static str,
    name: &'static str,
    refuses: fn(&CodePath<'_>) -> Option<&'static str>,
}

const RULES: [Rule; 3] = [
    Rule { folder: "domain", name: "domain-is-pure", refuses: impure },
    Rule { folder: "process_managers", name: "process-managers-are-pure", refuses: impure },
    Rule { folder: "read_models", name: "read-models-know-events-only", refuses: domain_state },
];

/// Crates that do I/O, tell the time or roll dice; those that begin with `factum_` are refused as a family.
const IMPURE_CRATES: [&str; 14] = [
    "axum",
    "fastrand",
    "getrandom",
    "http",
    "hyper",
    "metrics",
    "rand",
    "rdkafka",
    "reqwest",
    "rusqlite",
    "tokio",
    "tokio_postgres",
    "tower",
    "tracing_subscriber",
];
/// Modules of `std` that reach outside the process, or another thread.
const IMPURE_STD: [&str; 6] = ["env", "fs", "io", "net", "process", "thread"];
/// Types whose values come from the clock.
const CLOCKS: [&str; 2] = ["Instant", "SystemTime"];
/// Modules of `domain/` that hold events, which a read model may import.
const EVENT_MODULES: [&str; 2] = ["event", "events"];

/// Checks every service's source.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.with_extension("rs").filter_map(|(path, text)| Some((path, text, inside_service(path)?)));
    sources.flat_map(|(path, text, inside)| in_file(path, text, inside)).collect()
}

/// The path below `services/<service>/src/`.
fn inside_service(path: &str) -> Option<&str> {
    let (_, inside) = path.strip_prefix("services/")?.split_once('/')?;
    inside.strip_prefix("src/")
}

fn in_file(path: &str, text: &str, inside: &str) -> Vec<Finding> {
    let code = code_only(text);
    let tokens = tokens(&code);
    let written = paths(&tokens);
    let mut found = Vec::new();
    for rule in RULES.iter().filter(|rule| is_in(inside, rule.folder)) {
        let refused = written.iter().filter(|it| !is_seeded_in_a_test(inside, it));
        let refused = refused.filter_map(|it| Some((it, (rule.refuses)(it)?)));
        found.extend(
            refused.map(|(it, why)| {
                Finding::error(rule.name, path, it.line, format!("`{}`: {why}", it.segments.join("::")))
            }),
        );
    }
    if is_in(inside, "domain") {
        let named = text.lines().enumerate().filter(|(_, line)| line.contains("factum-"));
        found.extend(named.map(|(index, _)| {
            Finding::error(
                "domain-is-pure",
                path,
                index + 1,
                "names a `factum-…` crate: the domain knows the model only",
            )
        }));
    }
    let borrowed = tokens.windows(3).filter(|three| {
        let [first, second, third] = [three[0].text, three[1].text, three[2].text];
        (first == "[" && second == "path" && third == "=") || (first == "include" && second == "!")
    });
    // The file's name is a literal, which the tokens do not hold: it stands on the same line or, once wrapped, the next.
    let upward = borrowed.filter(|three| text.lines().skip(three[0].line - 1).take(2).any(|line| line.contains("../")));
    found.extend(upward.map(|three| {
        Finding::error("services-are-strangers", path, three[0].line, "takes source from elsewhere: repeat it instead")
    }));
    found
}

/// Whether a file is the module of this name or lies in its folder.
fn is_in(inside: &str, folder: &str) -> bool {
    let rest = inside.strip_prefix(folder);
    rest.is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// Chance from a seed that a test prints is a function of that seed.
fn is_seeded_in_a_test(inside: &str, path: &CodePath<'_>) -> bool {
    let is_test = inside.contains("/tests/") || inside.ends_with("tests.rs");
    is_test && path.segments.starts_with(&["fastrand", "Rng"])
}

fn impure(path: &CodePath<'_>) -> Option<&'static str> {
    let first = path.segments[0];
    let follows = |a: &str, b: fn(&str) -> bool| path.segments.windows(2).any(|two| two[0] == a && b(two[1]));
    if ["async", "await"].contains(&path.segments[path.segments.len() - 1]) {
        return Some("a decision never waits");
    }
    // A lone word such as `http` may well be a variable.
    if first.starts_with("factum_") || (path.segments.len() > 1 && IMPURE_CRATES.contains(&first)) {
        return Some("the domain knows the model only");
    }
    if follows("std", |it| IMPURE_STD.contains(&it)) {
        return Some("a decision does no I/O");
    }
    if path.segments.iter().any(|segment| CLOCKS.contains(segment))
        || ["Timestamp", "Zoned"].iter().any(|clock| follows(clock, |it| it == "now"))
    {
        return Some("time comes from the context");
    }
    // Versions 3 and 5 are functions of their arguments; all others take time or chance.
    let random = |it: &str| it.starts_with("now") || (it.starts_with("new") && !["new_v3", "new_v5"].contains(&it));
    follows("Uuid", random).then_some("ids come from the context")
}

fn domain_state(path: &CodePath<'_>) -> Option<&'static str> {
    let at = path.segments.iter().position(|segment| *segment == "domain")?;
    let events = path.segments[at + 1..].iter().any(|segment| EVENT_MODULES.contains(segment));
    (path.segments.len() > 1 && !events).then_some("a read model knows events and messages, not the domain's state")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_broken(path: &str, text: &str) -> Vec<&'static str> {
        check(&Tree::of([(path, text)])).iter().map(|finding| finding.check).collect()
    }

    #[test]
    fn the_domain_does_not_wait_look_at_the_clock_roll_dice_or_touch_a_disk() {
        let impure = [
            "async fn handle() {}",
            "fn f() { g().await }",
            "use tokio::sync::Mutex;",
            "fn f() { std::fs::read(p) }",
            "use std::{collections::BTreeMap, net};",
            "use std::time::{Duration, Instant};",
            "fn f() { SystemTime::now() }",
            "fn f() -> u8 { fastrand::u8(..) }",
            "fn f() { uuid::Uuid::new_v4() }",
            "fn f() { Uuid::now_v7() }",
            "fn f() { jiff::Timestamp::now() }",
            "use factum_sqlite::SqliteReadStore;",
            "fn f() { factum_engine::Engine::open() }",
            "//! Stored by factum-engine.",
        ];
        for code in impure {
            let files = ["services/accounts/src/domain/account.rs", "services/accounts/src/domain.rs"];
            for path in files {
                assert_eq!(rules_broken(path, code), ["domain-is-pure"], "{code}");
            }
            assert_eq!(rules_broken("services/accounts/src/service.rs", code), [""; 0], "{code}");
        }
    }

    #[test]
    fn a_pure_domain_passes() {
        let code = "//! Never waits for tokio or std::fs.\nuse factum::{Aggregate, Context};\nuse std::time::Duration;\n\
                    fn id(c: &Context) -> Uuid { Uuid::new_v5(&c.id, b\"async\") }\nlet http = at.seconds;\n";
        assert_eq!(rules_broken("services/accounts/src/domain/account.rs", code), [""; 0]);
    }

    #[test]
    fn a_test_of_the_domain_may_roll_dice_from_a_seed() {
        let code = "fn f() { fastrand::Rng::with_seed(7) }";
        for file in ["domain/account/tests/holds.rs", "domain/account/tests.rs"] {
            assert_eq!(rules_broken(&format!("services/accounts/src/{file}"), code), [""; 0]);
            let unseeded = rules_broken(&format!("services/accounts/src/{file}"), "fn f() -> u8 { fastrand::u8(..) }");
            assert_eq!(unseeded, ["domain-is-pure"]);
        }
        assert_eq!(rules_broken("services/accounts/src/domain/account.rs", code), ["domain-is-pure"]);
    }

    #[test]
    fn a_process_manager_is_as_pure_as_the_domain() {
        let file = "services/transfers/src/process_managers/transfer.rs";
        for code in ["async fn decide() {}", "fn f() { Uuid::now_v7() }", "fn f() { Instant::now() }"] {
            assert_eq!(rules_broken(file, code), ["process-managers-are-pure"], "{code}");
        }
        assert_eq!(rules_broken(file, "use crate::{domain::Transfer, messages::HoldFunds};"), [""; 0]);
    }

    #[test]
    fn a_read_model_imports_events_but_no_state() {
        let file = "services/accounts/src/read_models/summary.rs";
        for code in
            ["use crate::domain::Account;", "use crate::{domain, x};", "fn f(a: &crate::domain::account::Account) {}"]
        {
            assert_eq!(rules_broken(file, code), ["read-models-know-events-only"], "{code}");
        }
        for code in [
            "use crate::domain::events::{Opened, Closed};",
            "use crate::domain::account::events::Opened;",
            "use crate::messages::AccountOpened;",
            "let domain = 1;",
        ] {
            assert_eq!(rules_broken(file, code), [""; 0], "{code}");
        }
    }

    #[test]
    fn a_service_takes_no_source_from_elsewhere() {
        let file = "services/statements/src/messages.rs";
        for code in
            ["#[path = \"../../accounts/src/amount.rs\"]\nmod amount;", "include!(\"../../accounts/src/amount.rs\");"]
        {
            assert_eq!(rules_broken(file, code), ["services-are-strangers"], "{code}");
        }
        assert_eq!(rules_broken(file, "const SAMPLE: &str = include_str!(\"../contract/sample.json\");"), [""; 0]);
        assert_eq!(rules_broken(file, "#[path = \"messages_tests.rs\"]\nmod tests;\n"), [""; 0]);
    }
}
