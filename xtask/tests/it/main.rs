//! The checks on whole workspaces: this one, and broken copies of it.

mod dependencies;
