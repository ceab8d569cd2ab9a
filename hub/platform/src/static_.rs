//! Platform `static`: agents that run already, handed out in turn. Starts and ends no process. For development, for an
//! agent under a debugger, for load tests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use mayfly_protocol::ids::{Incarnation, SessionId};
use tokio_util::sync::CancellationToken;

use crate::{
    AgentAddress, AgentHandle, AgentStats, AgentToken, Lifetime, ListedAgent, Platform, PlatformError,
    SpawnError, SpawnSpec,
};

/// Agents at fixed addresses; each may serve any number of sessions.
pub struct StaticPlatform {
    addresses: Vec<AgentAddress>,
    token: AgentToken,
    turn: AtomicUsize,
    handed_out: Mutex<HashMap<Incarnation, ListedAgent>>,
}

impl StaticPlatform {
    /// Returns a platform of the agents at these addresses, which all demand this token.
    pub fn new(addresses: Vec<AgentAddress>, token: AgentToken) -> Self {
        Self { addresses, token, turn: AtomicUsize::new(0), handed_out: Mutex::default() }
    }

    fn handed_out(&self) -> MutexGuard<'_, HashMap<Incarnation, ListedAgent>> {
        self.handed_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Platform for StaticPlatform {
    fn lifetime(&self) -> Lifetime {
        Lifetime::Fixed
    }

    async fn spawn(&self, spec: SpawnSpec) -> Result<AgentHandle, SpawnError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let address = self.addresses.get(turn % self.addresses.len().max(1)).ok_or(SpawnError::NoAddress)?;
        let listed = ListedAgent {
            incarnation: spec.incarnation,
            address: address.clone(),
            gone: CancellationToken::new(),
            session: spec.session,
            created: SystemTime::now(),
            version: None,
        };
        let handle = listed.handle(self.token.clone());
        self.handed_out().insert(spec.incarnation, listed);
        Ok(handle)
    }

    async fn claim(&self, agent: &AgentHandle, session: SessionId) -> Result<(), PlatformError> {
        let mut handed_out = self.handed_out();
        let listed = handed_out.get_mut(&agent.incarnation).ok_or(PlatformError::Gone)?;
        listed.session = Some(session);
        Ok(())
    }

    async fn stop(&self, agent: &AgentHandle) -> Result<bool, PlatformError> {
        let listed = self.handed_out().remove(&agent.incarnation);
        Ok(listed.inspect(|listed| listed.gone.cancel()).is_some())
    }

    async fn list(&self) -> Result<Vec<ListedAgent>, PlatformError> {
        Ok(self.handed_out().values().cloned().collect())
    }

    /// Returns `None`: this hub did not start the agents and cannot find their processes.
    async fn stats(&self, _: &AgentHandle) -> Option<AgentStats> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::AgentEnv;

    fn spec(bits: u128) -> SpawnSpec {
        SpawnSpec {
            session: Some(SessionId::from_u128(bits)),
            owner: None,
            incarnation: Incarnation::from_u128(bits),
            token: AgentToken::new("derived".to_owned()),
            deadline: SystemTime::UNIX_EPOCH,
            env: AgentEnv::default(),
        }
    }

    #[tokio::test]
    async fn agents_are_handed_out_in_turn_with_their_own_token() {
        let addresses = ["a:1", "b:2"].map(|name| AgentAddress::Tcp(name.to_owned()));
        let platform = StaticPlatform::new(addresses.to_vec(), AgentToken::new("own".to_owned()));
        let mut seen = Vec::new();
        for bits in 1..=3 {
            let agent = platform.spawn(spec(bits)).await.unwrap();
            assert_eq!(agent.token.expose(), "own");
            seen.push(agent.address);
        }
        assert_eq!(seen, [addresses[0].clone(), addresses[1].clone(), addresses[0].clone()]);
        assert_eq!(platform.list().await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn stop_returns_true_once() {
        let address = AgentAddress::Tcp("a:1".to_owned());
        let platform = StaticPlatform::new(vec![address], AgentToken::new(String::new()));
        let agent = platform.spawn(spec(1)).await.unwrap();
        assert!(platform.stop(&agent).await.unwrap());
        assert!(agent.gone.is_cancelled());
        assert!(!platform.stop(&agent).await.unwrap());
        assert!(platform.list().await.unwrap().is_empty());
    }
}
