//! Sessions: admission, the registry of live sessions, and one driver task for each. The rules of a session are in
//! `mayfly-session`; this module carries them out. It knows agents by their handles and the client of their wire.

pub(crate) mod admission;
pub(crate) mod adopt;
pub(crate) mod driver;
pub(crate) mod listener;
pub(crate) mod peer;
pub(crate) mod registry;
pub(crate) mod vitals;
pub(crate) mod waiting;
