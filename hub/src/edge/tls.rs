//! TLS at the hub's own door: the certificate and key that it shows, read anew when their files change.
//!
//! The files are looked at once a second, so that whatever renews them need not tell the hub. What cannot be used takes
//! nobody's place: the hub goes on with what it had, and says so in the log.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::limits::TLS_FILES_INTERVAL;

/// All that is spoken above (RFC 7301, section 6).
const ALPN: &[u8] = b"http/1.1";
/// What others may do with a file.
const OTHERS: u32 = 0o077;

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// What this hub shows to its clients.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

/// Where a hub takes connections, and what it speaks there.
#[derive(Debug)]
pub struct Door {
    pub(crate) tcp: TcpListener,
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file is not PEM (RFC 7468), or not what it should be.
    #[error("{} has no {what} in PEM{cause}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What is wrong with it, where there is something.
        cause: String,
    },
    /// The key is another certificate's.
    #[error("the key in {} is not that of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// They are of a kind that is not known.
    #[error("the certificate in {} cannot be used: {cause}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        cause: rustls::Error,
    },
}

impl TlsError {
    /// Returns `true` if the key's file is at fault rather than the certificate's.
    pub fn is_about_the_key(&self, files: &TlsFiles) -> bool {
        match self {
            Self::File { path, .. } | Self::Pem { path, .. } => *path == files.key && files.key != files.cert,
            Self::Mismatch { .. } => true,
            Self::Unusable { .. } => false,
        }
    }
}

impl Door {
    /// One that speaks TLS, or none.
    pub fn new(tcp: TcpListener, tls: Option<Tls>) -> Self {
        Self { tcp, tls: tls.map(Arc::new) }
    }

    /// What URLs of it begin with.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl From<TcpListener> for Door {
    fn from(tcp: TcpListener) -> Self {
        Self::new(tcp, None)
    }
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = RwLock::new(Arc::new(read(&files)?));
        let mode = fs::metadata(&files.key).map_or(0, |metadata| metadata.permissions().mode());
        if mode & OTHERS != 0 {
            warn!(path = %files.key.display(), mode = format!("{:o}", mode & 0o777), "others can read the TLS key");
        }
        Ok(Self { files, config })
    }

    /// The handshake of one connection.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Reads the files anew whenever they have changed, until the hub closes.
    pub(crate) async fn keep(self: Arc<Self>, closing: CancellationToken) {
        let mut watch = Watch::new(Marks::of(&self.files));
        let mut looks = interval(TLS_FILES_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while closing.run_until_cancelled(looks.tick()).await.is_some() {
            if watch.is_due(Marks::of(&self.files)) {
                self.reload();
            }
        }
    }

    fn reload(&self) {
        match read(&self.files) {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                info!(cert = %self.files.cert.display(), "the TLS certificate was read anew");
            }
            Err(error) => {
                error!(%error, "the new TLS certificate cannot be used: the old one is still shown");
            }
        }
    }
}

/// What tells a file from what it was: where it is, how long, and when it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark(u64, u64, i64, i64);

/// The marks of both files; none of one that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks([Option<Mark>; 2]);

impl Marks {
    fn of(files: &TlsFiles) -> Self {
        Self([&files.cert, &files.key].map(|path| fs::metadata(path).ok().map(|file| Mark::of(&file))))
    }
}

impl Mark {
    fn of(file: &Metadata) -> Self {
        Self(file.ino(), file.len(), file.mtime(), file.mtime_nsec())
    }
}

/// When files that change are to be read: once they have stopped, since two files do not change at once.
#[derive(Debug)]
struct Watch {
    read: Marks,
    seen: Marks,
}

impl Watch {
    fn new(read: Marks) -> Self {
        Self { read, seen: read }
    }

    fn is_due(&mut self, marks: Marks) -> bool {
        let is_still = std::mem::replace(&mut self.seen, marks) == marks;
        let is_due = is_still && marks != self.read;
        if is_due {
            self.read = marks;
        }
        is_due
    }
}

fn read(TlsFiles { cert, key }: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let bytes = |path: &Path| fs::read(path).map_err(|cause| TlsError::File { path: path.to_owned(), cause });
    let missing = |path: &Path, what, error: Option<pem::Error>| {
        let cause = match error {
            None | Some(pem::Error::NoItemsFound) => String::new(),
            Some(error) => format!(": {error}"),
        };
        TlsError::Pem { path: path.to_owned(), what, cause }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(cert)?).collect();
    let chain = chain.map_err(|error| missing(cert, "certificate", Some(error)))?;
    if chain.is_empty() {
        return Err(missing(cert, "certificate", None));
    }
    let private = PrivateKeyDer::from_pem_slice(&bytes(key)?);
    let private = private.map_err(|error| missing(key, "private key", Some(error)))?;
    let unusable = |cause| TlsError::Unusable { path: cert.clone(), cause };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(unusable)?;
    let config = config.with_no_client_auth().with_single_cert(chain, private);
    let mut config = config.map_err(|error| {
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            return TlsError::Mismatch { cert: cert.clone(), key: key.clone() };
        }
        unusable(error)
    })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(cert: u64, key: Option<u64>) -> Marks {
        Marks([Some(cert), key].map(|at| at.map(|at| Mark(at, 0, 0, 0))))
    }

    #[test]
    fn files_are_read_once_when_they_have_stopped_changing() {
        let mut watch = Watch::new(marks(1, Some(1)));
        assert!(!watch.is_due(marks(1, Some(1))));
        assert!(!watch.is_due(marks(2, Some(1))));
        assert!(!watch.is_due(marks(2, None)));
        assert!(!watch.is_due(marks(2, Some(2))));
        assert!(watch.is_due(marks(2, Some(2))));
        assert!(!watch.is_due(marks(2, Some(2))));
    }
}
