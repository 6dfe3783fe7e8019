//! The part of `cargo metadata` that the rules speak about.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, ensure};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// The section of a manifest that names a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `[dependencies]`, for whatever target and however optional.
    Normal,
    /// `[build-dependencies]`.
    Build,
    /// `[dev-dependencies]`.
    Development,
}

/// A dependency as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The package's name, whatever the manifest renames it to.
    pub name: String,
    /// The section.
    pub kind: Kind,
    /// Whether it is named by a path.
    pub by_path: bool,
}

/// A crate of the workspace.
#[derive(Clone, Debug)]
pub struct Member {
    /// The package's name.
    pub name: String,
    /// Its folder from the root, with forward slashes.
    pub folder: String,
    /// What its manifest names.
    pub needs: BTreeSet<Need>,
}

/// The workspace's crates, and what is compiled for what.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The workspace's crates by name.
    pub members: BTreeMap<String, Member>,
    /// For every package by name, the packages compiled for it: normal and build dependencies as resolved for this
    /// machine. Versions of one name are taken together, so that a rule can only be broken too early.
    pub compiled_for: BTreeMap<String, BTreeSet<String>>,
    /// For every member by name, all that is compiled when it alone is built: `compiled_for` unites the features that
    /// anybody in the workspace asks for, and what one program leaves out another may want.
    pub compiled_alone: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Asks cargo about the workspace at `root`; `options` go to `cargo metadata`.
    ///
    /// # Errors
    /// When cargo cannot be run or refuses the manifests.
    pub fn read(root: &Path, options: &[&str]) -> anyhow::Result<Self> {
        // Without the filter cargo downloads the dependencies of every platform there is.
        let mut all = vec!["--filter-platform".to_owned(), host()?];
        all.extend(options.iter().map(|option| (*option).to_owned()));
        let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).other_options(all).exec();
        let mut graph = Self::of(&metadata.context("cargo metadata")?)?;
        for member in graph.members.keys() {
            graph.compiled_alone.insert(member.clone(), compiled_alone(root, member, options)?);
        }
        Ok(graph)
    }

    /// Takes what the rules need from cargo's answer.
    ///
    /// # Errors
    /// When the answer holds no resolved dependencies or a member outside the root.
    pub fn of(metadata: &Metadata) -> anyhow::Result<Self> {
        let mut graph = Self::default();
        for package in metadata.workspace_packages() {
            let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
            let folder = folder.strip_prefix(&metadata.workspace_root)?.as_str().replace('\\', "/");
            let member = Member { name: package.name.to_string(), folder, needs: needs_of(package) };
            graph.members.insert(member.name.clone(), member);
        }
        let resolve = metadata.resolve.as_ref().context("cargo metadata ran with --no-deps")?;
        for node in &resolve.nodes {
            let compiled =
                node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|it| it.kind != DependencyKind::Development));
            let compiled = compiled.map(|dep| metadata[&dep.pkg].name.to_string());
            graph.compiled_for.entry(metadata[&node.id].name.to_string()).or_default().extend(compiled);
        }
        Ok(graph)
    }

    /// How `from` comes to need `target`: the names along one shortest way, both ends included.
    pub fn way(&self, from: &str, target: &str) -> Option<Vec<String>> {
        let alone = self.compiled_alone.get(from);
        let mut ways = vec![vec![from.to_owned()]];
        let mut seen = BTreeSet::from([from.to_owned()]);
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                let last = way.last().map_or("", String::as_str);
                if last == target && way.len() > 1 {
                    return Some(way);
                }
                let next = self.compiled_for.get(last).into_iter().flatten();
                for name in next.filter(|name| alone.is_none_or(|alone| alone.contains(*name))) {
                    if !seen.insert(name.clone()) {
                        continue;
                    }
                    longer.push(way.iter().chain([name]).cloned().collect());
                }
            }
            ways = longer;
        }
        None
    }
}

fn needs_of(package: &Package) -> BTreeSet<Need> {
    let needs = package.dependencies.iter().map(|dependency| Need {
        name: dependency.name.clone(),
        kind: match dependency.kind {
            DependencyKind::Development => Kind::Development,
            DependencyKind::Build => Kind::Build,
            _ => Kind::Normal,
        },
        by_path: dependency.path.is_some(),
    });
    needs.collect()
}

/// Every package that is compiled when `cargo build` is asked for one member only.
fn compiled_alone(root: &Path, member: &str, options: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tree.current_dir(root).args(["tree", "--package", member, "--edges", "normal,build", "--prefix", "none"]);
    let output = tree.args(["--format", "{p}"]).args(options).output().context("running cargo tree")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// The target triple of this machine, as rustc names it.
fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("running rustc -vV")?;
    ensure!(output.status.success(), "rustc -vV failed");
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}
