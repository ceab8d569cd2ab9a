//! Tests of tools and memory against scripted services.

#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

mod fetch_url;
mod hrana;
mod mcp;
mod memory;
mod weather;
