//! A link leads somewhere.

use crate::{Finding, Tree, markdown};

/// Links in Markdown files lead to existing files and headings; links to other hosts are not followed.
pub fn links(tree: &Tree) -> Vec<Finding> {
    let broken = tree.with_extension("md").flat_map(|(path, text)| {
        let links = markdown::read(text).links;
        links.into_iter().filter_map(move |link| {
            let wrong = problem(tree, path, &link.text)?;
            Some(Finding::error("link", path, link.line, format!("`{}`: {wrong}", link.text)))
        })
    });
    broken.collect()
}

fn problem(tree: &Tree, from: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { Some(from.to_owned()) } else { resolve(from, &file.replace("%20", " ")) };
    let Some(path) = path else {
        return Some("leaves the workspace");
    };
    if !tree.has_file(&path) {
        let exists = tree.has_folder(&path) && anchor.is_empty();
        return if exists { None } else { Some("no such file") };
    }
    if anchor.is_empty() || !path.ends_with(".md") {
        return None;
    }
    let page = markdown::read(tree.text(&path).unwrap_or_default());
    if page.anchors.iter().any(|known| known == anchor) { None } else { Some("no such heading") }
}

/// The path from the root of a link relative to a file; `None` when it leads out of the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_link_is_found() {
        let page = "# Here\n[1](other.md) [2](#there) [3](b.md#missing) [4](../../up.md)\n\n[5](/b.md) [6](../src#x)\n";
        let tree = Tree::of([("docs/a.md", page), ("docs/b.md", "# Known\n"), ("src/lib.rs", "")]);
        let found = links(&tree);
        let found: Vec<_> = found.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!(
            found,
            [
                "`other.md`: no such file",
                "`#there`: no such heading",
                "`b.md#missing`: no such heading",
                "`../../up.md`: leaves the workspace",
                "`/b.md`: leaves the workspace",
                "`../src#x`: no such file",
            ]
        );
    }

    #[test]
    fn whole_links_pass() {
        let page =
            "# Here\n[1](b.md) [2](#here) [3](b.md#known-one) [4](../src/lib.rs#L3) [5](../src) [6](https://x.y)\n";
        let tree = Tree::of([("docs/a.md", page), ("docs/b.md", "## Known: one\n"), ("src/lib.rs", "")]);
        assert_eq!(links(&tree), []);
    }
}
