//! `mayfly config`: the values in force.

use crate::settings::rows::SETTINGS;
use crate::settings::setting::Setting;
use crate::settings::sources::Values;

/// Returns the values in force as a TOML file that the hub accepts, each line with the value's source. Secrets are left
/// out.
pub fn print(values: &Values) -> String {
    let line = |setting: &Setting| {
        let (text, source) = values.get(setting);
        let name = setting.name;
        match (setting.is_secret, text.is_empty()) {
            (true, true) => format!("# {name} is not set\n"),
            (true, false) => format!("# {name} is set, and not shown ({source})\n"),
            (false, _) => format!("{name} = {} # {source}\n", toml::Value::String(text.to_owned())),
        }
    };
    SETTINGS.iter().map(line).collect()
}
