//! The configured MCP servers: read from the environment, checked at start.
//!
//! `MCP_SERVERS` contains JSON in the form that most MCP clients use, or the absolute path of a file with it:
//!
//! ```json
//! { "mcpServers": {
//!     "files": { "command": "/usr/local/bin/mcp-files", "args": ["/data"], "env": { "LANG": "C.UTF-8" } },
//!     "search": { "url": "https://search.example/mcp", "headers": { "Authorization": "Bearer …" } } } }
//! ```
//!
//! No error and no log shows values from there, as they may be credentials.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use axum::http::{HeaderName, HeaderValue, Uri};
use serde_json::{Map, Value};

use crate::environment::{ConfigError, Environment};
use crate::limits::{MCP_CONFIG_MAX_BYTES, MCP_NAME_MAX_BYTES, MCP_SERVERS_MAX};

/// Variable with the MCP servers.
pub const ENV_SERVERS: &str = "MCP_SERVERS";

const ACCEPTED: &str = "{\"mcpServers\": {NAME: {\"command\": …, \"args\": […], \"env\": {…}, \"cwd\": …} or {\"url\": …, \
                        \"headers\": {…}}, …}}, the absolute path of a file with that, or to be absent";

/// A configured server.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The server's name; a prefix of its tools' names.
    pub name: String,
    /// The transport to the server.
    pub transport: Transport,
}

/// The transport to a server.
#[derive(Clone, PartialEq, Eq)]
pub enum Transport {
    /// A program that reads and writes lines.
    Program(Program),
    /// A service over HTTP (MCP's "Streamable HTTP").
    Service(Service),
}

/// A program that is an MCP server.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// The program's path or name.
    pub command: String,
    /// The arguments.
    pub args: Vec<String>,
    /// The whole environment; a default `PATH` is added if it has none.
    pub env: BTreeMap<String, String>,
    /// The working directory; the agent's by default.
    pub cwd: Option<PathBuf>,
}

/// A service that is an MCP server.
#[derive(Clone, PartialEq, Eq)]
pub struct Service {
    /// An absolute `http` or `https` URL.
    pub url: String,
    /// Headers of every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerConfig").field(&self.name).finish()
    }
}

/// Reads the environment.
///
/// # Errors
/// Returns an error, without the variable's value, if it does not describe MCP servers.
pub fn read<G>(env: &Environment<G>) -> Result<Vec<ServerConfig>, ConfigError>
where
    G: Fn(&'static str) -> Option<OsString>,
{
    let unusable = |reason: String| ConfigError::Invalid {
        name: ENV_SERVERS,
        value: format!("not usable ({reason})"),
        accepted: ACCEPTED,
    };
    let Some(text) = env.nonempty(ENV_SERVERS)? else { return Ok(Vec::new()) };
    let text = if Path::new(&text).is_absolute() { read_file(&text).map_err(unusable)? } else { text };
    parse(&text).map_err(unusable)
}

fn read_file(path: &str) -> Result<String, String> {
    let unreadable = |error| format!("the file cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(MCP_CONFIG_MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn parse(text: &str) -> Result<Vec<ServerConfig>, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| {
        format!("it is not valid JSON at line {}, column {}", error.line(), error.column())
    })?;
    let mut json = object(json, || "it is not an object".to_owned())?;
    let servers = json.remove("mcpServers").ok_or("mcpServers is missing")?;
    if let Some(key) = json.keys().next() {
        return Err(format!("{key:?} is unknown"));
    }
    let servers = object(servers, || "mcpServers is not an object".to_owned())?;
    if servers.len() > MCP_SERVERS_MAX {
        return Err(format!("there are more than {MCP_SERVERS_MAX} servers"));
    }
    servers.into_iter().map(|(name, entry)| server(name, entry)).collect()
}

fn server(name: String, entry: Value) -> Result<ServerConfig, String> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let fits = (1..=MCP_NAME_MAX_BYTES).contains(&name.len()) && name.bytes().all(is_letter);
    if !fits || name.contains("__") {
        let most = MCP_NAME_MAX_BYTES;
        return Err(format!(
            "{name:?} is not a valid name: it must have 1 to {most} letters, digits, hyphens and single underscores"
        ));
    }
    let what = |problem: &str| format!("the server {name:?} {problem}");
    let mut entry = Entry { fields: object(entry, || what("is not an object"))? };
    let kind = entry.text("type").map_err(|why| what(&why))?;
    let transport = (|| match (entry.text("command")?, entry.text("url")?) {
        (Some(command), None) if !command.is_empty() => Ok(Transport::Program(Program {
            command,
            args: entry.texts("args")?,
            env: entry.named_texts("env")?,
            cwd: entry.text("cwd")?.map(PathBuf::from),
        })),
        (None, Some(url)) if is_address(&url) => {
            Ok(Transport::Service(Service { url, headers: headers(entry.named_texts("headers")?)? }))
        }
        (None, Some(_)) => Err("has a url that is not an http or https URL without credentials".to_owned()),
        _ => Err("must have either a command or a url".to_owned()),
    })()
    .map_err(|why: String| what(&why))?;
    let is_known = match (&transport, kind.as_deref()) {
        (_, None) | (Transport::Program(_), Some("stdio")) => true,
        (Transport::Service(_), Some(kind)) => ["http", "streamable-http", "streamableHttp"].contains(&kind),
        (Transport::Program(_), Some(_)) => false,
    };
    if !is_known {
        return Err(what("has a type that is neither stdio, for a command, nor http, for a url"));
    }
    match entry.fields.keys().next() {
        Some(key) => Err(what(&format!("has {key:?}, which is unknown"))),
        None => Ok(ServerConfig { name, transport }),
    }
}

fn object(value: Value, why: impl Fn() -> String) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(fields) => Ok(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(why()),
    }
}

/// The fields of a server's entry that are not read yet.
struct Entry {
    fields: Map<String, Value>,
}

impl Entry {
    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.fields.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("has {name:?}, which must be a string")),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, String> {
        let texts = self.fields.remove(name).unwrap_or_else(|| Value::Array(Vec::new()));
        serde_json::from_value(texts).map_err(|_| format!("has {name:?}, which must be a list of strings"))
    }

    fn named_texts(&mut self, name: &str) -> Result<BTreeMap<String, String>, String> {
        let texts = self.fields.remove(name).unwrap_or_else(|| Value::Object(Map::new()));
        serde_json::from_value(texts).map_err(|_| format!("has {name:?}, which must be an object of strings"))
    }
}

fn is_address(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let is_plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    matches!(uri.scheme_str(), Some("http" | "https")) && is_plain
}

fn headers(named: BTreeMap<String, String>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(name, value): (String, String)| {
        let parsed_name = HeaderName::try_from(&name).map_err(|_| format!("has a bad header {name:?}"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| format!("has a bad header {name:?}"))?;
        value.set_sensitive(true);
        Ok((parsed_name, value))
    };
    named.into_iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<ServerConfig>, String> {
        read(&Environment::new(|_| Some(text.into()))).map_err(|error| error.to_string())
    }

    #[test]
    fn programs_and_services_are_read() {
        let text = r#"{"mcpServers": {
            "files": {"command": "mcp-files", "args": ["/data"], "env": {"A": "b"}, "cwd": "/data", "type": "stdio"},
            "a_b-9": {"url": "https://h:1/mcp?key=1", "headers": {"Authorization": "Bearer sk-secret"}, "type": "http"}}}"#;
        let servers = read_text(text).unwrap();
        let names: Vec<_> = servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["a_b-9", "files"]);
        let Transport::Service(service) = &servers[0].transport else { panic!() };
        assert_eq!(
            (service.url.as_str(), service.headers[0].1.as_bytes()),
            ("https://h:1/mcp?key=1", &b"Bearer sk-secret"[..])
        );
        let Transport::Program(program) = &servers[1].transport else { panic!() };
        assert_eq!((program.command.as_str(), &program.args[..]), ("mcp-files", &["/data".to_owned()][..]));
        assert_eq!((program.env["A"].as_str(), program.cwd.as_deref()), ("b", Some(Path::new("/data"))));
        assert!(!format!("{servers:?}").contains("secret"));

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(read_text(file.path().to_str().unwrap()), Ok(servers));
        assert_eq!(read_text(""), Ok(Vec::new()));
    }

    #[test]
    fn invalid_configurations_are_errors_without_values() {
        let with = |entry: &str| format!(r#"{{"mcpServers": {{"a": {entry}}}}}"#);
        for (text, told) in [
            ("{\"mcpServers\":".to_owned(), "it is not valid JSON at line 1, column 14"),
            ("[]".to_owned(), "it is not an object"),
            ("{}".to_owned(), "mcpServers is missing"),
            (r#"{"mcpServers": {}, "more": 1}"#.to_owned(), r#""more" is unknown"#),
            ("/no/such/file".to_owned(), "the file cannot be read: No such file"),
            (r#"{"mcpServers": {"a__b": {}}}"#.to_owned(), r#""a__b" is not a valid name"#),
            (r#"{"mcpServers": {"a b": {}}}"#.to_owned(), r#""a b" is not a valid name"#),
            (with("7"), r#"the server "a" is not an object"#),
            (with("{}"), "must have either a command or a url"),
            (with(r#"{"command": "x", "url": "http://h/"}"#), "must have either a command or a url"),
            (
                with(r#"{"command": "x", "args": "sk-secret"}"#),
                r#"has "args", which must be a list of strings"#,
            ),
            (
                with(r#"{"command": "x", "env": {"A": 7}}"#),
                r#"has "env", which must be an object of strings"#,
            ),
            (with(r#"{"command": "x", "enviroment": {}}"#), r#"has "enviroment", which is unknown"#),
            (with(r#"{"command": "x", "type": "http"}"#), "has a type that is neither stdio"),
            (with(r#"{"url": "http://h/", "type": "sse"}"#), "has a type that is neither stdio"),
            (with(r#"{"url": "http://me:sk-secret@h/"}"#), "has a url that is not an http or https URL"),
            (with(r#"{"url": "http://h/", "headers": {"a b": "sk-secret"}}"#), r#"has a bad header "a b""#),
            (
                with("{\"url\": \"http://h/\", \"headers\": {\"a\": \"sk-secret\\n\"}}"),
                r#"has a bad header "a""#,
            ),
        ] {
            let error = read_text(&text).unwrap_err();
            assert!(
                error.starts_with("MCP_SERVERS is not usable (") && error.contains(told),
                "{text}: {error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
        let many: Vec<_> = (0..=MCP_SERVERS_MAX).map(|n| format!(r#""s{n}": {{"command": "x"}}"#)).collect();
        let error = read_text(&format!(r#"{{"mcpServers": {{{}}}}}"#, many.join(","))).unwrap_err();
        assert!(error.contains("more than 8 servers"), "{error}");
    }
}
