//! The cluster's secret, and the tokens derived from it: nothing to store, and a restarted hub can derive them again.
//! The operator's key, and the tickets minted with it: `identity/ticket.rs`. Who may do what is `http/caller.rs`.

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
/// Shortest cluster secret that is accepted as a text.
const SECRET_TEXT_MIN_BYTES: usize = 32;
/// Shortest and longest operator key.
const OPERATOR_KEY_MIN_BYTES: usize = 16;
const OPERATOR_KEY_MAX_BYTES: usize = 256;

/// What every token of this hub is derived from. Has no `Debug`, so that it is not logged.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

/// A secret as an operator gives it to all hubs of a cluster. Never shown by `Debug`.
#[derive(Clone)]
pub struct ClusterSecret([u8; SECRET_BYTES]);

/// What lets its bearer do everything. Never shown by `Debug`.
#[derive(Clone)]
pub struct OperatorKey([u8; SECRET_BYTES]);

impl ClusterSecret {
    /// The secret with this text; none if it is too short.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() >= SECRET_TEXT_MIN_BYTES).then(|| Self(Sha256::digest(text).into()))
    }
}

impl OperatorKey {
    /// The key with this text; none if it is too short or too long, or could not stand in a header.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (OPERATOR_KEY_MIN_BYTES..=OPERATOR_KEY_MAX_BYTES).contains(&text.len());
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        (fits && is_plain).then(|| Self(Sha256::digest(text).into()))
    }

    /// Whether this is its text; takes as long for any other.
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

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or made.
    #[error("cannot use {}: {cause}", path.display())]
    File {
        /// Which file or directory.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Others may read it.
    #[error("{} can be read by others (mode {mode:03o}): make it 600, or remove it to have a new one made", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not what this hub wrote.
    #[error("{} is not a secret of {SECRET_BYTES} bytes: remove it to have a new one made", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
}

impl Secret {
    /// Reads the secret of a data directory; the first time, makes both. Hubs that race for it end with the same one.
    ///
    /// # Errors
    /// [`SecretError`] says what to do.
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

    /// The token that an agent asks of its callers.
    pub fn agent_token(&self, incarnation: Incarnation) -> AgentToken {
        AgentToken::new(self.derive(&["agent", &incarnation.to_string()]))
    }

    /// Names the hubs that have this secret, and what is theirs; no secret itself.
    pub fn cluster(&self) -> String {
        let mut digits = self.derive(&["cluster"]);
        digits.truncate(12);
        digits
    }

    /// The token that lets a socket attach to a session.
    pub fn session_token(&self, session: SessionId) -> String {
        self.derive(&["session", &session.to_string()])
    }

    /// Whether this is a session's token; takes as long for any other.
    pub fn is_session_token(&self, session: SessionId, token: &str) -> bool {
        self.session_token(session).as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// What a ticket is remembered by, so that it is not itself kept.
    pub(crate) fn ticket_mark(&self, ticket: &str) -> String {
        self.derive(&["ticket", ticket])
    }

    /// HMAC-SHA-256 (RFC 2104) of the parts, as hexadecimal digits. No part may hold a NUL.
    fn derive(&self, parts: &[&str]) -> String {
        // A key of any length is accepted.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(parts.join("\0").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// Writes a new secret beside its place and links it there, so that no hub ever sees a part of one.
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
    fn the_secret_is_made_once_and_only_for_its_owner() {
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
    fn another_incarnation_or_secret_has_another_token() {
        let (one, other) = (Secret([1; SECRET_BYTES]), Secret([2; SECRET_BYTES]));
        let token =
            |secret: &Secret, bits| secret.agent_token(Incarnation::from_u128(bits)).expose().to_owned();
        assert_ne!(token(&one, 1), token(&one, 2));
        assert_ne!(token(&one, 1), token(&other, 1));
    }

    #[test]
    fn a_session_has_a_token_of_its_own() {
        let (one, other) = (Secret([1; SECRET_BYTES]), Secret([2; SECRET_BYTES]));
        let (session, another) = (SessionId::from_u128(1), SessionId::from_u128(2));
        let token = one.session_token(session);
        assert!(one.is_session_token(session, &token));
        for token in [&token[1..], "", &one.session_token(another), &other.session_token(session)] {
            assert!(!one.is_session_token(session, token));
        }
        let agent = one.agent_token(Incarnation::from_u128(1));
        assert_ne!(token, agent.expose(), "what a token is for is part of it");
    }

    #[test]
    fn a_secret_that_others_can_read_or_that_is_none_is_refused() {
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
