//! Sessions: admission, the registry of live sessions, and one driver task for each. The rules of a session are in
//! `mayfly-session`; this module carries them out. It knows agents by their handles and the client of their wire.

use std::sync::Arc;
use std::time::Duration;

use mayfly_session::Settings;

use crate::agents::Agents;
use crate::identity::Secret;
use crate::ops::Ops;
use crate::sessions::admission::Admission;
use crate::sessions::admission::policy::Bounds;
use crate::sessions::registry::Registry;

pub mod admission;
pub(crate) mod adoption;
pub(crate) mod driver;
pub(crate) mod listener;
pub(crate) mod peer;
pub(crate) mod registry;
pub(crate) mod request;

/// The sessions of one hub, and everything that their drivers share.
pub(crate) struct Sessions {
    pub(crate) ops: Arc<Ops>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) secret: Secret,
    pub(crate) settings: Settings,
    /// Longest time that a client waits in line for a session; zero if it is refused at once.
    pub(crate) wait: Duration,
    pub(crate) admission: Admission,
    pub(crate) registry: Registry,
}

impl Sessions {
    pub(crate) fn new(agents: &Arc<Agents>, settings: Settings, wait: Duration, bounds: Bounds) -> Self {
        Self {
            ops: Arc::clone(&agents.ops),
            agents: Arc::clone(agents),
            secret: agents.secret.clone(),
            settings,
            wait,
            admission: Admission::new(bounds),
            registry: Registry::default(),
        }
    }
}
