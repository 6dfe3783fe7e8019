//! The table.

use super::{Kind, Member};

/// A crate of the workspace, or a family of them.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// The crate of this name.
    Crate(&'static str),
    /// A library that brings one foreign system: `crates/factum-*` but for the engine, the derives and the program.
    Adapter,
    /// A program of the reference system: `services/*` but for the bank, which is made of them.
    Service,
}

impl Who {
    /// Whether the crate is meant.
    pub fn covers(self, member: &Member) -> bool {
        let name = member.name.as_str();
        match self {
            Self::Crate(it) => it == name,
            Self::Adapter => {
                member.folder.starts_with("crates/factum-")
                    && !["factum-engine", "factum-macros", "factum-cli"].contains(&name)
            }
            Self::Service => member.folder.starts_with("services/") && name != "bank",
        }
    }
}

/// Which crates of the workspace a crate may name, in any section of its manifest, tests and build scripts included.
#[derive(Clone, Copy, Debug)]
pub enum Ours {
    /// These and no others.
    Only(&'static [Who]),
    /// All of them.
    Any,
}

/// Which crates from outside a crate may name; its tests are free.
#[derive(Clone, Copy, Debug)]
pub enum Foreign {
    /// These and no others.
    Only(&'static [&'static str]),
    /// All but the heavy ones that have their home elsewhere; see [`HOMES`].
    Light,
    /// All of them.
    Any,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Whom it binds.
    pub who: Who,
    /// What it says, as a violation repeats it.
    pub says: &'static str,
    /// The crates of the workspace it may name.
    pub ours: Ours,
    /// The crates from outside it may name.
    pub foreign: Foreign,
    /// Crates that must not be compiled for it, however indirectly; its tests are free.
    pub never_compiles: &'static [&'static str],
}

const DATABASES_AND_BROKERS: &[&str] = &["rdkafka", "rusqlite", "tokio-postgres"];

const LOCAL_SERVICES: Who = Who::Crate("local-services");

/// Who may import whom. The first row that covers a crate binds it.
pub const RULES: &[Rule] = &[
    Rule {
        who: Who::Crate("factum-engine"),
        says: "factum-engine stands alone: std, a CRC and blake3",
        ours: Ours::Only(&[Who::Crate("fuzz")]),
        foreign: Foreign::Only(&["blake3", "crc-fast", "crc32c"]),
        never_compiles: &["tokio"],
    },
    Rule {
        who: Who::Crate("factum-macros"),
        says: "factum-macros writes code and knows none of ours",
        ours: Ours::Only(&[]),
        foreign: Foreign::Only(&["proc-macro2", "quote", "syn"]),
        never_compiles: &["tokio"],
    },
    Rule {
        who: Who::Crate("factum"),
        says: "factum has no database, broker or HTTP: they are adapters' business",
        ours: Ours::Only(&[Who::Crate("factum-engine"), Who::Crate("factum-macros"), Who::Crate("fuzz")]),
        foreign: Foreign::Light,
        never_compiles: &["axum", "hyper", "rdkafka", "rusqlite", "tokio-postgres"],
    },
    Rule {
        who: Who::Adapter,
        says: "an adapter knows factum, and no other adapter; its tests may start what it speaks to",
        ours: Ours::Only(&[Who::Crate("factum"), LOCAL_SERVICES]),
        foreign: Foreign::Light,
        never_compiles: &[],
    },
    Rule {
        who: Who::Crate("factum-cli"),
        says: "factum-cli knows factum, the engine and the adapters, and no service",
        ours: Ours::Only(&[Who::Crate("factum"), Who::Crate("factum-engine"), Who::Adapter]),
        foreign: Foreign::Light,
        never_compiles: &[],
    },
    Rule {
        who: Who::Service,
        says: "a service knows factum and its adapters, and no other service, not in its tests either",
        ours: Ours::Only(&[Who::Crate("factum"), Who::Adapter]),
        foreign: Foreign::Light,
        never_compiles: &[],
    },
    Rule {
        who: Who::Crate("bank"),
        says: "the bank composes services on the embedded default",
        ours: Ours::Only(&[Who::Service, Who::Crate("factum"), Who::Crate("factum-http"), Who::Crate("factum-sqlite")]),
        foreign: Foreign::Light,
        never_compiles: &["rdkafka"],
    },
    Rule {
        who: Who::Crate("system-tests"),
        says: "system tests drive binaries from outside and know none of our crates but what starts other people's services",
        ours: Ours::Only(&[LOCAL_SERVICES]),
        foreign: Foreign::Light,
        never_compiles: &[],
    },
    Rule {
        who: LOCAL_SERVICES,
        says: "what starts other people's services knows none of ours",
        ours: Ours::Only(&[]),
        foreign: Foreign::Light,
        never_compiles: DATABASES_AND_BROKERS,
    },
    Rule {
        who: Who::Crate("fuzz"),
        says: "the fuzzer is lent to tests and knows none of what it fuzzes",
        ours: Ours::Only(&[]),
        foreign: Foreign::Light,
        never_compiles: DATABASES_AND_BROKERS,
    },
    Rule {
        who: Who::Crate("xtask"),
        says: "automation must build when nothing else does but what starts other people's services",
        ours: Ours::Only(&[LOCAL_SERVICES]),
        foreign: Foreign::Light,
        never_compiles: DATABASES_AND_BROKERS,
    },
    Rule {
        who: Who::Crate("torture"),
        says: "the torture breaks everything, and may know it",
        ours: Ours::Any,
        foreign: Foreign::Light,
        never_compiles: &[],
    },
    Rule {
        who: Who::Crate("bench"),
        says: "the benchmarks may know everything",
        ours: Ours::Any,
        foreign: Foreign::Any,
        never_compiles: &[],
    },
];

/// A heavy crate from outside, and the only crates that may name it; tests are free.
#[derive(Clone, Copy, Debug)]
pub struct Home {
    /// The crate from outside.
    pub heavy: &'static str,
    /// Who pays for it.
    pub homes: &'static [&'static str],
}

/// A heavy dependency has one home.
pub const HOMES: &[Home] = &[
    Home { heavy: "axum", homes: &["factum-http"] },
    Home { heavy: "rdkafka", homes: &["factum-kafka"] },
    Home { heavy: "rusqlite", homes: &["factum-sqlite"] },
    Home { heavy: "tokio-postgres", homes: &["factum-postgres"] },
];

impl Kind {
    /// Whether the rules on crates from outside bind this section of a manifest.
    pub fn ships(self) -> bool {
        self != Self::Development
    }
}
