//! The hub's settings: one [`Config`], read from the file, then variables, then flags; a later source overrides.
//!
//! ```text
//!   rows.rs: one row for each setting ---> command line, file, variables   sources.rs, command_line.rs
//!        |                           \---> `mayfly config`, docs           print.rs, document.rs
//!        v
//!   Config: the settings of each owner    edge, identity, agents, platform, sessions, ops
//! ```
//!
//! A value is text until its row parses it. All errors are reported together. Nothing below imports this module: each
//! part has its settings as a type of its own, and the composition (`lib.rs`, `main.rs`) hands them down.

use mayfly_platform::settings::{PlatformKind, PlatformSettings};
use mayfly_session::{Activity, Settings};

use crate::agents::AgentSettings;
use crate::edge::EdgeSettings;
use crate::exit::Rule;
use crate::identity::ClusterSecret;
use crate::ops::OpsSettings;
use crate::sessions::admission::AdmissionSettings;

mod agent_env;
pub mod command_line;
mod credentials;
pub mod document;
pub mod error;
pub mod notice;
mod preset;
pub mod print;
pub mod rows;
pub mod setting;
pub mod sources;
mod value;

pub use error::{SettingError, SettingErrors};
pub use preset::OWN_AGENT;
pub use rows::row;

use rows::SETTINGS;
use setting::{Rejection, Setting};
use sources::Values;

const OPERATOR_KEY: &Setting = row("operator-key");
const TLS_CERT: &Setting = row("tls-cert");
const TLS_KEY: &Setting = row("tls-key");
const STATIC_AGENTS: &Setting = row("static-agents");
const DOCKER_HOST: &Setting = row("docker-host");
const IDLE_TTL: &Setting = row("idle-ttl");

/// The settings of each part of the hub.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Listener, TLS, proxies and origins.
    pub edge: EdgeSettings,
    /// Secret of the cluster; without it, the hub keeps one in its data directory.
    pub secret: Option<ClusterSecret>,
    /// Agents on every platform.
    pub agents: AgentSettings,
    /// Platforms.
    pub platform: PlatformSettings,
    /// Hosts that agents may connect to through the hub.
    pub egress: Vec<Rule>,
    /// Life of a session.
    pub session: Settings,
    /// Number of sessions.
    pub admission: AdmissionSettings,
    /// Data, log and traces.
    pub ops: OpsSettings,
}

impl Config {
    /// Reads every value.
    ///
    /// # Errors
    /// Returns all settings that cannot be used.
    pub fn resolve(values: &Values) -> Result<Self, SettingErrors> {
        let (config, errors) = Self::read(values);
        if errors.is_empty() { Ok(config) } else { Err(SettingErrors(errors)) }
    }

    /// Reads every value. A setting that cannot be used keeps its default and is among the errors.
    pub fn read(values: &Values) -> (Self, Vec<SettingError>) {
        let (mut config, mut errors) = (Self::default(), values.errors());
        for setting in SETTINGS {
            let (text, _) = values.get(setting);
            if let Err(rejection) = (setting.store)(&mut config, text) {
                let (shown, reason) = match rejection {
                    Rejection::Form => (text.to_owned(), None),
                    Rejection::Because(reason) => (text.to_owned(), Some(reason)),
                    Rejection::Redacted { shown, reason } => (shown, Some(reason)),
                };
                errors.push(values.error_showing(setting, shown, reason));
            }
        }
        let is_wrong = |setting: &Setting| errors.iter().any(|error| error.is_about(setting));
        let conflicts: Vec<_> = config
            .conflicts(values)
            .into_iter()
            .filter(|(about, _)| !about.iter().any(|row| is_wrong(row)))
            .collect();
        errors.extend(conflicts.into_iter().map(|(_, error)| error));
        (config, errors)
    }

    /// Returns the settings that do not go with others, each with the settings that the rule is about.
    fn conflicts(&self, values: &Values) -> Vec<(Vec<&'static Setting>, SettingError)> {
        let mut found = Vec::new();
        let missing = |setting: &Setting, reason: &str| SettingError::Missing {
            name: setting.name,
            reason: reason.to_owned(),
            form: setting.form,
        };
        if !self.edge.listen.ip().is_loopback() && self.edge.operator_key.is_none() {
            let reason = "anyone who reaches the hub could start agents; set MAYFLY_OPERATOR_KEY or \
                          --operator-key-file, or listen on 127.0.0.1";
            let about = vec![OPERATOR_KEY, row("operator-key-file"), row("listen")];
            found.push((about, missing(OPERATOR_KEY, reason)));
        }
        if self.edge.tls_cert.is_some() && self.edge.tls_key.is_none() {
            found.push((vec![TLS_CERT, TLS_KEY], missing(TLS_KEY, "--tls-cert needs its private key")));
        }
        if self.edge.tls_key.is_some() && self.edge.tls_cert.is_none() {
            found.push((vec![TLS_CERT, TLS_KEY], missing(TLS_CERT, "--tls-key needs its certificate")));
        }
        if self.platform.kind == PlatformKind::Static && self.platform.static_agents.is_empty() {
            let reason = "--platform static needs the addresses of its agents";
            found.push((vec![STATIC_AGENTS, row("platform")], missing(STATIC_AGENTS, reason)));
        }
        // Without --platform docker nobody uses it, and DOCKER_HOST may name an engine elsewhere.
        if self.platform.kind == PlatformKind::Docker && !self.platform.docker.host.starts_with("unix://") {
            let reason = "agents share a directory with the hub, so the engine must be on this machine";
            found.push((vec![DOCKER_HOST, row("platform")], values.error(DOCKER_HOST, reason)));
        }
        let Settings { idle_ttl, heartbeat, activity, .. } = self.session;
        if activity == Activity::Heartbeat && idle_ttl < heartbeat * 2 {
            let least = humantime::format_duration(heartbeat * 2);
            let reason =
                format!("with --activity heartbeat it must be at least twice --heartbeat, so {least}");
            let about = vec![IDLE_TTL, row("heartbeat"), row("activity")];
            found.push((about, values.error(IDLE_TTL, reason)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::settings::setting::{Group, Preset};

    /// Stores the defaults that are the same on every machine.
    fn presets() -> Config {
        let mut config = Config::default();
        for setting in SETTINGS {
            if let Preset::Text(text) = setting.preset {
                (setting.store)(&mut config, text).unwrap_or_else(|_| panic!("{}", setting.name));
            }
        }
        config
    }

    #[test]
    fn the_rows_have_the_defaults_of_their_owners() {
        let (rows, owners) = (presets(), Config::default());
        assert_eq!(rows.session, owners.session);
        assert_eq!(format!("{:?}", rows.edge), format!("{:?}", owners.edge));
        assert_eq!(format!("{:?}", rows.admission), format!("{:?}", owners.admission));
        assert_eq!(format!("{:?}", rows.ops), format!("{:?}", owners.ops));
    }

    #[test]
    fn computed_defaults_are_accepted() {
        let mut config = Config::default();
        for setting in SETTINGS.iter().filter(|setting| setting.name != "data-dir") {
            (setting.store)(&mut config, &setting.preset_text())
                .unwrap_or_else(|_| panic!("{}", setting.name));
        }
        assert_eq!(config.platform.agent_command, ["/proc/self/exe", "agent"]);
    }

    #[test]
    fn names_and_variables_are_unique_and_alike() {
        let names: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), SETTINGS.len());
        for setting in SETTINGS.iter().filter(|setting| setting.name != "otlp-endpoint") {
            let variable = format!("MAYFLY_{}", setting.name.replace('-', "_").to_uppercase());
            assert_eq!(setting.variable, variable);
        }
    }

    #[test]
    fn rows_are_in_the_order_of_their_groups() {
        let place = |setting: &Setting| Group::ALL.iter().position(|group| *group == setting.group);
        assert!(SETTINGS.is_sorted_by_key(place));
    }

    #[test]
    fn help_is_one_sentence_without_a_period() {
        for Setting { name, help, form, .. } in SETTINGS {
            assert!(!help.ends_with('.') && !form.ends_with('.') && !help.contains(". "), "{name}");
            assert!(help.starts_with(char::is_uppercase) && !form.is_empty(), "{name}");
        }
    }
}
