//! Baselines that the hub is compared with.
//!
//! - [`direct`]: the client calls the agent itself
//! - [`relay`]: a proxy that copies bytes, which is the lower bound for a hub
//! - [`naive`]: a hub of common libraries

pub mod direct;
pub mod naive;
pub mod relay;
