//! `docs/configuration.md`, generated from the settings table.

use std::fmt::Write;

use crate::settings::rows::SETTINGS;
use crate::settings::setting::{Group, Preset, Setting};

const HEAD: &str = "\
# Configuration

This page is generated from the settings table by `make generate`. Do not edit it by hand.

## Sources

A setting has one name. It is a key of the file (`idle-ttl = \"30m\"`), a flag (`--idle-ttl 30m`) and an environment
variable (`MAYFLY_IDLE_TTL=30m`). A flag overrides the variable, the variable overrides the file, and the file overrides
the default.

- The file is TOML: `mayfly.toml` in the working directory if it exists, or the file that `--config FILE` names.
- A list is one text with commas. The file also accepts an array, and a flag may be repeated.
- A duration is a number with a unit: `500ms`, `30s`, `5m`, `2h`, `7d`; parts add up (`1h 30m`).
- A secret has no flag, because other users of the machine can read command lines.
- `mayfly config` prints every value in force and its source, and never prints a secret.

At start the hub reports all wrong settings together, each with its value, its source and the accepted form, and exits
with 2. Unknown keys, mistyped variables and unknown flags are wrong settings too; the report suggests the closest name.

";

const SAMPLE_HEAD: &str = "\
## Sample file

`deploy/mayfly.toml` is for a hub behind an HTTPS proxy on the same machine. `mayfly config --config deploy/mayfly.toml`
checks it and prints all settings in force.

";

/// A settings file that the hub accepts.
pub const SAMPLE: &str = include_str!("../../../deploy/mayfly.toml");

/// Returns the page.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for group in Group::ALL {
        write_group(&mut page, group);
    }
    page.push_str(SAMPLE_HEAD);
    let _ = writeln!(page, "```toml\n{SAMPLE}```");
    page
}

fn write_group(page: &mut String, group: Group) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "## {}\n", group.title());
    page.push_str("| Setting | Variable | Value | Default | Meaning |\n|---|---|---|---|---|\n");
    for setting in SETTINGS.iter().filter(|setting| setting.group == group) {
        let Setting { variable, form, help, .. } = setting;
        let (name, default) = (name(setting), default(setting));
        let _ = writeln!(page, "| {name} | `{variable}` | {form} | {default} | {help} |");
    }
    page.push('\n');
}

/// The key of the file; a secret has no flag.
fn name(setting: &Setting) -> String {
    let name = setting.name;
    if setting.is_secret { format!("`{name}` (no flag)") } else { format!("`--{name}`") }
}

fn default(setting: &Setting) -> String {
    match setting.preset {
        Preset::Unset => "not set".to_owned(),
        Preset::Text(text) => format!("`{}`", text.replace(',', ", ")),
        Preset::Computed { rule, .. } => rule.to_owned(),
    }
}
