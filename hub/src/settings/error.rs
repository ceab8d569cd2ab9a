//! Errors of settings. The hub reports all of them together and exits with 2.

use std::fmt;
use std::path::PathBuf;

use crate::settings::setting::Setting;

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A value that is not accepted.
    #[error("{name} = \"{value}\" (from {source_}): {}expected {form}", prefix(reason))]
    Value {
        /// The setting.
        name: &'static str,
        /// Its value; of a secret, an ellipsis.
        value: String,
        /// The source of the value.
        source_: Source,
        /// The reason why the value cannot be used, unless its form alone is wrong.
        reason: Option<String>,
        /// The accepted form.
        form: &'static str,
    },
    /// A setting that other settings need is missing.
    #[error("{name} is not set: {reason}; expected {form}")]
    Missing {
        /// The setting.
        name: &'static str,
        /// The reason why it is needed.
        reason: String,
        /// The accepted form.
        form: &'static str,
    },
    /// The file cannot be read, or is not TOML.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: String,
    },
    /// A key of the file that names no setting.
    #[error("{}: unknown key \"{key}\"{}", path.display(), hint(suggestion))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The setting with the most similar name.
        suggestion: Option<&'static str>,
    },
    /// A variable that names no setting and looks like one that does.
    #[error("unknown variable {variable}{}", hint(&Some(suggestion)))]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The most similar variable of a setting.
        suggestion: &'static str,
    },
}

/// All settings that cannot be used, one on each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingErrors(pub Vec<SettingError>);

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing sets it.
    Default,
    /// This file.
    File(PathBuf),
    /// This environment variable.
    Environment(&'static str),
    /// The command line.
    Flag,
}

impl SettingError {
    /// Returns `true` if the error is about this setting's value.
    pub(super) fn is_about(&self, setting: &Setting) -> bool {
        match self {
            Self::Value { name, .. } | Self::Missing { name, .. } => *name == setting.name,
            Self::File { .. } | Self::UnknownKey { .. } | Self::UnknownVariable { .. } => false,
        }
    }
}

impl std::error::Error for SettingErrors {}

impl fmt::Display for SettingErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let line_break = if at == 0 { "" } else { "\n" };
            write!(f, "{line_break}mayfly: {error}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag => f.write_str("flag"),
        }
    }
}

fn prefix(reason: &Option<String>) -> String {
    reason.as_ref().map_or_else(String::new, |reason| format!("{reason}; "))
}

fn hint(suggestion: &Option<&'static str>) -> String {
    match suggestion {
        Some(name) => format!("; did you mean {name}?"),
        None => "; `mayfly config` prints all keys".to_owned(),
    }
}
