//! The project does not know on which machine it was written, nor from where a build fetches its dependencies.

use crate::{Finding, Tree};

/// Folders of single machines; split, so that this file passes its own check.
const PATHS: [&str; 4] = [concat!("/wo", "rk/"), concat!("/tm", "p/w/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
/// Hosts of package registries; the lock file names its registry, nothing else needs to.
const HOSTS: [&str; 8] = [
    concat!("crates", ".io"),
    concat!("registry.npmjs", ".org"),
    concat!("repo1.maven", ".org"),
    concat!("repo.maven.apache", ".org"),
    concat!("pypi", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("docker", ".io"),
    concat!("ghcr", ".io"),
];

/// No absolute path of one machine and no registry's host name outside Cargo.lock.
pub fn machine(tree: &Tree) -> Vec<Finding> {
    let files = tree.texts().filter(|(path, _)| !path.ends_with("Cargo.lock"));
    files.flat_map(|(path, text)| in_file(path, text)).collect()
}

fn in_file(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let paths = PATHS.iter().filter(|part| names_path(line, part)).map(|part| (part, "a path of one machine"));
        let hosts = HOSTS.iter().filter(|host| line.contains(**host)).map(|host| (host, "a registry's host"));
        let wrong = paths.chain(hosts).map(|(it, what)| format!("`{it}` is {what}"));
        found.extend(wrong.map(|text| Finding::error("machine", path, index + 1, text)));
    }
    found
}

/// Whether the part starts an absolute path in the line; inside a longer path it is a folder of ours.
fn names_path(line: &str, part: &str) -> bool {
    let starts = line.match_indices(part).map(|(at, _)| line[..at].chars().next_back());
    starts.into_iter().any(|before| {
        before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | ')' | '>' | '*')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_machine_and_hosts_of_registries_are_found() {
        let text = format!("see {}main\nfetch \"https://{}/x\"\n", PATHS[0], HOSTS[0]);
        let tree = Tree::of([("a.md", &text), ("Cargo.lock", &text), ("b.rs", &format!("\"{}x\"", PATHS[2]))]);
        let found = machine(&tree);
        let found: Vec<_> = found.iter().map(|finding| (finding.path.as_str(), finding.line)).collect();
        assert_eq!(found, [("a.md", 1), ("a.md", 2), ("b.rs", 1)]);
    }

    #[test]
    fn the_same_word_inside_a_path_of_ours_is_allowed() {
        assert_eq!(machine(&Tree::of([("a.rs", &format!("docs{0}x ../a{0}y", PATHS[0]))])), []);
    }
}
