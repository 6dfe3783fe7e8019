//! Reads the parts of Markdown that can be wrong: headings, links and code spans.

/// A page, read.
#[derive(Debug, Default)]
pub struct Page {
    /// The anchors a link may name: one a heading, as forges derive them, and explicit `id="…"` attributes.
    pub anchors: Vec<String>,
    /// Link targets outside code, with their lines.
    pub links: Vec<Spot>,
    /// The first code span of every list item, with the heading it stands under.
    pub items: Vec<Item>,
    /// Every code span outside fences, with the heading it stands under.
    pub spans: Vec<Item>,
}

/// A text at a line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Spot {
    /// The line, from 1.
    pub line: usize,
    /// The text there.
    pub text: String,
}

/// A code span below a heading.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// The nearest `##` heading above, as written; empty before the first.
    pub section: String,
    /// Where and what.
    pub spot: Spot,
}

/// Reads a page. Fenced blocks are skipped as a whole.
pub fn read(text: &str) -> Page {
    let mut page = Page::default();
    let mut section = String::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(opened)) => fence = Some(opened),
            (Some(opened), Some(mark)) if opened == mark => fence = None,
            _ => {}
        }
        if fence.is_some() || mark.is_some() {
            continue;
        }
        if let Some((level, title)) = heading(line) {
            page.add_anchor(&slug(title));
            if level == 2 {
                section = title.to_owned();
            }
        }
        page.read_line(index + 1, line, &section);
    }
    page
}

impl Page {
    fn add_anchor(&mut self, slug: &str) {
        let repeats = (0..).map(|n| if n == 0 { slug.to_owned() } else { format!("{slug}-{n}") });
        let free = repeats.into_iter().find(|anchor| !self.anchors.contains(anchor));
        self.anchors.extend(free);
    }

    fn read_line(&mut self, number: usize, line: &str, section: &str) {
        let (prose, spans) = split_code(line);
        let item =
            |text: &String| Item { section: section.to_owned(), spot: Spot { line: number, text: text.clone() } };
        if is_list_item(line) {
            self.items.extend(spans.first().map(item));
        }
        self.spans.extend(spans.iter().map(item));
        self.links.extend(links(&prose).map(|text| Spot { line: number, text: text.to_owned() }));
        let ids = prose.split("id=\"").skip(1).filter_map(|rest| rest.split_once('"'));
        self.anchors.extend(ids.map(|(id, _)| id.to_owned()));
    }
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.len() - line.trim_start_matches('#').len();
    let title = line[level..].strip_prefix(' ')?;
    (1..=6).contains(&level).then(|| (level, title.trim()))
}

fn is_list_item(line: &str) -> bool {
    let trimmed = line.trim_start();
    let number = trimmed.trim_start_matches(|c: char| c.is_ascii_digit());
    ["- ", "* ", "+ "].iter().any(|mark| trimmed.starts_with(mark))
        || (number.len() < trimmed.len() && number.starts_with(". "))
}

/// The anchor of a heading: lower case, spaces to hyphens, all other punctuation dropped.
fn slug(title: &str) -> String {
    let kept = title.chars().filter_map(|c| match c {
        ' ' | '-' => Some('-'),
        '_' => Some('_'),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// The line without its code spans, and the spans.
fn split_code(line: &str) -> (String, Vec<String>) {
    let (mut prose, mut spans) = (String::new(), Vec::new());
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let ticks = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        let inside = &rest[start + ticks..];
        let Some(end) = inside.find(&"`".repeat(ticks)) else {
            break;
        };
        prose.push_str(&rest[..start]);
        spans.push(inside[..end].trim().to_owned());
        rest = &inside[end + ticks..];
    }
    prose.push_str(rest);
    (prose, spans)
}

/// Targets of `[text](target "title")` and of `[label]: target`.
fn links(prose: &str) -> impl Iterator<Item = &str> {
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let definition = prose
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .filter(|(label, _)| !label.contains(['[', ']']))
        .map(|(_, target)| target);
    inline
        .chain(definition)
        .filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_start_matches('<').trim_end_matches('>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<String> {
        read(text).links.into_iter().map(|link| link.text).collect()
    }

    #[test]
    fn headings_become_anchors() {
        let page = read("# Who may `import` whom?\n## Code map\n### Code map\n#no heading\n<a id=\"here\"></a>");
        assert_eq!(page.anchors, ["who-may-import-whom", "code-map", "code-map-1", "here"]);
    }

    #[test]
    fn links_are_found_outside_code_only() {
        assert_eq!(targets("[a](b.md) and ![c](d.png \"title\") `[e](f)` [`g`](h#i)"), ["b.md", "d.png", "h#i"]);
        assert_eq!(targets("[label]: target.md"), ["target.md"]);
        assert_eq!(targets("```\n[a](b)\n```\n[c](d)"), ["d"]);
        assert_eq!(targets("```text\n~~~\n[a](b)\n```\n~~~\n[c](d)\n~~~"), [""; 0]);
    }

    #[test]
    fn items_know_their_section() {
        let page = read("## Map\n- `a/`: uses `b`\n\n1. `c/`\ntext `d`\n## Other\n- `e`");
        let items: Vec<_> = page.items.iter().map(|item| (item.section.as_str(), item.spot.text.as_str())).collect();
        assert_eq!(items, [("Map", "a/"), ("Map", "c/"), ("Other", "e")]);
        assert_eq!(page.spans.len(), 5);
    }
}
