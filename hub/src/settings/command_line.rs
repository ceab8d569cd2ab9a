//! The command line: commands and flags. Completions and the man page are generated from it.

use std::io;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::settings::rows::SETTINGS;
use crate::settings::setting::Setting;
use crate::settings::sources::FILE;

const EXAMPLES: &str = "\
Examples:
  Serve on this machine, with the model that OPENAI_API_KEY opens:
    mayfly serve --agent-env OPENAI_API_KEY --egress-allow api.openai.com:443
  Serve a network over HTTPS, with containers as agents:
    MAYFLY_OPERATOR_KEY=... mayfly serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem --platform docker";

const SERVE_MORE: &str = "\
Secrets have no flag: MAYFLY_OPERATOR_KEY, MAYFLY_SECRET and MAYFLY_AGENT_TOKEN set them.
Flags override variables, variables override the file. `mayfly config` prints the values in force.

Exit codes:
  0  the hub was told to stop, and every turn was finished
  1  the hub could not start or serve, for example because the port is in use
  2  a setting is wrong
  3  the hub was told to stop, and cut turns short or left agents";

/// Returns the definition of the command line.
pub fn command() -> Command {
    Command::new("mayfly")
        .about("A WebSocket hub for ephemeral AI agents")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(EXAMPLES)
        .subcommand(
            Command::new("serve")
                .about("Serve the chat page, WebSockets and the REST API")
                .args(args())
                .after_help(EXAMPLES)
                .after_long_help(format!("{EXAMPLES}\n\n{SERVE_MORE}")),
        )
        .subcommand(
            Command::new("config").about("Print the settings in force and their sources").args(args()).arg(
                Arg::new("markdown")
                    .long("markdown")
                    .action(ArgAction::SetTrue)
                    .help("Print docs/configuration.md instead"),
            ),
        )
        .subcommand(
            Command::new("agent")
                .about("Run the agent that ships with Mayfly; the hub starts it for each session")
                .disable_help_flag(true)
                .arg(
                    Arg::new("arguments")
                        .num_args(0..)
                        .trailing_var_arg(true)
                        .allow_hyphen_values(true)
                        .value_parser(clap::value_parser!(std::ffi::OsString)),
                ),
        )
        .subcommand(
            Command::new("completions")
                .about("Print a script that completes this command line in a shell")
                .arg(Arg::new("shell").required(true).value_parser(clap::value_parser!(Shell))),
        )
        .subcommand(Command::new("man").about("Print the manual page in roff"))
}

/// Returns the flags of all settings, each with its variable, and `--config`.
pub fn args() -> Vec<Arg> {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help(format!("Settings file [default: {FILE} if it exists]"));
    let flags = SETTINGS.iter().filter(|setting| !setting.is_secret).map(flag);
    std::iter::once(config).chain(flags).collect()
}

fn flag(setting: &Setting) -> Arg {
    let Setting { name, variable, help, form, .. } = *setting;
    let help = match setting.default_rule() {
        Some(default) => format!("{help} [default: {default}]"),
        None => help.to_owned(),
    };
    Arg::new(name)
        .long(name)
        .env(variable)
        .hide_env(true)
        .value_name(setting.placeholder)
        .action(ArgAction::Append)
        .help_heading(setting.group.title())
        .long_help(format!("{help}\nValue: {form}\nVariable: {variable}"))
        .help(help)
}

/// Writes a script that completes the command line in `shell`.
pub fn write_completions(shell: Shell, out: &mut impl io::Write) {
    clap_complete::generate(shell, &mut command(), "mayfly", out);
}

/// Writes the manual page: the commands, then the flags of `serve`.
///
/// # Errors
/// Returns an error if `out` cannot be written.
pub fn write_man(out: &mut impl io::Write) -> io::Result<()> {
    let page = Man::new(command());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_subcommands_section(out)?;
    let serve = command().find_subcommand("serve").cloned().unwrap_or_default();
    let serve = Man::new(serve.disable_help_flag(true));
    serve.render_options_section(out)?;
    serve.render_extra_section(out)?;
    page.render_version_section(out)
}
