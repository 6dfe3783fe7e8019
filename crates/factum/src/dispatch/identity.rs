//! Command ids: so that a repeated request is recognised, and nobody meets another's.

use uuid::Uuid;

use crate::{
    model::{ActorId, CommandId},
    store::Fingerprint,
};

/// Under this namespace (UUID v5, RFC 9562) all effective command ids are derived.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d5f_36b1_9a0e_4c7d_8f27_51e0_c3b2_a419);

/// How a command is recognised when it comes again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CommandKey {
    /// The caller gave none: every request is a new one.
    #[default]
    Fresh,
    /// This very effective id: for callers inside the service.
    Id(CommandId),
    /// The caller's own key, meaningful only within what it came through.
    Keyed {
        /// What it came through, and from whom.
        surface: Surface,
        /// The caller's key: `Idempotency-Key`, or the id of a bus command.
        key: String,
    },
}

/// What a command came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Surface {
    /// HTTP, from this principal.
    Http(ActorId),
    /// The bus, from this sending service as the command topic names it.
    Bus(String),
}

impl CommandKey {
    /// The id of a command that came over the bus, as its sender sent it.
    pub(super) fn sent(&self) -> Option<&str> {
        match self {
            Self::Keyed { surface: Surface::Bus(_), key } => Some(key),
            _ => None,
        }
    }

    /// The effective id for the receiving service; `None` when the caller gave no key.
    pub(super) fn effective(&self, service: &str) -> Option<CommandId> {
        let (kind, who, key) = match self {
            Self::Fresh => return None,
            Self::Id(id) => return Some(*id),
            Self::Keyed { surface: Surface::Http(actor), key } => ("http", actor.as_str(), key),
            Self::Keyed { surface: Surface::Bus(sender), key } => ("bus", sender.as_str(), key),
        };
        // Each part with its length, so that no key can pose as another's principal.
        let mut name = Vec::new();
        for part in [kind, who, service, key.as_str()] {
            name.extend_from_slice(&(part.len() as u64).to_le_bytes());
            name.extend_from_slice(part.as_bytes());
        }
        Some(CommandId::from_uuid(Uuid::new_v5(&NAMESPACE, &name)))
    }
}

/// The fingerprint of a request as it came, before defaults are filled in. `document` is in its canonical form, so
/// that white space and the order of fields make no difference.
pub(crate) fn fingerprint(key: &[u8; 32], command: &str, document: &[u8]) -> Fingerprint {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&(command.len() as u64).to_le_bytes());
    hasher.update(command.as_bytes());
    hasher.update(document);
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    Fingerprint(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::canonical::canonical;

    fn keyed(surface: Surface, key: &str) -> Option<CommandId> {
        CommandKey::Keyed { surface, key: key.into() }.effective("accounts")
    }

    #[test]
    fn nobody_meets_anothers_key() {
        let actor = |name| Surface::Http(ActorId::new(name).expect("is an actor id"));
        assert_eq!(keyed(actor("a"), "k"), keyed(actor("a"), "k"));
        assert_ne!(keyed(actor("a"), "k"), keyed(actor("b"), "k"));
        assert_ne!(keyed(actor("a"), "k"), keyed(Surface::Bus("a".into()), "k"));
        assert_ne!(keyed(actor("a"), "bk"), keyed(actor("ab"), "k"));
        assert_eq!(CommandKey::Fresh.effective("accounts"), None);
    }

    #[test]
    fn a_fingerprint_sees_content_not_layout() {
        let print =
            |json: &str| fingerprint(&[7; 32], "deposit-funds", &canonical(json.as_bytes()).expect("is a document"));
        assert_eq!(print(r#"{"a":1,"b":2}"#), print(r#"{ "b": 2, "a": 1 }"#));
        assert_ne!(print(r#"{"a":1,"b":2}"#), print(r#"{"a":1,"b":3}"#));
    }
}
