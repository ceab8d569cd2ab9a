//! What the hub is measured against, from the floor to what is written today.
//!
//! - [`direct`]: the client straight to the agent
//! - [`relay`]: bytes passed on between client and agent, unread: no hub can be cheaper
//! - [`naive`]: a hub as it is usually written

pub mod direct;
pub mod naive;
pub mod relay;
