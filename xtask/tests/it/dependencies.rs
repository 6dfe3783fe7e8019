//! Who may import whom.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use xtask::{
    Tree,
    dependencies::{Graph, Kind, Member, Need, check},
    purity,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn this_workspace() -> Graph {
    static READ_ONCE: LazyLock<Graph> = LazyLock::new(|| Graph::read(&root(), &[]).unwrap());
    READ_ONCE.clone()
}

fn broken_rules(graph: &Graph) -> Vec<String> {
    check(graph).iter().map(ToString::to_string).collect()
}

/// Adds a dependency to a manifest of the graph, as `cargo metadata` would report it.
fn add(graph: &mut Graph, to: &str, name: &str, kind: Kind) {
    let by_path = graph.members.contains_key(name);
    let need = Need { name: name.to_owned(), kind, by_path };
    graph.members.get_mut(to).unwrap().needs.insert(need);
    if kind != Kind::Development {
        graph.compiled_for.entry(to.to_owned()).or_default().insert(name.to_owned());
        let brought = reached(graph, name);
        let compiles_it = |it: &(&String, &mut BTreeSet<String>)| it.0 == to || it.1.contains(to);
        graph
            .compiled_alone
            .iter_mut()
            .filter(compiles_it)
            .for_each(|(_, alone)| alone.extend(brought.iter().cloned()));
    }
}

/// A package and all that is compiled for it.
fn reached(graph: &Graph, name: &str) -> BTreeSet<String> {
    let (mut all, mut next) = (BTreeSet::from([name.to_owned()]), vec![name.to_owned()]);
    while let Some(name) = next.pop() {
        let needed = graph.compiled_for.get(&name).into_iter().flatten();
        next.extend(needed.filter(|needed| all.insert((*needed).clone())).cloned());
    }
    all
}

fn add_member(graph: &mut Graph, name: &str, folder: &str) {
    let member = Member { name: name.to_owned(), folder: folder.to_owned(), needs: [].into() };
    graph.members.insert(name.to_owned(), member);
}

#[test]
fn this_workspace_keeps_every_rule() {
    assert_eq!(broken_rules(&this_workspace()), [""; 0]);
}

#[test]
fn this_workspace_keeps_its_domains_pure() {
    assert_eq!(purity::check(&Tree::read(&root()).unwrap()), []);
}

#[test]
fn statements_that_depend_on_accounts_are_refused() {
    let copy = tempfile::tempdir().unwrap();
    copy_manifests(copy.path());
    let manifest = copy.path().join("services/statements/Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();

    let rule = "a service knows factum and its adapters, and no other service, not in its tests either";
    for section in ["dependencies", "dev-dependencies"] {
        let header = format!("\n[{section}]\n");
        let line = "accounts = { path = \"../accounts\", default-features = false }\n";
        let broken = if text.contains(&header) {
            text.replace(&header, &format!("{header}{line}"))
        } else {
            format!("{text}{header}{line}")
        };
        fs::write(&manifest, broken).unwrap();
        let graph = Graph::read(copy.path(), &["--offline"]).unwrap();
        let expected = format!(
            "error: services/statements/Cargo.toml: statements names accounts ({section}); {rule} [dependencies]"
        );
        assert_eq!(broken_rules(&graph), [expected]);
    }

    fs::write(&manifest, text).unwrap();
    assert_eq!(broken_rules(&Graph::read(copy.path(), &["--offline"]).unwrap()), [""; 0]);
}

#[test]
fn every_edge_between_crates_of_ours_that_the_table_does_not_allow_is_refused() {
    let refused = [
        ("factum-engine", "factum", Kind::Development),
        ("factum-macros", "factum", Kind::Normal),
        ("factum", "factum-sqlite", Kind::Development),
        ("factum", "accounts", Kind::Normal),
        ("factum-sqlite", "factum-engine", Kind::Normal),
        ("factum-sqlite", "factum-http", Kind::Normal),
        ("factum-http", "factum-sqlite", Kind::Development),
        ("factum-http", "statements", Kind::Build),
        ("accounts", "statements", Kind::Development),
        ("accounts", "factum-engine", Kind::Normal),
        ("accounts", "factum-macros", Kind::Normal),
        ("statements", "bank", Kind::Normal),
        ("bank", "factum-engine", Kind::Normal),
        ("bank", "bench", Kind::Normal),
        ("system-tests", "factum", Kind::Development),
        ("xtask", "factum-engine", Kind::Normal),
    ];
    for (from, to, kind) in refused {
        let mut graph = this_workspace();
        add(&mut graph, from, to, kind);
        let found = broken_rules(&graph);
        let named = format!(": {from} names {to} (");
        assert!(found.iter().any(|line| line.contains(&named)), "{from} → {to}: {found:?}");
    }
}

#[test]
fn a_crate_that_comes_later_is_bound_too() {
    let mut graph = this_workspace();
    for (name, folder) in
        [("loans", "services/loans"), ("factum-kafka", "crates/factum-kafka"), ("factum-cli", "crates/factum-cli")]
    {
        add_member(&mut graph, name, folder);
    }
    add(&mut graph, "loans", "factum-kafka", Kind::Normal);
    add(&mut graph, "factum-kafka", "rdkafka", Kind::Normal);
    add(&mut graph, "factum-cli", "factum-engine", Kind::Normal);
    add(&mut graph, "factum-cli", "factum-kafka", Kind::Normal);
    assert_eq!(broken_rules(&graph), [""; 0]);

    for (from, to) in [
        ("loans", "accounts"),
        ("transfers", "accounts"),
        ("loans", "factum-cli"),
        ("factum-kafka", "factum-sqlite"),
        ("factum-cli", "loans"),
        ("bank", "factum-kafka"),
    ] {
        let mut broken = graph.clone();
        add(&mut broken, from, to, Kind::Normal);
        let named = format!(": {from} names {to} (");
        assert!(broken_rules(&broken).iter().any(|line| line.contains(&named)), "{from} → {to}");
    }
}

#[test]
fn a_crate_without_a_row_is_refused() {
    let mut graph = this_workspace();
    add_member(&mut graph, "common", "crates/common");
    let found = broken_rules(&graph);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("common has no row in the table of rules"), "{found:?}");
}

#[test]
fn a_path_that_leaves_the_workspace_is_refused() {
    let mut graph = this_workspace();
    let need = Need { name: "elsewhere".to_owned(), kind: Kind::Development, by_path: true };
    graph.members.get_mut("accounts").unwrap().needs.insert(need);
    let found = broken_rules(&graph);
    assert!(found[0].contains("accounts names elsewhere by a path"), "{found:?}");
}

#[test]
fn the_engine_takes_a_crc_and_blake3_and_nothing_else_but_in_its_tests() {
    for (name, kind, refused) in [
        ("serde", Kind::Normal, true),
        ("cc", Kind::Build, true),
        ("crc-fast", Kind::Normal, false),
        ("proptest", Kind::Development, false),
    ] {
        let mut graph = this_workspace();
        add(&mut graph, "factum-engine", name, kind);
        let found = broken_rules(&graph);
        assert_eq!(!found.is_empty(), refused, "{name}: {found:?}");
    }
}

#[test]
fn factum_compiles_no_database_broker_or_http_however_indirectly() {
    for banned in ["axum", "rdkafka", "rusqlite", "tokio-postgres"] {
        let mut graph = this_workspace();
        graph.compiled_for.entry("factum-engine".to_owned()).or_default().insert("middle".to_owned());
        graph.compiled_for.entry("middle".to_owned()).or_default().insert(banned.to_owned());
        graph.compiled_alone.get_mut("factum").unwrap().extend(["middle".to_owned(), banned.to_owned()]);
        let found = broken_rules(&graph);
        let way = format!("factum compiles factum → factum-engine → middle → {banned}; factum has no database");
        assert!(found.iter().any(|line| line.contains(&way)), "{found:?}");
    }
    // An optional dependency that nobody enables is not resolved, and refused all the same.
    let mut graph = this_workspace();
    let need = Need { name: "tokio-postgres".to_owned(), kind: Kind::Normal, by_path: false };
    graph.members.get_mut("factum").unwrap().needs.insert(need);
    assert!(broken_rules(&graph)[0].contains("factum names tokio-postgres (dependencies)"));
}

#[test]
fn the_bank_compiles_no_kafka_client() {
    let mut graph = this_workspace();
    // The services bring it by a feature that the bank does without.
    assert_eq!(graph.way("accounts", "rdkafka").unwrap(), ["accounts", "factum-kafka", "rdkafka"]);
    assert_eq!(graph.way("bank", "rdkafka"), None);
    add(&mut graph, "accounts", "factum-kafka", Kind::Normal);
    let found = broken_rules(&graph);
    let way =
        "bank compiles bank → accounts → factum-kafka → rdkafka; the bank composes services on the embedded default";
    assert!(found.iter().any(|line| line.contains(way)), "{found:?}");
}

#[test]
fn a_heavy_dependency_has_one_home() {
    for (from, heavy, home) in [
        ("statements", "rusqlite", "factum-sqlite"),
        ("accounts", "axum", "factum-http"),
        ("accounts", "tokio-postgres", "factum-postgres"),
        ("factum-http", "rdkafka", "factum-kafka"),
    ] {
        let mut graph = this_workspace();
        add(&mut graph, from, heavy, Kind::Normal);
        let found = broken_rules(&graph);
        let said = format!("{from} names {heavy}, whose one home is {home}");
        assert!(found.iter().any(|line| line.contains(&said)), "{found:?}");

        let mut graph = this_workspace();
        add(&mut graph, from, heavy, Kind::Development);
        assert_eq!(broken_rules(&graph), [""; 0], "tests are free");
    }
}

/// Copies the manifests and the lock file, and leaves an empty file where a manifest or cargo expects a target.
fn copy_manifests(to: &Path) {
    let from = root();
    for (path, text) in Tree::read(&from).unwrap().texts() {
        let kept = path.ends_with("Cargo.toml") || path.ends_with("Cargo.lock");
        if kept || path.ends_with(".rs") {
            let target = to.join(path);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(target, if kept { text } else { "" }).unwrap();
        }
    }
}
