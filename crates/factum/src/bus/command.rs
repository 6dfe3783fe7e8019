//! How commands and what became of them are named on the bus.

use std::sync::Arc;

use crate::store::StreamName;

/// The name of the message that cancels a command; its command id says which one.
pub const CANCEL_NAME: &str = "factum.cancel.v1";
/// The name of the message that a command was refused or cancelled.
pub const REFUSED_NAME: &str = "factum.command-refused.v1";
/// The name of the message that a command was accepted and changed nothing.
pub const NOTHING_TO_DO_NAME: &str = "factum.command-nothing-to-do.v1";
/// The longest id of a bus command, as it is sent, in bytes.
pub const COMMAND_ID_BYTES_MAX: usize = 255;

/// What stands between the stream of a process and its step in a command id.
const STEP_SEPARATOR: char = '/';
/// What every command's name on the wire ends with.
const COMMAND_SUFFIX: &str = ".v1";
/// What stands between receiver and sender in the topic of a channel.
const COMMANDS_INFIX: &str = ".commands.";

/// The id under which a process sends a command: `<stream>/<step>`. `None` when that is no command id:
/// [`is_command_id`].
pub fn command_id(process: &StreamName, step: &str) -> Option<Arc<str>> {
    let id = format!("{process}{STEP_SEPARATOR}{step}");
    (!step.is_empty() && !step.contains(STEP_SEPARATOR) && is_command_id(&id)).then(|| id.into())
}

/// The process and the step that sent a command under this id; `None` when no process did.
pub fn sender_of(command_id: &str) -> Option<(StreamName, &str)> {
    let (process, step) = command_id.rsplit_once(STEP_SEPARATOR)?;
    Some((StreamName::new(process).ok()?, step))
}

/// Whether this is the id of a command: 1 to [`COMMAND_ID_BYTES_MAX`] bytes of visible ASCII.
pub fn is_command_id(text: &str) -> bool {
    (1..=COMMAND_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The topic of a channel: `<system>.<receiver>.commands.<sender>`.
pub fn command_topic(system: &str, receiver: &str, sender: &str) -> String {
    format!("{system}.{receiver}{COMMANDS_INFIX}{sender}")
}

/// A receiver's own name of a command: what is left of `<system>.<receiver>.<command>.v1`.
pub fn command_name<'a>(wire_name: &'a str, system: &str, receiver: &str) -> Option<&'a str> {
    let rest = wire_name.strip_prefix(system)?.strip_prefix('.')?.strip_prefix(receiver)?.strip_prefix('.')?;
    rest.strip_suffix(COMMAND_SUFFIX)
}

/// A command's name on the wire.
pub fn wire_name(system: &str, receiver: &str, command: &str) -> String {
    format!("{system}.{receiver}.{command}{COMMAND_SUFFIX}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_id_tells_its_process_and_step() {
        let process = StreamName::new("transfer-6f1").unwrap();
        let id = command_id(&process, "hold").unwrap();
        assert_eq!(&*id, "transfer-6f1/hold");
        assert_eq!(sender_of(&id), Some((process.clone(), "hold")));
        assert_eq!(sender_of("order 66"), None);
        for step in ["", "a/b", "käse", &"x".repeat(COMMAND_ID_BYTES_MAX)] {
            assert_eq!(command_id(&process, step), None, "{step}");
        }
    }

    #[test]
    fn a_receiver_finds_its_own_name_of_a_command() {
        let wire = wire_name("bank", "accounts", "hold-funds");
        assert_eq!(wire, "bank.accounts.hold-funds.v1");
        assert_eq!(command_name(&wire, "bank", "accounts"), Some("hold-funds"));
        for other in ["bank.accounts.hold-funds", "bank.cards.hold-funds.v1", "hold-funds.v1", "bank.accounts.v1"] {
            assert_eq!(command_name(other, "bank", "accounts"), None, "{other}");
        }
        assert_eq!(command_topic("bank", "accounts", "transfers"), "bank.accounts.commands.transfers");
    }
}
