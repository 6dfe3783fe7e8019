//! The surfaces as their callers see them: through a router, and where sockets matter, through sockets.

mod commands;
mod queries;
mod server;
mod toy;
