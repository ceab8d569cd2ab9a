//! Platform `static`: agents that run already, handed out in turn; nothing is spawned and nothing is ended. For
//! development, for an agent under a debugger, for load tests.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mayfly_protocol::ids::Incarnation;
use tokio_util::sync::CancellationToken;

use crate::platform::{AgentAddress, AgentHandle, AgentToken, Platform, SpawnError, SpawnSpec};

/// Agents at fixed addresses; each may serve any number of sessions.
pub struct StaticPlatform {
    addresses: Vec<AgentAddress>,
    token: AgentToken,
    turn: AtomicUsize,
    handed_out: Mutex<HashSet<Incarnation>>,
}

impl StaticPlatform {
    /// Agents at these addresses that all ask for this token.
    pub fn new(addresses: Vec<AgentAddress>, token: AgentToken) -> Self {
        Self { addresses, token, turn: AtomicUsize::new(0), handed_out: Mutex::default() }
    }

    fn handed_out(&self) -> std::sync::MutexGuard<'_, HashSet<Incarnation>> {
        self.handed_out.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl Platform for StaticPlatform {
    async fn spawn(&self, spec: SpawnSpec) -> Result<AgentHandle, SpawnError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let address = self.addresses.get(turn % self.addresses.len().max(1)).ok_or(SpawnError::NoAddress)?;
        self.handed_out().insert(spec.incarnation);
        Ok(AgentHandle {
            incarnation: spec.incarnation,
            address: address.clone(),
            token: self.token.clone(),
            gone: CancellationToken::new(),
        })
    }

    async fn stop(&self, agent: &AgentHandle) -> bool {
        agent.gone.cancel();
        self.handed_out().remove(&agent.incarnation)
    }

    async fn list(&self) -> Vec<Incarnation> {
        self.handed_out().iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use mayfly_protocol::ids::SessionId;

    use super::*;

    fn spec(bits: u128) -> SpawnSpec {
        SpawnSpec {
            session: SessionId::from_u128(bits),
            incarnation: Incarnation::from_u128(bits),
            token: AgentToken::new("derived".to_owned()),
            deadline: SystemTime::UNIX_EPOCH,
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
        assert_eq!(platform.list().await.len(), 3);
    }

    #[tokio::test]
    async fn a_stop_is_told_once() {
        let address = AgentAddress::Tcp("a:1".to_owned());
        let platform = StaticPlatform::new(vec![address], AgentToken::new(String::new()));
        let agent = platform.spawn(spec(1)).await.unwrap();
        assert!(platform.stop(&agent).await);
        assert!(agent.gone.is_cancelled());
        assert!(!platform.stop(&agent).await);
        assert!(platform.list().await.is_empty());
    }
}
