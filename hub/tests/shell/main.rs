//! The hub's shell with real parts: the built program, real processes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod config;
mod lifetime;
mod races;

/// The program as it was built for these tests.
const MAYFLY: &str = env!("CARGO_BIN_EXE_mayfly");
