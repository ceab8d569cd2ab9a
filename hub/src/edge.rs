//! The hub's edge: accepts connections, speaks TLS, HTTP and REST, serves the page, and upgrades connections to
//! WebSockets. It knows sessions by their mailbox only.

pub(crate) mod http;
pub(crate) mod page;
pub(crate) mod server;
pub mod tls;
