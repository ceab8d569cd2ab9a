//! Benchmarks of Mayfly. A crate of their own, so that tests do not compile them and their dependencies.
//!
//! ```text
//!   driver.rs ----- WebSocket ----> hub | baseline naive ---- HTTP + SSE ----> simulated agent
//!       \---------- HTTP + SSE ---> baseline relay | baseline direct -------------/
//! ```
//!
//! - [`comparison`]: the hub against its baselines (`make bench`)
//! - [`siege`]: the hub under attack (`make siege`)
//! - [`containers`]: starts of agents in a container engine
//! - [`round`], [`servers`], [`table`]: one round of measurements, the processes it measures, the printed figures
//! - [`driver`]: many sessions at once, every token checked and timed
//! - [`baseline`]: the programs that the hub is compared with
//! - [`check`]: finds lost, doubled and reordered tokens, and turns without exactly one end
//! - [`stall_monitor`]: detects that the machine itself stood still

pub mod baseline;
pub mod check;
pub mod comparison;
pub mod containers;
pub mod driver;
pub mod round;
pub mod servers;
pub mod siege;
pub mod stall_monitor;
pub mod table;
