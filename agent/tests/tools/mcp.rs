//! Tests of MCP servers that are programs: shell scripts that also break the protocol.
//!
//! `mcp/services.rs` tests services and a server of the official SDK.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mayfly_agent::http::Http;
use mayfly_agent::limits::MCP_MESSAGE_MAX_BYTES;
use mayfly_agent::mcp::config::{Program, ServerConfig, Transport};
use mayfly_agent::mcp::{Servers, Timeouts};
use mayfly_agent::tool::{Tool, ToolError};
use serde_json::{Value, json};

mod services;

/// Bound on a wait that ends with an event; only a failing test reaches it.
const PATIENT: Duration = Duration::from_secs(60);

/// Script of a handshake and of a list with one tool, `t`.
const BEGIN: &str = r#"
    say() { printf '%s\n' "$1"; }
    answer() { say "{\"jsonrpc\":\"2.0\",\"id\":$1,\"result\":$2}"; }
    text() { answer "$1" "{\"content\":[{\"type\":\"text\",\"text\":\"$2\"}]}"; }
    read init
    answer 0 '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}'
    read initialized
    read list
    answer 1 '{"tools":[{"name":"t","description":"T","inputSchema":{"type":"object"}}]}'
"#;

pub(crate) fn timeouts() -> Timeouts {
    Timeouts {
        start: PATIENT,
        reconnect: PATIENT,
        retry_base: Duration::from_millis(1),
        retry_cap: Duration::from_millis(10),
        ..Timeouts::default()
    }
}

pub(crate) fn start(transport: Transport, timeouts: Timeouts) -> Servers {
    let config = ServerConfig { name: "s".to_owned(), transport };
    Servers::start(vec![config], &Http::new(None).unwrap(), timeouts)
}

fn program(script: &str, cwd: Option<&Path>) -> Transport {
    Transport::Program(Program {
        command: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: [("A".to_owned(), "b".to_owned())].into(),
        cwd: cwd.map(Path::to_owned),
    })
}

/// Starts a server that runs `rest` after the handshake.
fn scripted(rest: &str) -> Servers {
    start(program(&format!("{BEGIN}\n{rest}"), None), timeouts())
}

pub(crate) async fn only_tool(servers: &Servers) -> Arc<dyn Tool> {
    let mut tools = servers.tools().await;
    assert_eq!(tools.len(), 1, "{:?}", servers.take_notices());
    tools.remove(0)
}

async fn call(servers: &Servers) -> Result<Value, ToolError> {
    only_tool(servers).await.call(&json!({ "a": 1 })).await
}

/// Polls until `ask` returns a value, for events that are only visible in files and processes.
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let ask = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENT, ask).await.expect("the event does not come")
}

#[tokio::test]
async fn a_tool_has_the_name_of_server_and_tool() {
    let servers = scripted(r#"read call; text 2 "$(say "$call" | tr '"' "'")"; cat"#);
    let tool = only_tool(&servers).await;
    let spec = tool.spec();
    assert_eq!((spec.name.as_str(), spec.description.as_str()), ("s__t", "T"));
    assert_eq!(spec.input_schema, json!({ "type": "object" }));
    let asked = tool.call(&json!({ "a": 1 })).await.unwrap();
    let asked = asked.as_str().unwrap();
    assert!(asked.contains("'method':'tools/call'") && asked.contains("'name':'t'"), "{asked}");
    assert!(asked.contains("'arguments':{'a':1}"), "{asked}");
    assert!(servers.take_notices().is_empty());
    assert!(tool.call(&json!("text")).await.unwrap_err().to_string().contains("must be an object"));
}

#[tokio::test]
async fn a_program_gets_only_its_own_environment() {
    let servers = scripted(r#"read call; text 2 "$(tr '\0' ' ' </proc/$$/environ)"; cat"#);
    assert_eq!(call(&servers).await, Ok("A=b PATH=/usr/local/bin:/usr/bin:/bin ".into()));
}

#[tokio::test]
async fn an_invalid_result_fails_the_call() {
    let nonsense = "sent an invalid result";
    for (rest, told) in [
        (r#"answer 2 '{"tools":[]}'"#, nonsense),
        (r#"answer 2 '{"content":"text"}'"#, nonsense),
        (r#"answer 2 '{"content":[{"type":"text","text":7}]}'"#, nonsense),
        (r#"answer 2 '{"content":[],"isError":true}'"#, "the tool gave no reason"),
        (
            r#"say '{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"no a"}}'"#,
            "refused the call: no a",
        ),
        (
            r#"answer 2 '{"resultType":"input_required","inputRequests":{},"requestState":"x"}'"#,
            "answered in a way that this agent does not support",
        ),
        ("exit 1", "was lost before it answered"),
        ("exec >/dev/null; cat", "was lost before it answered"),
    ] {
        let servers = scripted(&format!("read call; {rest}; cat"));
        let error = call(&servers).await.unwrap_err().to_string();
        assert!(error.starts_with("tool.failed: ") && error.contains(told), "{rest}: {error}");
    }
}

#[tokio::test]
async fn noise_between_messages_is_ignored() {
    let servers = scripted(
        r#"read call; say 'not json'; say '[]'; say '{"jsonrpc":"2.0","method":"notifications/new","params":{"a":1}}'
        say '{"jsonrpc":"2.0","id":99,"result":{}}'; say '{"jsonrpc":"2.0","id":"x","method":"ping"}'; text 2 fine; cat"#,
    );
    assert_eq!(call(&servers).await, Ok("fine".into()));
}

#[tokio::test]
async fn a_long_result_is_truncated_and_a_huge_one_fails() {
    let servers = scripted("read call; text 2 $(head -c 100000 /dev/zero | tr '\\0' x); cat");
    let told = call(&servers).await.unwrap();
    assert!(told.as_str().unwrap().ends_with("x\n[truncated: the whole text has 100000 bytes]"));
    let flood = format!("read call; head -c {} /dev/zero | tr '\\0' x; cat", MCP_MESSAGE_MAX_BYTES + 1);
    let error = call(&scripted(&flood)).await.unwrap_err().to_string();
    assert!(error.contains("was lost before it answered"), "{error}");
}

#[tokio::test]
async fn a_server_that_exits_fails_one_call_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let rest = "read call; [ -e died ] || { touch died; exit 1; }; text 2 again; cat";
    let servers = start(program(&format!("{BEGIN}\n{rest}"), Some(directory.path())), timeouts());
    let error = call(&servers).await.unwrap_err().to_string();
    assert_eq!(error, "tool.failed: the MCP server \"s\" was lost before it answered");
    assert_eq!(call(&servers).await, Ok("again".into()));
}

#[tokio::test]
async fn a_failed_start_is_reported_once_and_retried() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("echo first >&2; [ -e may-start ] || exit 1; {BEGIN} read call; text 2 there; cat");
    let servers = start(program(&script, Some(directory.path())), timeouts());
    assert!(servers.tools().await.is_empty());
    let told = servers.take_notices();
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].message,
        "The tools of the MCP server \u{201c}s\u{201d} are not available: it exited."
    );
    std::fs::write(directory.path().join("may-start"), "").unwrap();
    let tools = eventually(async || Some(servers.tools().await).filter(|tools| !tools.is_empty())).await;
    assert_eq!(tools[0].call(&json!({})).await, Ok("there".into()));
    assert!(servers.take_notices().is_empty(), "it is there");

    let missing = Transport::Program(Program {
        command: "/no/such/program".to_owned(),
        args: Vec::new(),
        env: [].into(),
        cwd: None,
    });
    let servers = start(missing, timeouts());
    assert!(servers.tools().await.is_empty());
    assert!(servers.take_notices()[0].message.ends_with("it cannot be started."));
}

#[tokio::test]
async fn a_server_without_handshake_is_supported() {
    let refuse = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"no initialize"}}"#;
    let script = format!(
        r#"read first
        case "$first" in *'"initialize"'*) printf '%s\n' '{refuse}'; exit;; esac
        printf '%s\n' '{{"jsonrpc":"2.0","id":0,"result":{{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"s","version":"1"}},"ttlMs":0,"cacheScope":"private"}}}}'
        read list
        printf '%s\n' '{{"jsonrpc":"2.0","id":1,"result":{{"resultType":"complete","tools":[{{"name":"t","inputSchema":{{"type":"object"}}}}],"ttlMs":0,"cacheScope":"private"}}}}'
        read call
        printf '%s\n' '{{"jsonrpc":"2.0","id":2,"result":{{"resultType":"complete","content":[{{"type":"text","text":"modern"}}]}}}}'
        cat"#
    );
    let servers = start(program(&script, None), timeouts());
    assert_eq!(call(&servers).await, Ok("modern".into()));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_start_times_out() {
    let servers = start(program("while read more; do :; done", None), Timeouts::default());
    assert!(servers.tools().await.is_empty());
    assert!(servers.take_notices()[0].message.ends_with("it did not answer within 10 s."));
    assert!(servers.tools().await.is_empty(), "nor a second time");
}

#[tokio::test]
async fn a_hanging_call_times_out_and_the_server_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let rest = "[ -e hung ] || { touch hung; sleep 1000; }; read call; text 2 again; cat";
    let script = format!("echo $$ >>starts; {BEGIN}\n{rest}");
    let timeouts = Timeouts { ping: Duration::from_millis(100), ..timeouts() };
    let servers = start(program(&script, Some(directory.path())), timeouts);
    let tool = only_tool(&servers).await;
    // The server reads nothing, and the input exceeds a pipe's buffer.
    let input = json!({ "a": "x".repeat(200_000) });
    // With paused time the timeout passes at once.
    tokio::time::pause();
    let error = tool.call(&input).await.unwrap_err();
    tokio::time::resume();
    assert_eq!(error.to_string(), "tool.timeout: no answer within 60 s");
    // The server does not answer the ping either.
    let starts = || std::fs::read_to_string(directory.path().join("starts")).unwrap();
    eventually(async || (starts().lines().count() > 1).then_some(())).await;
    assert_eq!(tool.call(&json!({})).await, Ok("again".into()));
    is_gone(starts().lines().next().unwrap()).await;
}

async fn is_gone(id: &str) {
    let path = format!("/proc/{}/stat", id.trim());
    eventually(async || {
        let state = std::fs::read_to_string(&path).unwrap_or_default();
        (state.is_empty() || state.contains(") Z ")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dropped_call_is_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let rest = r#"read call; touch called; read next; say "$next" >cancelled.part; mv cancelled.part cancelled; cat"#;
    let servers = start(program(&format!("{BEGIN}\n{rest}"), Some(directory.path())), timeouts());
    let tool = only_tool(&servers).await;
    let input = json!({});
    tokio::select! {
        answer = tool.call(&input) => panic!("{answer:?}"),
        () = eventually(async || directory.path().join("called").exists().then_some(())) => {}
    }
    let next = eventually(async || std::fs::read_to_string(directory.path().join("cancelled")).ok()).await;
    assert!(next.contains("notifications/cancelled") && next.contains(r#""requestId":2"#), "{next}");
}

#[tokio::test]
async fn a_changed_list_is_read_again() {
    let servers = scripted(
        r#"read call; say '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'; text 2 changed
        read list; answer 3 '{"tools":[{"name":"u","inputSchema":{}},{"name":"v","inputSchema":{}}]}'
        read call; say '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'; text 4 changed
        read list; answer 5 '{"tools":"none"}'; cat"#,
    );
    let old = only_tool(&servers).await;
    assert_eq!(old.call(&json!({})).await, Ok("changed".into()));
    let names =
        async || -> Vec<String> { servers.tools().await.iter().map(|tool| tool.spec().name).collect() };
    let new = eventually(async || Some(names().await).filter(|names| names.len() == 2)).await;
    assert_eq!(new, ["s__u", "s__v"]);
    assert_eq!(servers.tools().await[0].call(&json!({})).await, Ok("changed".into()));
    assert_eq!(names().await, new, "a list that is none changes nothing");
}

#[tokio::test]
async fn programs_end_with_their_descendants() {
    let directory = tempfile::tempdir().unwrap();
    let stubborn =
        r#"trap '' TERM HUP; sleep 1000 & say $! >child; say $$ >self.part; mv self.part self; wait"#;
    let servers = start(program(&format!("{BEGIN}\n{stubborn}"), Some(directory.path())), timeouts());
    let read = |name| std::fs::read_to_string(directory.path().join(name)).ok();
    let own = eventually(async || read("self")).await;
    let ids = [own, read("child").unwrap()];
    servers.close().await;
    for id in ids {
        is_gone(&id).await;
    }
}
