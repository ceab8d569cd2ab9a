//! TLS of the hub's listener: loads the certificate and key, and reloads them when their files change.
//!
//! The hub checks the files once a second, so certificate renewal needs no signal. If new files are invalid, the hub logs an
//! error and keeps the old ones.

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

/// The only ALPN protocol that the hub offers (RFC 7301, section 6).
const ALPN: &[u8] = b"http/1.1";
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// The TLS configuration of the server, reloaded when its files change.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

/// The hub's TCP listener, with TLS if it is configured.
#[derive(Debug)]
pub struct HubListener {
    pub(crate) tcp: TcpListener,
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Error returned when the certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A file is not PEM (RFC 7468), or not what it should be.
    #[error("{} has no {what} in PEM{cause}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The expected content.
        what: &'static str,
        /// The parser's error, or empty.
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
    /// The certificate or key has an unsupported type.
    #[error("the certificate in {} cannot be used: {cause}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// The cause.
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

impl HubListener {
    /// Creates a listener, with TLS if `tls` is given.
    pub fn new(tcp: TcpListener, tls: Option<Tls>) -> Self {
        Self { tcp, tls: tls.map(Arc::new) }
    }

    /// Returns the URL scheme, `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl From<TcpListener> for HubListener {
    fn from(tcp: TcpListener) -> Self {
        Self::new(tcp, None)
    }
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// Returns [`TlsError`] if a file is missing, invalid or does not match.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = RwLock::new(Arc::new(read(&files)?));
        let mode = fs::metadata(&files.key).map_or(0, |metadata| metadata.permissions().mode());
        if mode & OTHERS != 0 {
            warn!(path = %files.key.display(), mode = format!("{:o}", mode & 0o777), "TLS key readable by other users");
        }
        Ok(Self { files, config })
    }

    /// Performs the TLS handshake of a connection.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Reloads the files when they have changed, until the hub closes.
    pub(crate) async fn reload_on_change(self: Arc<Self>, closing: CancellationToken) {
        let mut detector = ChangeDetector::new(FileStamps::of(&self.files));
        let mut checks = interval(TLS_FILES_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while closing.run_until_cancelled(checks.tick()).await.is_some() {
            if detector.poll_due(FileStamps::of(&self.files)) {
                self.reload();
            }
        }
    }

    fn reload(&self) {
        match read(&self.files) {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                info!(cert = %self.files.cert.display(), "TLS certificate reloaded");
            }
            Err(error) => {
                error!(%error, "TLS certificate not reloaded; the previous one stays in use");
            }
        }
    }
}

/// Inode, size and modification time of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp(u64, u64, i64, i64);

/// Stamps of both files; `None` for a missing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamps([Option<FileStamp>; 2]);

impl FileStamps {
    fn of(files: &TlsFiles) -> Self {
        Self([&files.cert, &files.key].map(|path| fs::metadata(path).ok().map(|file| FileStamp::of(&file))))
    }
}

impl FileStamp {
    fn of(file: &Metadata) -> Self {
        Self(file.ino(), file.len(), file.mtime(), file.mtime_nsec())
    }
}

/// Decides when to reload: once the stamps differ and two checks agree, because the two files are replaced one after the
/// other.
#[derive(Debug)]
struct ChangeDetector {
    read: FileStamps,
    seen: FileStamps,
}

impl ChangeDetector {
    fn new(read: FileStamps) -> Self {
        Self { read, seen: read }
    }

    fn poll_due(&mut self, stamps: FileStamps) -> bool {
        let is_still = std::mem::replace(&mut self.seen, stamps) == stamps;
        let is_due = is_still && stamps != self.read;
        if is_due {
            self.read = stamps;
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

    fn stamps(cert: u64, key: Option<u64>) -> FileStamps {
        FileStamps([Some(cert), key].map(|at| at.map(|at| FileStamp(at, 0, 0, 0))))
    }

    #[test]
    fn changed_files_are_loaded_once() {
        let mut detector = ChangeDetector::new(stamps(1, Some(1)));
        assert!(!detector.poll_due(stamps(1, Some(1))));
        assert!(!detector.poll_due(stamps(2, Some(1))));
        assert!(!detector.poll_due(stamps(2, None)));
        assert!(!detector.poll_due(stamps(2, Some(2))));
        assert!(detector.poll_due(stamps(2, Some(2))));
        assert!(!detector.poll_due(stamps(2, Some(2))));
    }
}
