//! The command line as people have it: what is in force, and how a bad value is refused.

use std::fs;
use std::process::{Command, Output};

use mayfly::settings::document;

use crate::MAYFLY;

/// Runs `mayfly` in a directory of its own, with this `mayfly.toml` if any, and these variables and nothing else.
fn mayfly(file: Option<&str>, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    if let Some(text) = file {
        fs::write(directory.path().join("mayfly.toml"), text).unwrap();
    }
    let mut command = Command::new(MAYFLY);
    command.args(arguments).current_dir(directory.path()).env_clear().env("HOME", "/home/somebody");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn printed(file: Option<&str>, variables: &[(&str, &str)], flags: &[&str]) -> String {
    let output = mayfly(file, variables, &[&["config"], flags].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(file: Option<&str>, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = mayfly(file, variables, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn defaults_are_in_force_when_nothing_is_set() {
    let config = printed(None, &[], &[]);
    for line in [
        "listen = \"127.0.0.1:8080\" # default",
        "platform = \"process\" # default",
        "agent-command = \"/proc/self/exe agent\" # default",
        "sandbox = \"auto\" # default",
        "agent-paths = \"\" # default",
        "agent-network = \"none\" # default",
        "spawn-timeout = \"1m\" # default",
        "idle-ttl = \"30m\" # default",
        "max-ttl = \"2h\" # default",
        "warning = \"30s\" # default",
        "grace = \"20s\" # default",
        "linger = \"0s\" # default",
        "heartbeat = \"15s\" # default",
        "activity = \"heartbeat\" # default",
        "max-sessions = \"100\" # default",
        "data-dir = \"/home/somebody/.local/share/mayfly\" # default",
        "log = \"json\" # default",
    ] {
        assert!(config.contains(line), "{line} is not in\n{config}");
    }
    let xdg = printed(None, &[("XDG_DATA_HOME", "/data")], &[]);
    assert!(xdg.contains("data-dir = \"/data/mayfly\" # default"), "{xdg}");
}

#[test]
fn agents_receive_listed_variables_and_values_are_not_shown() {
    let key = ("ANTHROPIC_API_KEY", "sk-hush");
    let config = printed(None, &[key], &["--agent-env", "ANTHROPIC_API_KEY"]);
    assert!(config.contains("agent-env = \"ANTHROPIC_API_KEY\" # flag"), "{config}");
    assert!(!config.contains("hush"), "{config}");
    for names in ["OPENAI_API_KEY", "MAYFLY_TOKEN", "ANTHROPIC_API_KEY=sk-hush"] {
        let said = refused(None, &[key], &["config", "--agent-env", names]);
        let expected = "mayfly: agent-env = \"";
        assert!(said.starts_with(expected) && said.contains("names of variables that are set"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
    for (names, told) in [
        ("ANTHROPIC_API_KEY,OPENAI_API_KEY", "OPENAI_API_KEY"),
        ("ANTHROPIC_API_KEY,MODEL=hush,hush=hush,hush", "MODEL=\u{2026}"),
        ("ANTHROPIC_API_KEY=hush,hush", "ANTHROPIC_API_KEY=\u{2026}"),
    ] {
        let said = refused(None, &[key], &["config", "--agent-env", names]);
        assert!(said.starts_with(&format!("mayfly: agent-env = \"{told}\" (")), "{said}");
    }
    let said = refused(None, &[key], &["serve", "--agent-env", "OPENAI_API_KEY"]);
    assert!(said.contains("OPENAI_API_KEY is not set; expected names of variables"), "{said}");
}

#[test]
fn flags_override_variables_and_variables_override_the_file() {
    let file = Some("max-sessions = 1\nspawn-timeout = \"1m\"\nlog = \"pretty\"");
    let variables = [("MAYFLY_MAX_SESSIONS", "2"), ("MAYFLY_SPAWN_TIMEOUT", "2m")];
    let config = printed(file, &variables, &["--max-sessions", "3"]);
    assert!(config.contains("max-sessions = \"3\" # flag"), "{config}");
    assert!(config.contains("spawn-timeout = \"2m\" # MAYFLY_SPAWN_TIMEOUT"), "{config}");
    assert!(config.contains("log = \"pretty\" # mayfly.toml"), "{config}");
}

#[test]
fn lists_are_accepted_from_every_source() {
    let origins = "allow-origin = \"https://a.example,https://b.example:8443\"";
    let flags = ["--allow-origin", "https://a.example", "--allow-origin", "https://b.example:8443"];
    assert!(printed(None, &[], &flags).contains(origins));
    let file = Some("allow-origin = [\"https://a.example\", \"https://b.example:8443\"]");
    assert!(printed(file, &[], &[]).contains(origins));
    let variables = [("MAYFLY_ALLOW_ORIGIN", "https://a.example,https://b.example:8443")];
    assert!(printed(None, &variables, &[]).contains(origins));
}

#[test]
fn printed_settings_are_a_file_that_the_hub_accepts() {
    let first = printed(None, &[], &["--listen", "[::1]:9000", "--agent-command", "my-agent --model 'a b'"]);
    let again = printed(Some(&first), &[], &[]);
    let values = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.split_once(" # ")?.0.to_owned())).collect()
    };
    assert_eq!(values(&first), values(&again));
    assert!(again.contains("my-agent --model 'a b'"), "{again}");
}

#[test]
fn a_secret_is_not_printed_and_has_no_flag() {
    let config = printed(None, &[("MAYFLY_AGENT_TOKEN", "hunter2")], &[]);
    assert!(config.contains("# agent-token is set, and not shown (MAYFLY_AGENT_TOKEN)"), "{config}");
    assert!(!config.contains("hunter2"));
    let told = refused(None, &[], &["config", "--agent-token", "hunter2"]);
    assert!(told.contains("unexpected argument"), "{told}");
}

#[test]
fn idle_ttl_is_at_least_twice_the_heartbeat_where_heartbeats_count() {
    let flags = |activity| ["serve", "--idle-ttl", "29s", "--heartbeat", "15s", "--activity", activity];
    let told = refused(None, &[], &flags("heartbeat"));
    let expected = "idle-ttl = \"29s\" (from flag): with --activity heartbeat it must be at least twice --heartbeat, so 30s";
    assert!(told.contains(expected), "{told}");
    printed(None, &[], &flags("message")[1..]);
    printed(None, &[], &["--idle-ttl", "30s", "--heartbeat", "15s"]);
}

#[test]
fn a_wrong_value_is_reported_with_its_source_and_the_accepted_form() {
    for (key, value, accepted) in [
        ("platform", "podman", "process, docker or static"),
        ("agent-memory", "15MiB", "a size from 16MiB"),
        ("agent-memory", "1 TB", "a size from 16MiB"),
        ("agent-cpus", "none", "a number from 0.01"),
        ("agent-cpus", "NaN", "a number from 0.01"),
        ("docker-network", "host", "none or bridge"),
        ("docker-data-dir", "data", "an absolute path"),
        ("egress-allow", "example.org", "a list of HOST:PORT or *.DOMAIN:PORT"),
        ("egress-allow", "169.254.169.254:80", "a list of HOST:PORT"),
        ("listen", "example.org:80", "ADDRESS:PORT, localhost:PORT, or PORT"),
        ("trusted-proxies", "10.0.0.0/33", "a list of addresses or networks"),
        ("agent-command", "'", "a program and its arguments"),
        ("sandbox", "docker", "auto, bwrap or none"),
        ("agent-paths", "models", "a list of absolute paths"),
        ("agent-network", "bridge", "none or host"),
        ("static-agents", "localhost", "a list of unix:PATH or http://HOST:PORT"),
        ("spawn-timeout", "soon", "a duration from 1s to 1h"),
        ("spawn-timeout", "0s", "a duration from 1s to 1h"),
        ("idle-ttl", "0s", "a duration from 1s to 7d"),
        ("max-ttl", "8d", "a duration from 1s to 7d"),
        ("warning", "61m", "a duration from 0s to 1h"),
        ("grace", "20", "a duration from 0s to 1h"),
        ("linger", "for ever", "a duration from 0s to 1h"),
        ("heartbeat", "0s", "a duration from 1s to 1h"),
        ("activity", "breathing", "heartbeat or message"),
        ("max-sessions", "0", "a whole number from 1 to 100000"),
        ("max-sessions", "many", "a whole number from 1 to 100000"),
        ("allow-origin", "chat.example", "a list of origins"),
        ("allow-origin", "https://chat.example/", "a list of origins"),
        ("allow-origin", "*", "a list of origins"),
        ("log", "xml", "json or pretty"),
    ] {
        let flag = format!("--{key}");
        let by_flag = refused(None, &[], &["serve", &flag, value]);
        let file = format!("{key} = \"{value}\"");
        let by_file = refused(Some(&file), &[], &["config"]);
        for (told, source) in [(by_flag, "flag"), (by_file, "mayfly.toml")] {
            let expected = format!("{key} = \"{value}\" (from {source}): expected {accepted}");
            assert!(told.contains(&expected), "{expected} is not in\n{told}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_used_is_reported() {
    let told = refused(Some("max-session = 3"), &[], &["config"]);
    assert!(told.contains("mayfly.toml: unknown key \"max-session\"; did you mean max-sessions?"), "{told}");
    assert!(refused(Some("max-sessions ="), &[], &["config"]).contains("mayfly.toml"));
    assert!(refused(None, &[], &["config", "--config", "missing.toml"]).contains("missing.toml"));
    let other = refused(Some("colour = \"red\""), &[], &["config"]);
    assert!(other.contains("unknown key \"colour\"; `mayfly config` prints all keys"), "{other}");
    let elsewhere = [("DOCKER_HOST", "tcp://127.0.0.1:2375")];
    printed(None, &elsewhere, &[]);
    let told = refused(None, &elsewhere, &["serve", "--platform", "docker"]);
    assert!(told.contains("docker-host = \"tcp://127.0.0.1:2375\" (from default): agents share"), "{told}");
    let lonely = refused(None, &[], &["serve", "--platform", "static"]);
    assert!(lonely.contains("static-agents is not set"), "{lonely}");
}

#[test]
fn beyond_loopback_nothing_listens_without_a_key() {
    let told = refused(None, &[], &["serve", "--listen", "0.0.0.0:0"]);
    assert!(
        told.contains("operator-key is not set: anyone who reaches the hub could start agents"),
        "{told}"
    );
    let key = "sixteen-letters!";
    printed(None, &[("MAYFLY_OPERATOR_KEY", key)], &["--listen", "0.0.0.0:0"]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let flags = ["--listen", "[::]:0", "--operator-key-file", path.to_str().unwrap()];
    let told = refused(None, &[], &[&["config"], &flags[..]].concat());
    assert!(told.contains("the file cannot be read: No such file"), "{told}");
    fs::write(&path, "short\n").unwrap();
    let told = refused(None, &[], &[&["config"], &flags[..]].concat());
    assert!(
        told.contains("the file does not hold such a key; expected the path of a file")
            && !told.contains("short"),
        "{told}"
    );
    fs::write(&path, format!("{key}\n")).unwrap();
    assert!(!printed(None, &[], &flags).contains(key));
}

#[test]
fn a_secret_is_never_shown_and_never_a_flag() {
    for (variable, flag) in [("MAYFLY_OPERATOR_KEY", "--operator-key"), ("MAYFLY_SECRET", "--secret")] {
        let told = refused(None, &[(variable, "too-short")], &["config"]);
        assert!(told.contains("= \"…\" (from MAYFLY_") && !told.contains("too-short"), "{told}");
        let long = "x".repeat(40);
        let config = printed(None, &[(variable, &long)], &[]);
        assert!(config.contains("is set, and not shown") && !config.contains(&long), "{config}");
        assert!(refused(None, &[], &["config", flag, &long]).contains("unexpected argument"));
    }
}

#[test]
fn all_wrong_settings_are_reported_together() {
    let file = Some("log = \"xml\"\nidle_ttl = \"30m\"");
    let variables = [("MAYFLY_GRACE", "soon"), ("MAYFLY_MAX_SESSION", "3"), ("MAYFLY_SECRET", "hush")];
    let flags = ["serve", "--wait", "2h", "--agent-command", "no-such-agent", "--tls-cert", "missing.pem"];
    let files = ["--tls-key", "missing.key", "--data-dir", "/dev/null/data"];
    let told = refused(file, &variables, &[&flags[..], &files].concat());
    for expected in [
        "log = \"xml\" (from mayfly.toml): expected json or pretty",
        "unknown key \"idle_ttl\"; did you mean idle-ttl?",
        "grace = \"soon\" (from MAYFLY_GRACE): expected a duration from 0s to 1h",
        "unknown variable MAYFLY_MAX_SESSION; did you mean MAYFLY_MAX_SESSIONS?",
        "secret = \"…\" (from MAYFLY_SECRET): expected 32 characters or more",
        "wait = \"2h\" (from flag): expected a duration from 0s to 1h",
        "agent-command = \"no-such-agent\" (from flag): there is no program no-such-agent on PATH",
        "tls-cert = \"missing.pem\" (from flag): cannot read missing.pem: No such file",
        "data-dir = \"/dev/null/data\" (from flag): cannot use /dev/null/data: Not a directory",
    ] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    assert_eq!(told.lines().count(), 9, "{told}");
    assert!(!told.contains("hush"));
}

#[test]
fn a_data_directory_that_cannot_be_used_is_a_wrong_setting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "").unwrap();
    let told = refused(None, &[], &["serve", "--data-dir", path.to_str().unwrap()]);
    assert!(told.contains("data-dir = \"") && told.contains("cannot use"), "{told}");
    let nowhere = refused(None, &[("HOME", "relative")], &["serve"]);
    assert!(
        nowhere.contains("data-dir = \"\" (from default): expected the path of a directory"),
        "{nowhere}"
    );
}

#[test]
fn an_address_that_this_machine_does_not_have_is_a_wrong_setting() {
    let directory = tempfile::tempdir().unwrap();
    let data = ["--data-dir", directory.path().to_str().unwrap()];
    let flags = ["serve", "--listen", "192.0.2.1:8080"];
    let key = [("MAYFLY_OPERATOR_KEY", "sixteen-letters!")];
    let told = refused(None, &key, &[&flags[..], &data].concat());
    assert!(told.contains("listen = \"192.0.2.1:8080\" (from flag): the hub cannot listen there"), "{told}");
}

#[test]
fn help_shows_groups_forms_defaults_and_examples() {
    let help = |flag| String::from_utf8(mayfly(None, &[], &["serve", flag]).stdout).unwrap();
    for text in [help("-h"), help("--help")] {
        for part in [
            "Life of a session:",
            "--idle-ttl <DURATION>",
            "Idle time after which a session ends",
            "[default: 30m]",
            "Examples:",
            "mayfly serve --agent-env OPENAI_API_KEY",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
    let long = help("--help");
    assert!(long.contains("Value: a duration from 1s to 7d, such as 30m"), "{long}");
    assert!(long.contains("Variable: MAYFLY_IDLE_TTL"), "{long}");
}

#[test]
fn an_unknown_flag_gets_a_suggestion() {
    let told = refused(None, &[], &["serve", "--max-session", "3"]);
    assert!(told.contains("--max-sessions"), "{told}");
}

#[test]
fn completions_and_the_manual_page_name_every_flag() {
    for arguments in
        [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["man"]]
    {
        let output = mayfly(None, &[], arguments);
        assert!(output.status.success(), "{arguments:?}");
        let text = String::from_utf8(output.stdout).unwrap().replace("\\-", "-");
        for name in ["idle-ttl", "agent-command", "log"] {
            assert!(text.contains(name), "{name} is missing from {arguments:?}");
        }
    }
}

#[test]
fn the_configuration_page_is_generated() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(page == document::markdown(), "docs/configuration.md is out of date: run `make generate`");
}

#[test]
fn the_sample_file_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, "sixteen-letters!").unwrap();
    let sample = document::SAMPLE.replace("/etc/mayfly/operator.key", path.to_str().unwrap());
    let config = printed(Some(&sample), &[], &[]);
    assert!(config.contains("activity = \"message\" # mayfly.toml"), "{config}");
}
