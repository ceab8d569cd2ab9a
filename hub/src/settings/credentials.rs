//! The operator key and the cluster's secret as settings.

use std::fs;

use crate::identity::{ClusterSecret, OperatorKey};
use crate::settings::setting::Rejection;

pub(super) fn operator_key(text: &str) -> Option<OperatorKey> {
    OperatorKey::new(text)
}

pub(super) fn secret(text: &str) -> Option<ClusterSecret> {
    ClusterSecret::new(text)
}

/// Reads the key from the file at `path`, unless a key is set already. An empty path names no file.
pub(super) fn read_operator_key(key: &mut Option<OperatorKey>, path: &str) -> Result<(), Rejection> {
    if key.is_some() || path.is_empty() {
        return Ok(());
    }
    let text = fs::read_to_string(path)
        .map_err(|error| Rejection::Because(format!("the file cannot be read: {error}")))?;
    let read = OperatorKey::new(text.trim_end());
    *key = Some(read.ok_or_else(|| Rejection::Because("the file does not hold such a key".to_owned()))?);
    Ok(())
}
