//! Reading and checking of environment variables: what every group of settings shares.
//!
//! The variables themselves belong to `config.rs`, `model/choice.rs` and `mcp/config.rs`.

use std::ffi::OsString;

use axum::http::Uri;

use crate::secret::Secret;

const TOKEN_FORM: &str = "1 to 1024 visible ASCII characters";

/// Error returned when the agent cannot start with a variable. No variant holds a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is not set.
    #[error("{name} is not set: it must be {accepted}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// The accepted form.
        accepted: &'static str,
    },
    /// A variable has a value that is not accepted.
    #[error("{name} is {value}: it must be {accepted}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// The value in quotes, or `not shown` for a secret.
        value: String,
        /// The accepted form.
        accepted: &'static str,
    },
}

impl ConfigError {
    /// Returns the error for a value that may be shown.
    pub fn invalid(name: &'static str, value: &str, accepted: &'static str) -> Self {
        Self::Invalid { name, value: format!("{value:?}"), accepted }
    }

    /// Returns the error for a value that may be a secret.
    pub fn hidden(name: &'static str, accepted: &'static str) -> Self {
        Self::Invalid { name, value: "not shown".to_owned(), accepted }
    }
}

/// An environment, read through a function.
pub struct Environment<G> {
    get: G,
}

impl<G: Fn(&'static str) -> Option<OsString>> Environment<G> {
    /// Returns an environment that `get` reads.
    pub fn new(get: G) -> Self {
        Self { get }
    }

    /// Returns a variable's value, or `None` if it is not set.
    ///
    /// # Errors
    /// Returns an error if the value is not UTF-8.
    pub fn text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let text = (self.get)(name).map(OsString::into_string).transpose();
        text.map_err(|_| ConfigError::Invalid { name, value: "not UTF-8".to_owned(), accepted: "UTF-8 text" })
    }

    /// Returns a variable's value, or `None` if it is not set or empty.
    ///
    /// # Errors
    /// Returns an error if the value is not UTF-8.
    pub fn nonempty(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// Returns what `parse` makes of a variable's value, or `None` if it is not set.
    ///
    /// # Errors
    /// Returns an error if `parse` returns `None`.
    pub fn parsed<T>(
        &self,
        name: &'static str,
        accepted: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| ConfigError::invalid(name, &text, accepted))
    }

    /// Returns what `parse` makes of a required variable's value.
    ///
    /// # Errors
    /// Returns an error if the variable is not set or `parse` returns `None`.
    pub fn required<T>(
        &self,
        name: &'static str,
        accepted: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        self.parsed(name, accepted, parse)?.ok_or(ConfigError::Missing { name, accepted })
    }

    /// Returns the token in a variable, or `None` if it is not set.
    ///
    /// # Errors
    /// Returns an error, without the value, if it is not a token.
    pub fn token(&self, name: &'static str) -> Result<Option<Secret>, ConfigError> {
        let hidden = || ConfigError::hidden(name, TOKEN_FORM);
        let text = (self.get)(name).map(OsString::into_string).transpose().map_err(|_| hidden())?;
        text.map(|text| Secret::parse(text).ok_or_else(hidden)).transpose()
    }

    /// Returns the token in a required variable.
    ///
    /// # Errors
    /// Returns an error, without the value, if the variable is not set or not a token.
    pub fn required_token(&self, name: &'static str) -> Result<Secret, ConfigError> {
        self.token(name)?.ok_or(ConfigError::Missing { name, accepted: TOKEN_FORM })
    }
}

/// Returns `text` without trailing slashes if it is an absolute `http` or `https` URL without query and credentials.
pub fn base_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?.as_str();
    let fits = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.query().is_none()
        && !uri.host()?.is_empty()
        && !authority.contains('@');
    fits.then(|| text.trim_end_matches('/').to_owned())
}
