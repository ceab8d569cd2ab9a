//! From a target to a connection: resolves a name once, and connects only to addresses that the policy has accepted.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::account::Account;
use crate::error::ProxyError;
use crate::limits::{ADDRESSES_MAX, CONNECT_TIMEOUT, LOOKUPS_MAX};
use crate::policy::{Host, Target};

/// Connects agents to hosts.
pub(crate) struct Connector {
    /// A lookup takes a thread and cannot be cancelled.
    lookups: Semaphore,
}

impl Connector {
    pub(crate) fn new() -> Self {
        Self { lookups: Semaphore::new(LOOKUPS_MAX) }
    }

    /// Connects to the first accepted address that answers.
    ///
    /// # Errors
    /// Returns [`ProxyError`] if no address is accepted or none answers within [`CONNECT_TIMEOUT`].
    pub(crate) async fn connect(&self, account: &Account, target: &Target) -> Result<TcpStream, ProxyError> {
        let connected = timeout(CONNECT_TIMEOUT, async {
            let accepted = accepted(account, target, self.resolve(target).await?)?;
            connect_to_first(&accepted, target.port).await
        });
        connected.await.map_err(|_| ProxyError::Timeout)?
    }

    async fn resolve(&self, target: &Target) -> Result<Vec<IpAddr>, ProxyError> {
        let name = match &target.host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name.as_str(),
        };
        let _permit = self.lookups.acquire().await;
        let found = lookup_host((name, target.port)).await.map_err(ProxyError::Unresolved)?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Returns the addresses that the policy accepts, or its last denial if it accepts none.
fn accepted(account: &Account, target: &Target, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, ProxyError> {
    let mut accepted = Vec::new();
    let mut denied = None;
    for address in addresses {
        match account.check_address(target, address) {
            Ok(()) => accepted.push(address),
            Err(denial) => denied = Some(denial),
        }
    }
    match denied {
        Some(denial) if accepted.is_empty() => Err(denial.into()),
        _ => Ok(accepted),
    }
}

async fn connect_to_first(addresses: &[IpAddr], port: u16) -> Result<TcpStream, ProxyError> {
    let mut last = io::ErrorKind::NotFound.into();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match TcpStream::connect(SocketAddr::new(*address, port)).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(ProxyError::Unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(ProxyError::Unreachable(last))
}
