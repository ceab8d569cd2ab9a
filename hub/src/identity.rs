//! The cluster's secret and the tokens derived from it, the operator key, and tickets (`identity/ticket.rs`).
//!
//! A derived token is stored nowhere; a restarted hub derives the same one. `edge/http/caller.rs` decides which caller may
//! do what.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use mayfly_platform::AgentToken;
use mayfly_protocol::ids::{Incarnation, SessionId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub(crate) mod ticket;

const SECRET_BYTES: usize = 32;
const SECRET_FILE: &str = "secret";
/// Shortest text that is accepted as a cluster secret.
const SECRET_TEXT_MIN_BYTES: usize = 32;
/// Shortest operator key.
const OPERATOR_KEY_MIN_BYTES: usize = 16;
/// Longest operator key.
const OPERATOR_KEY_MAX_BYTES: usize = 256;

/// The secret from which the hub derives every token. It has no `Debug`, so that no log shows it.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

/// A secret that an operator gives to all hubs of a cluster. `Debug` does not show it.
#[derive(Clone)]
pub struct ClusterSecret([u8; SECRET_BYTES]);

/// The key that allows its bearer every call. `Debug` does not show it.
#[derive(Clone)]
pub struct OperatorKey([u8; SECRET_BYTES]);

impl ClusterSecret {
    /// Returns the secret with this text, or `None` if the text is too short.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() >= SECRET_TEXT_MIN_BYTES).then(|| Self(Sha256::digest(text).into()))
    }
}

impl OperatorKey {
    /// Returns the key with this text, or `None` if the text is too short, too long, or not allowed in a header.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (OPERATOR_KEY_MIN_BYTES..=OPERATOR_KEY_MAX_BYTES).contains(&text.len());
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        (fits && is_plain).then(|| Self(Sha256::digest(text).into()))
    }

    /// Returns `true` if this is the key's text, in constant time.
    pub fn is(&self, text: &str) -> bool {
        self.0.ct_eq(&Sha256::digest(text)).into()
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(…)")
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey(…)")
    }
}

impl From<ClusterSecret> for Secret {
    fn from(ClusterSecret(bytes): ClusterSecret) -> Self {
        Self(bytes)
    }
}

/// Error returned when the secret cannot be read or created.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file or the directory cannot be read or created.
    #[error("cannot use {}: {cause}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// Other users can read the file.
    #[error("other users can read {} (mode {mode:03o}): set its mode to 600, or remove it to get a new one", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file does not hold a secret.
    #[error("{} does not hold a secret of {SECRET_BYTES} bytes: remove it to get a new one", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl Secret {
    /// Reads the secret of a data directory. The first call creates the directory and the secret; hubs that race for it get
    /// the same secret.
    ///
    /// # Errors
    /// Returns [`SecretError`]; its text says what to do.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, SecretError> {
        let path = data_dir.join(SECRET_FILE);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| SecretError::File { path, cause }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed(data_dir))?;
        if !path.exists() {
            create(data_dir, &path).map_err(failed(&path))?;
        }
        read(&path)
    }

    /// Returns the token that an agent asks of its callers.
    pub fn agent_token(&self, incarnation: Incarnation) -> AgentToken {
        AgentToken::new(self.derive(&["agent", &incarnation.to_string()]))
    }

    /// Returns the name of the cluster of hubs with this secret. The name itself is not a secret.
    pub fn cluster(&self) -> String {
        let mut digits = self.derive(&["cluster"]);
        digits.truncate(12);
        digits
    }

    /// Returns the token that lets a socket attach to a session.
    pub fn session_token(&self, session: SessionId) -> String {
        self.derive(&["session", &session.to_string()])
    }

    /// Returns `true` if this is a session's token, in constant time.
    pub fn is_session_token(&self, session: SessionId, token: &str) -> bool {
        self.session_token(session).as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// Returns the hash under which a ticket is stored, so that the ticket itself is not.
    pub(crate) fn ticket_mark(&self, ticket: &str) -> String {
        self.derive(&["ticket", ticket])
    }

    /// Returns the HMAC-SHA-256 (RFC 2104) of the parts in hexadecimal digits. No part may hold a NUL.
    fn derive(&self, parts: &[&str]) -> String {
        // HMAC accepts a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(parts.join("\0").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// Writes a new secret to a draft and links the draft to `path`, so that no hub reads a partial secret.
fn create(data_dir: &Path, path: &Path) -> io::Result<()> {
    let mut secret = [0; SECRET_BYTES];
    fs::File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let draft = data_dir.join(format!(".{SECRET_FILE}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

fn read(path: &Path) -> Result<Secret, SecretError> {
    let failed = |cause| SecretError::File { path: path.to_owned(), cause };
    let file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::with_capacity(SECRET_BYTES + 1);
    file.take(SECRET_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    bytes.try_into().map(Secret).map_err(|_| SecretError::Malformed { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_is_created_once_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("deep/down");
        let incarnation = Incarnation::from_u128(1);
        let first = Secret::load_or_create(&data_dir).unwrap().agent_token(incarnation);
        let again = Secret::load_or_create(&data_dir).unwrap().agent_token(incarnation);
        assert!(first == again);
        assert_eq!(first.expose().len(), 64);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&data_dir), mode(&data_dir.join(SECRET_FILE))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn incarnations_and_secrets_have_different_tokens() {
        let (one, other) = (Secret([1; SECRET_BYTES]), Secret([2; SECRET_BYTES]));
        let token =
            |secret: &Secret, bits| secret.agent_token(Incarnation::from_u128(bits)).expose().to_owned();
        assert_ne!(token(&one, 1), token(&one, 2));
        assert_ne!(token(&one, 1), token(&other, 1));
    }

    #[test]
    fn a_session_token_opens_no_other_session() {
        let (one, other) = (Secret([1; SECRET_BYTES]), Secret([2; SECRET_BYTES]));
        let (session, another) = (SessionId::from_u128(1), SessionId::from_u128(2));
        let token = one.session_token(session);
        assert!(one.is_session_token(session, &token));
        for token in [&token[1..], "", &one.session_token(another), &other.session_token(session)] {
            assert!(!one.is_session_token(session, token));
        }
        let agent = one.agent_token(Incarnation::from_u128(1));
        assert_ne!(token, agent.expose(), "tokens of agents and sessions differ");
    }

    #[test]
    fn an_exposed_or_malformed_secret_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(SECRET_FILE);
        fs::write(&path, [0; SECRET_BYTES]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            Secret::load_or_create(directory.path()),
            Err(SecretError::Exposed { mode: 0o644, .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in [&b"short"[..], &[0; SECRET_BYTES + 1]] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(Secret::load_or_create(directory.path()), Err(SecretError::Malformed { .. })));
        }
    }
}
