//! The type of a row in the settings table, and the groups in which rows are shown.

use crate::settings::Config;

/// One setting. Its key in the file is `NAME`, its flag `--NAME`.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// The environment variable that sets it.
    pub variable: &'static str,
    /// The group in which `--help` and `docs/configuration.md` show it.
    pub group: Group,
    /// The effect of the setting, in one sentence without a period.
    pub help: &'static str,
    /// The placeholder of its value in `--help`.
    pub placeholder: &'static str,
    /// The accepted form of its value.
    pub form: &'static str,
    /// Its value when nothing sets it.
    pub preset: Preset,
    /// `true` if its value is never shown. A secret has no flag, because other users can read command lines.
    pub is_secret: bool,
    /// Parses a value's text and stores the value in its owner's settings.
    pub store: fn(&mut Config, &str) -> Result<(), Rejection>,
}

/// A setting's value when nothing sets it.
#[derive(Debug, Clone, Copy)]
pub enum Preset {
    /// No value; the text is empty.
    Unset,
    /// This text on every machine.
    Text(&'static str),
    /// A text that depends on the machine.
    Computed {
        /// The rule, for `--help` and the documentation.
        rule: &'static str,
        /// Returns the text on this machine.
        text: fn() -> String,
    },
}

/// Error returned by [`Setting::store`] for a text that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The text does not have the accepted form.
    Form,
    /// The text has the accepted form and cannot be used.
    Because(String),
    /// As [`Rejection::Because`], for a text that may hold a secret.
    Redacted {
        /// The part of the text that may be shown.
        shown: String,
        /// The reason why it cannot be used.
        reason: String,
    },
}

/// Settings that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Where the hub listens, and what stands before it.
    Connections,
    /// Keys and the secret of tokens.
    Credentials,
    /// Settings of all platforms.
    Agents,
    /// Platform `process`.
    Process,
    /// Platform `docker`.
    Docker,
    /// Platform `static`.
    Static,
    /// The life of one session.
    Sessions,
    /// Bounds on the number of sessions.
    Capacity,
    /// Data, log and traces.
    Operations,
}

impl Group {
    /// All groups, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Connections,
        Self::Credentials,
        Self::Agents,
        Self::Process,
        Self::Docker,
        Self::Static,
        Self::Sessions,
        Self::Capacity,
        Self::Operations,
    ];

    /// The group's heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Connections => "Connections",
            Self::Credentials => "Keys and secrets",
            Self::Agents => "Agents",
            Self::Process => "Agents as processes (--platform process)",
            Self::Docker => "Agents as containers (--platform docker)",
            Self::Static => "Agents that already run (--platform static)",
            Self::Sessions => "Life of a session",
            Self::Capacity => "Number of sessions",
            Self::Operations => "Data, log and traces",
        }
    }
}

impl Setting {
    /// Returns the text that is in force when nothing sets it.
    pub fn preset_text(&self) -> String {
        match self.preset {
            Preset::Unset => String::new(),
            Preset::Text(text) => text.to_owned(),
            Preset::Computed { text, .. } => text(),
        }
    }

    /// Returns the default in words that are true on every machine; `None` if there is no default.
    pub fn default_rule(&self) -> Option<&'static str> {
        match self.preset {
            Preset::Unset => None,
            Preset::Text(text) => Some(text),
            Preset::Computed { rule, .. } => Some(rule),
        }
    }
}
