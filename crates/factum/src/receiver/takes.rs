//! Which commands are taken from a sender.

use crate::{
    dispatch::{AnyCommand, CommandInfo, erase},
    model::Command,
};

/// The commands that are taken from one sender; none else is. They are not on the HTTP surface, unless the service
/// handles them as well.
#[derive(Default)]
#[must_use = "a command is taken when this is returned"]
pub struct Takes {
    pub(crate) commands: Vec<Box<dyn AnyCommand>>,
}

impl Takes {
    /// Takes a command. That its aggregate handles it is proven at compile time.
    pub fn takes<C: Command>(mut self) -> Self {
        self.commands.push(erase::<C>());
        self
    }

    pub(crate) fn infos(&self) -> impl Iterator<Item = CommandInfo> {
        self.commands.iter().map(|command| command.info())
    }
}
