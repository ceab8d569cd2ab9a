//! Settings of the edge.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use crate::edge::origin::Origin;
use crate::edge::tls::TlsFiles;
use crate::identity::OperatorKey;

/// Settings of the listener and of allowed callers.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// Address of the listener.
    pub listen: SocketAddr,
    /// The certificate's file, if the hub serves HTTPS.
    pub tls_cert: Option<PathBuf>,
    /// The file of the certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// Key that allows its bearer every call; without one, callers on this machine may create sessions.
    pub operator_key: Option<OperatorKey>,
    /// Proxies whose `X-Forwarded-For` header is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may use the hub, besides its own.
    pub allow_origins: Vec<Origin>,
    /// Maximum number of sessions, which bounds the number of connections; admission's own setting.
    pub max_sessions: usize,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            tls_cert: None,
            tls_key: None,
            operator_key: None,
            trusted_proxies: Vec::new(),
            allow_origins: Vec::new(),
            max_sessions: 0,
        }
    }
}

impl EdgeSettings {
    /// Returns the certificate's files if the hub serves HTTPS.
    pub fn tls(&self) -> Option<TlsFiles> {
        let (cert, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(TlsFiles { cert, key })
    }

    /// Returns `true` if requests cross the network unencrypted, as far as the hub knows: a trusted proxy may serve HTTPS.
    pub fn is_plain_beyond_this_machine(&self) -> bool {
        self.tls().is_none() && !self.listen.ip().is_loopback() && self.trusted_proxies.is_empty()
    }
}
