//! Sources of values: the command line and the environment (clap), the file (TOML), and defaults.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::settings::agent_env::WIRE;
use crate::settings::error::{SettingError, Source};
use crate::settings::rows::{SETTINGS, row};
use crate::settings::setting::Setting;

/// The setting that lists the variables of agents.
const AGENT_ENV: &Setting = row("agent-env");
/// The file that is read if it exists and no other is named.
pub(super) const FILE: &str = "mayfly.toml";
/// Prefix of the hub's variables. Others use it too: agents, and Kubernetes for a service named `mayfly`.
const PREFIX: &str = "MAYFLY_";
/// Names that are less similar (Jaro-Winkler) are not suggested.
const SUGGESTION_MIN: f64 = 0.8;
/// A variable within so many edits of a setting's variable is taken for a mistyped one.
const TYPO_EDITS: usize = 2;
/// Variables with a shorter name after the prefix are never taken for mistyped ones: too many of them are alike.
const TYPO_MIN_CHARS: usize = 8;

/// The text of each setting with its source, and the errors of the sources themselves.
#[derive(Debug, Clone)]
pub struct Values {
    texts: BTreeMap<&'static str, (String, Source)>,
    errors: Vec<SettingError>,
}

impl Values {
    /// Collects all values in force, and every error of the sources.
    pub fn gather(matches: &ArgMatches) -> Self {
        let mut errors = Vec::new();
        let file = read_file(matches.get_one::<PathBuf>("config").map(PathBuf::as_path), &mut errors);
        let value = |setting: &Setting| {
            from_arguments(matches, setting)
                .or_else(|| secret_from_environment(setting))
                .or_else(|| file.get(setting.name).cloned())
                .unwrap_or_else(|| (setting.preset_text(), Source::Default))
        };
        let texts: BTreeMap<_, _> = SETTINGS.iter().map(|setting| (setting.name, value(setting))).collect();
        let passed = texts.get(AGENT_ENV.name).map(|(names, _)| names.as_str()).unwrap_or_default();
        let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        errors.extend(mistyped_variables(names, passed));
        Self { texts, errors }
    }

    /// Returns a setting's text and source.
    pub fn get(&self, setting: &Setting) -> (&str, &Source) {
        match self.texts.get(setting.name) {
            Some((text, source)) => (text, source),
            None => ("", &Source::Default),
        }
    }

    /// Returns the errors of the sources.
    pub(super) fn errors(&self) -> Vec<SettingError> {
        self.errors.clone()
    }

    /// Returns the error that a setting's value cannot be used for this reason.
    pub fn error(&self, setting: &Setting, reason: impl Into<String>) -> SettingError {
        let (text, _) = self.get(setting);
        self.error_showing(setting, text.to_owned(), Some(reason.into()))
    }

    pub(super) fn error_showing(
        &self,
        setting: &Setting,
        shown: String,
        reason: Option<String>,
    ) -> SettingError {
        SettingError::Value {
            name: setting.name,
            value: if setting.is_secret { "…".to_owned() } else { shown },
            source_: self.get(setting).1.clone(),
            reason,
            form: setting.form,
        }
    }
}

/// Returns the variables that name no setting and differ little from one that does. Those of `passed`, a list, are agents'.
fn mistyped_variables(names: impl Iterator<Item = String>, passed: &str) -> Vec<SettingError> {
    let unknown = names.filter(|name| {
        name.strip_prefix(PREFIX).is_some_and(|rest| rest.len() >= TYPO_MIN_CHARS)
            && !passed.split(',').any(|passed| passed.trim() == name)
            && !WIRE.contains(&name.as_str())
            && !SETTINGS.iter().any(|setting| setting.variable == name)
    });
    let error = |variable: String| {
        let edits = |setting: &Setting| strsim::damerau_levenshtein(setting.variable, &variable);
        let (edits, suggestion) = SETTINGS.iter().map(|row| (edits(row), row.variable)).min()?;
        (edits <= TYPO_EDITS).then_some(SettingError::UnknownVariable { variable, suggestion })
    };
    unknown.filter_map(error).collect()
}

/// Returns the setting whose name is most similar to `key`.
fn suggestion(key: &str) -> Option<&'static str> {
    let similarity = |setting: &Setting| (strsim::jaro_winkler(setting.name, key), setting.name);
    let best = SETTINGS.iter().map(similarity).max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    Some(best).filter(|(similarity, _)| *similarity >= SUGGESTION_MIN).map(|(_, name)| name)
}

/// Returns a value of the command line or of a variable. A flag that is given more than once is a list.
fn from_arguments(matches: &ArgMatches, setting: &Setting) -> Option<(String, Source)> {
    let texts = matches.try_get_many::<String>(setting.name).ok()??;
    let text = texts.map(String::as_str).collect::<Vec<_>>().join(",");
    let is_variable = matches.value_source(setting.name) == Some(ValueSource::EnvVariable);
    let source = if is_variable { Source::Environment(setting.variable) } else { Source::Flag };
    Some((text, source))
}

fn secret_from_environment(setting: &Setting) -> Option<(String, Source)> {
    let text = env::var(setting.variable).ok().filter(|_| setting.is_secret)?;
    Some((text, Source::Environment(setting.variable)))
}

fn read_file(named: Option<&Path>, errors: &mut Vec<SettingError>) -> BTreeMap<String, (String, Source)> {
    let path = named.unwrap_or(Path::new(FILE));
    let mut values = BTreeMap::new();
    let table = match fs::read_to_string(path) {
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return values,
        Err(error) => Err(error.to_string()),
        Ok(text) => text.parse::<toml::Table>().map_err(|error| error.to_string()),
    };
    let table = match table {
        Ok(table) => table,
        Err(cause) => {
            errors.push(SettingError::File { path: path.to_owned(), cause });
            return values;
        }
    };
    for (key, value) in table {
        if SETTINGS.iter().any(|setting| setting.name == key) {
            values.insert(key, (as_text(&value), Source::File(path.to_owned())));
        } else {
            let suggestion = suggestion(&key);
            errors.push(SettingError::UnknownKey { path: path.to_owned(), key, suggestion });
        }
    }
    values
}

/// Returns a value of the file as the text that a flag would have. A list is joined with commas.
fn as_text(value: &toml::Value) -> String {
    match (value.as_str(), value.as_array()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(items)) => items.iter().map(as_text).collect::<Vec<_>>().join(","),
        (None, None) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistyped(names: &[&str]) -> Vec<String> {
        let errors =
            mistyped_variables(names.iter().map(|name| (*name).to_owned()), "KEY, MAYFLY_MAX_SESSIOS");
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_mistyped_variable_gets_a_suggestion() {
        let told = mistyped(&["MAYFLY_IDLE_TLL", "MAYFLY_MAX_SESSION", "MAYFLY_MAX_SESSIONS"]);
        let expected = [
            "unknown variable MAYFLY_IDLE_TLL; did you mean MAYFLY_IDLE_TTL?",
            "unknown variable MAYFLY_MAX_SESSION; did you mean MAYFLY_MAX_SESSIONS?",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn variables_of_agents_and_of_kubernetes_are_no_typos() {
        let others = [
            "MAYFLY_TAG",
            "MAYFLY_LANG",
            "MAYFLY_MAX_SESSIOS",
            "MAYFLY_SESSION",
            "MAYFLY_TOKEN",
            "MAYFLY_WEATHER_URL",
            "MAYFLY_BIN",
            "MAYFLY_PORT",
            "MAYFLY_PORT_8080_TCP",
            "MAYFLY_SERVICE_HOST",
            "MAYFLY_SERVICE_PORT",
        ];
        assert_eq!(mistyped(&others), Vec::<String>::new());
    }

    #[test]
    fn a_key_like_a_setting_is_suggested() {
        assert_eq!(suggestion("idle_ttl"), Some("idle-ttl"));
        assert_eq!(suggestion("max-session"), Some("max-sessions"));
        assert_eq!(suggestion("port"), None);
    }
}
