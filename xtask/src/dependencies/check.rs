//! Holds the graph against the table.

use super::{Foreign, Graph, HOMES, Kind, Member, Need, Ours, RULES, Rule};
use crate::Finding;

const CHECK: &str = "dependencies";

/// Every broken rule, named in its finding.
pub fn check(graph: &Graph) -> Vec<Finding> {
    graph.members.values().flat_map(|member| of_member(graph, member)).collect()
}

fn of_member(graph: &Graph, member: &Member) -> Vec<Finding> {
    let Some(rule) = RULES.iter().find(|rule| rule.who.covers(member)) else {
        return vec![finding(member, "has no row in the table of rules: decide first whom it may know".to_owned())];
    };
    let mut found: Vec<_> = member.needs.iter().flat_map(|need| of_need(graph, member, rule, need)).collect();
    let compiled = rule.never_compiles.iter().filter_map(|banned| graph.way(&member.name, banned));
    found.extend(compiled.map(|way| broken(member, rule, &format!("compiles {}", way.join(" → ")))));
    found
}

fn of_need(graph: &Graph, member: &Member, rule: &Rule, need: &Need) -> Option<Finding> {
    let name = &need.name;
    if let Some(ours) = graph.members.get(name) {
        let allowed = match rule.ours {
            Ours::Any => true,
            Ours::Only(who) => who.iter().any(|who| who.covers(ours)),
        };
        return (!allowed).then(|| broken(member, rule, &format!("names {name} ({})", section(need))));
    }
    if need.by_path {
        return Some(finding(member, format!("names {name} by a path that is no member of the workspace")));
    }
    if !need.kind.ships() {
        return None;
    }
    let refused = || Some(broken(member, rule, &format!("names {name} ({})", section(need))));
    // An optional or target-specific dependency need not be in the resolved graph of this machine.
    if rule.never_compiles.contains(&name.as_str()) {
        return refused();
    }
    match rule.foreign {
        Foreign::Any => None,
        Foreign::Only(names) => {
            if names.contains(&name.as_str()) {
                None
            } else {
                refused()
            }
        }
        Foreign::Light => {
            let home = HOMES.iter().find(|home| home.heavy == name && !home.homes.contains(&member.name.as_str()))?;
            Some(finding(member, format!("names {name}, whose one home is {}", home.homes.join(" and "))))
        }
    }
}

fn section(need: &Need) -> &'static str {
    match need.kind {
        Kind::Normal => "dependencies",
        Kind::Build => "build-dependencies",
        Kind::Development => "dev-dependencies",
    }
}

fn broken(member: &Member, rule: &Rule, what: &str) -> Finding {
    finding(member, format!("{what}; {}", rule.says))
}

fn finding(member: &Member, text: String) -> Finding {
    Finding::error(CHECK, &format!("{}/Cargo.toml", member.folder), 0, format!("{} {text}", member.name))
}
