//! The query dispatcher: answers from read models, and can wait for a token.

mod dispatcher;
mod error;
mod pace;
mod registry;

pub use dispatcher::{Ask, AskOptions, QueryDispatcher, QueryDispatcherBuilder, TOKEN_WAIT_DEFAULT};
pub use error::AskError;
pub use registry::QueryInfo;
