//! What Mayfly is tested and measured with: nothing here is shipped.
//!
//! ```text
//!   driver.rs ----- WebSocket ----> hub | baseline naive ---- HTTP + SSE ----> agent.rs
//!       \---------- HTTP + SSE ---> baseline relay | baseline direct ---------/
//! ```
//!
//! - [`agent`]: the simulated agent, one process for many sessions; its answers are [`token`]s on a schedule
//! - [`load`]: what a message asks of the simulated agent
//! - [`check`]: nothing lost, doubled or reordered, and each turn done once
//! - [`mod@contract`]: what every platform must do
//! - [`driver`]: many sessions at once, every token checked and timed
//! - [`baseline`]: what the hub is measured against
//! - [`mod@bench`]: the rounds of `make bench`, and their table
//! - [`siege`]: what strangers do to the hub, and how much of it others notice
//! - [`witness`]: when the machine itself stood still
//! - [`probe`]: what an agent tries that is none of its business
//! - [`fuzz`]: what must hold of whatever strangers write
//! - [`engine`]: the container engine of the tests
//! - [`harness`]: a hub as a child process, and a client, for tests
//! - [`relay`]: a socket in front of another, that can be cut
//! - [`scripted`]: an agent that a test plays, byte by byte
//! - [`transcript`]: the auditor: what a client makes of its frames, and whether they cover the record
//! - [`address`], [`clock`], [`process`], [`socket`]: what these stand on

pub mod address;
pub mod agent;
pub mod baseline;
pub mod bench;
pub mod check;
pub mod clock;
pub mod contract;
pub mod driver;
pub mod engine;
pub mod fuzz;
pub mod harness;
pub mod load;
pub mod probe;
pub mod process;
pub mod provider;
pub mod relay;
pub mod scripted;
pub mod siege;
pub mod socket;
pub mod token;
#[path = "../../hub/session/tests/core/fold.rs"]
pub mod transcript;
pub mod witness;
