//! The query dispatcher: answers from read models, can wait for a token, and can answer again whenever they change.

mod before;
mod dispatcher;
mod error;
mod live;
mod moment;
mod pace;
mod registry;
mod visible;

pub use dispatcher::{Ask, AskOptions, QueryDispatcher, QueryDispatcherBuilder, TOKEN_WAIT_DEFAULT};
pub use error::AskError;
pub use live::{LIVE_INTERVAL_DEFAULT, Live, LiveAnswer};
pub use moment::{InvalidMoment, Moment};
pub use registry::QueryInfo;
