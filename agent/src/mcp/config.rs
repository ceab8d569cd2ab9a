//! Which MCP servers there are: read from the environment, checked at start.
//!
//! `MCP_SERVERS` has the JSON that such servers are mostly documented with, or the absolute path of a file that has it:
//!
//! ```json
//! { "mcpServers": {
//!     "files": { "command": "/usr/local/bin/mcp-files", "args": ["/data"], "env": { "LANG": "C.UTF-8" } },
//!     "search": { "url": "https://search.example/mcp", "headers": { "Authorization": "Bearer …" } } } }
//! ```
//!
//! No error and no log shows what stands there: it may hold credentials.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use axum::http::{HeaderName, HeaderValue, Uri};
use serde_json::{Map, Value};

use crate::config::ConfigError;
use crate::limits::{MCP_CONFIG_MAX_BYTES, MCP_NAME_MAX_BYTES, MCP_SERVERS_MAX};

/// The servers.
pub const ENV_SERVERS: &str = "MCP_SERVERS";

const ACCEPTED: &str = "{\"mcpServers\": {NAME: {\"command\": …, \"args\": […], \"env\": {…}, \"cwd\": …} or {\"url\": …, \
                        \"headers\": {…}}, …}}, the absolute path of a file with that, or to be absent";

/// A server.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Begins the names of its tools.
    pub name: String,
    /// How it is talked to.
    pub way: Way,
}

/// How a server is talked to.
#[derive(Clone, PartialEq, Eq)]
pub enum Way {
    /// It is a program, and reads and writes lines.
    Program(Program),
    /// It is a service, and speaks HTTP (MCP's "Streamable HTTP").
    Service(Service),
}

/// A program.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// What is started.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment, but for a `PATH` where none is named.
    pub env: BTreeMap<String, String>,
    /// Where it is started; by default where the agent is.
    pub cwd: Option<PathBuf>,
}

/// A service.
#[derive(Clone, PartialEq, Eq)]
pub struct Service {
    /// An absolute `http` or `https` address.
    pub url: String,
    /// Sent with each request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerConfig").field(&self.name).finish()
    }
}

/// Reads the environment through `get`.
///
/// # Errors
/// When there is something else than servers.
pub fn read(get: impl Fn(&'static str) -> Option<OsString>) -> Result<Vec<ServerConfig>, ConfigError> {
    let unusable = |why: String| ConfigError::Invalid {
        name: ENV_SERVERS,
        value: format!("not usable ({why})"),
        accepted: ACCEPTED,
    };
    let Some(text) = get(ENV_SERVERS).filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
    let text = text.into_string().map_err(|_| unusable("it is no UTF-8".to_owned()))?;
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
    let json: Value = serde_json::from_str(text)
        .map_err(|error| format!("it is no JSON at line {}, column {}", error.line(), error.column()))?;
    let mut json = object(json, || "it is no object".to_owned())?;
    let servers = json.remove("mcpServers").ok_or("mcpServers is missing")?;
    if let Some(key) = json.keys().next() {
        return Err(format!("{key:?} is unknown"));
    }
    let servers = object(servers, || "mcpServers is no object".to_owned())?;
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
            "{name:?} is no name: 1 to {most} letters, digits, hyphens and single underscores"
        ));
    }
    let what = |problem: &str| format!("the server {name:?} {problem}");
    let mut entry = Entry { fields: object(entry, || what("is no object"))? };
    let kind = entry.text("type").map_err(|why| what(&why))?;
    let way = (|| match (entry.text("command")?, entry.text("url")?) {
        (Some(command), None) if !command.is_empty() => Ok(Way::Program(Program {
            command,
            args: entry.texts("args")?,
            env: entry.named_texts("env")?,
            cwd: entry.text("cwd")?.map(PathBuf::from),
        })),
        (None, Some(url)) if is_address(&url) => {
            Ok(Way::Service(Service { url, headers: headers(entry.named_texts("headers")?)? }))
        }
        (None, Some(_)) => Err("has a url that is no http or https address, or has a name in it".to_owned()),
        _ => Err("must have either a command or a url".to_owned()),
    })()
    .map_err(|why: String| what(&why))?;
    let is_known = match (&way, kind.as_deref()) {
        (_, None) | (Way::Program(_), Some("stdio")) => true,
        (Way::Service(_), Some(kind)) => ["http", "streamable-http", "streamableHttp"].contains(&kind),
        (Way::Program(_), Some(_)) => false,
    };
    if !is_known {
        return Err(what("has a type that is neither stdio, for a command, nor http, for a url"));
    }
    match entry.fields.keys().next() {
        Some(key) => Err(what(&format!("has {key:?}, which is unknown"))),
        None => Ok(ServerConfig { name, way }),
    }
}

fn object(value: Value, why: impl Fn() -> String) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(fields) => Ok(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(why()),
    }
}

/// What is not read yet of a server's entry.
struct Entry {
    fields: Map<String, Value>,
}

impl Entry {
    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.fields.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("has {name:?}, which must be a text")),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, String> {
        let texts = self.fields.remove(name).unwrap_or_else(|| Value::Array(Vec::new()));
        serde_json::from_value(texts).map_err(|_| format!("has {name:?}, which must be a list of texts"))
    }

    fn named_texts(&mut self, name: &str) -> Result<BTreeMap<String, String>, String> {
        let texts = self.fields.remove(name).unwrap_or_else(|| Value::Object(Map::new()));
        serde_json::from_value(texts).map_err(|_| format!("has {name:?}, which must be an object of texts"))
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
        read(|_| Some(text.into())).map_err(|error| error.to_string())
    }

    #[test]
    fn programs_and_services_as_people_have_them() {
        let text = r#"{"mcpServers": {
            "files": {"command": "mcp-files", "args": ["/data"], "env": {"A": "b"}, "cwd": "/data", "type": "stdio"},
            "a_b-9": {"url": "https://h:1/mcp?key=1", "headers": {"Authorization": "Bearer sk-secret"}, "type": "http"}}}"#;
        let servers = read_text(text).unwrap();
        let names: Vec<_> = servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["a_b-9", "files"]);
        let Way::Service(service) = &servers[0].way else { panic!() };
        assert_eq!(
            (service.url.as_str(), service.headers[0].1.as_bytes()),
            ("https://h:1/mcp?key=1", &b"Bearer sk-secret"[..])
        );
        let Way::Program(program) = &servers[1].way else { panic!() };
        assert_eq!((program.command.as_str(), &program.args[..]), ("mcp-files", &["/data".to_owned()][..]));
        assert_eq!((program.env["A"].as_str(), program.cwd.as_deref()), ("b", Some(Path::new("/data"))));
        assert!(!format!("{servers:?}").contains("secret"));

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(read_text(file.path().to_str().unwrap()), Ok(servers));
        assert_eq!(read_text(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_none_is_told_without_what_stands_there() {
        let with = |entry: &str| format!(r#"{{"mcpServers": {{"a": {entry}}}}}"#);
        for (text, told) in [
            ("{\"mcpServers\":".to_owned(), "it is no JSON at line 1, column 14"),
            ("[]".to_owned(), "it is no object"),
            ("{}".to_owned(), "mcpServers is missing"),
            (r#"{"mcpServers": {}, "more": 1}"#.to_owned(), r#""more" is unknown"#),
            ("/no/such/file".to_owned(), "the file cannot be read: No such file"),
            (r#"{"mcpServers": {"a__b": {}}}"#.to_owned(), r#""a__b" is no name"#),
            (r#"{"mcpServers": {"a b": {}}}"#.to_owned(), r#""a b" is no name"#),
            (with("7"), r#"the server "a" is no object"#),
            (with("{}"), "must have either a command or a url"),
            (with(r#"{"command": "x", "url": "http://h/"}"#), "must have either a command or a url"),
            (
                with(r#"{"command": "x", "args": "sk-secret"}"#),
                r#"has "args", which must be a list of texts"#,
            ),
            (with(r#"{"command": "x", "env": {"A": 7}}"#), r#"has "env", which must be an object of texts"#),
            (with(r#"{"command": "x", "enviroment": {}}"#), r#"has "enviroment", which is unknown"#),
            (with(r#"{"command": "x", "type": "http"}"#), "has a type that is neither stdio"),
            (with(r#"{"url": "http://h/", "type": "sse"}"#), "has a type that is neither stdio"),
            (with(r#"{"url": "http://me:sk-secret@h/"}"#), "has a url that is no http or https address"),
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
