//! What a service publishes, as data for others: a JSON Schema a message, golden samples, and an index of its topics.
//!
//! A [`Contract`] is generated from the service's [`Publication`](crate::Publication)s and message types, and kept in the
//! service's `contract/` folder, where a test holds it against the code
//! ([`assert_contract`](crate::testing::assert_contract)). Consumers read the samples as data and decode them with types
//! of their own; they never see the publisher's code.
//!
//! ```text
//! contract/index.json                                    system, service, topics and their messages, commands taken,
//!                                                        what may be on every topic
//! contract/asyncapi.yaml                                 the same for tools that are not ours: AsyncAPI 3.0
//! contract/schemas/<message>.json                        JSON Schema, draft 2020-12; of commands, too
//! contract/samples/<message>/<sample>.json               documents as they are on the bus
//! contract/released/…                                    index and schemas as they were released last: what others rely on
//! ```

mod asyncapi;
mod compare;
mod evolution;
mod json;
mod published;
mod released;
mod yaml;

pub use compare::{Difference, compare, rewrite};
pub use evolution::{Breaking, Change, breaking_changes};
pub use json::pretty;
pub use published::Contract;
pub use released::{RELEASED, ReleaseError, breaks, release};
