//! Tools of MCP servers: programs that are scripted here, line by line, to do what servers should not.
//!
//! Services, and a real server of the official SDK, are `mcp/services.rs`'s.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mayfly_agent::http::Http;
use mayfly_agent::limits::MCP_MESSAGE_MAX_BYTES;
use mayfly_agent::mcp::config::{Program, ServerConfig, Way};
use mayfly_agent::mcp::{Patience, Servers};
use mayfly_agent::tool::{Tool, ToolError};
use serde_json::{Value, json};

mod services;

/// Real waiting is for real servers; nothing here waits that long.
const PATIENT: Duration = Duration::from_secs(20);

/// Begins as it should, and lists one tool, `t`.
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

pub(crate) fn patience() -> Patience {
    Patience {
        start: PATIENT,
        come_back: PATIENT,
        retry_base: Duration::from_millis(1),
        retry_cap: Duration::from_millis(10),
        ..Patience::default()
    }
}

pub(crate) fn start(way: Way, patience: Patience) -> Servers {
    let config = ServerConfig { name: "s".to_owned(), way };
    Servers::start(vec![config], &Http::new(None).unwrap(), patience)
}

fn program(script: &str, cwd: Option<&Path>) -> Way {
    Way::Program(Program {
        command: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: [("A".to_owned(), "b".to_owned())].into(),
        cwd: cwd.map(Path::to_owned),
    })
}

/// A server that begins as it should, and goes on like this.
fn scripted(rest: &str) -> Servers {
    start(program(&format!("{BEGIN}\n{rest}"), None), patience())
}

pub(crate) async fn only_tool(servers: &Servers) -> Arc<dyn Tool> {
    let mut tools = servers.tools().await;
    assert_eq!(tools.len(), 1, "{:?}", servers.troubles());
    tools.remove(0)
}

async fn call(servers: &Servers) -> Result<Value, ToolError> {
    only_tool(servers).await.call(&json!({ "a": 1 })).await
}

/// Asks again and again, as what is waited for can only be seen from outside.
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let ask = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENT, ask).await.expect("it does not come")
}

#[tokio::test]
async fn a_tool_is_listed_and_called_by_its_servers_name_and_its_own() {
    let servers = scripted(r#"read call; text 2 "$(say "$call" | tr '"' "'")"; cat"#);
    let tool = only_tool(&servers).await;
    let spec = tool.spec();
    assert_eq!((spec.name.as_str(), spec.description.as_str()), ("s__t", "T"));
    assert_eq!(spec.input_schema, json!({ "type": "object" }));
    let asked = tool.call(&json!({ "a": 1 })).await.unwrap();
    let asked = asked.as_str().unwrap();
    assert!(asked.contains("'method':'tools/call'") && asked.contains("'name':'t'"), "{asked}");
    assert!(asked.contains("'arguments':{'a':1}"), "{asked}");
    assert!(servers.troubles().is_empty());
    assert!(tool.call(&json!("text")).await.unwrap_err().to_string().contains("must be an object"));
}

#[tokio::test]
async fn a_program_has_no_variable_but_its_own() {
    let servers = scripted(r#"read call; text 2 "$(tr '\0' ' ' </proc/$$/environ)"; cat"#);
    assert_eq!(call(&servers).await, Ok("A=b PATH=/usr/local/bin:/usr/bin:/bin ".into()));
}

#[tokio::test]
async fn what_is_no_result_is_a_failure_of_the_call() {
    let nonsense = "answered what is no result of a tool";
    for (rest, told) in [
        (r#"answer 2 '{"tools":[]}'"#, nonsense),
        (r#"answer 2 '{"content":"text"}'"#, nonsense),
        (r#"answer 2 '{"content":[{"type":"text","text":7}]}'"#, nonsense),
        (r#"answer 2 '{"content":[],"isError":true}'"#, "it does not say why"),
        (r#"say '{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"no a"}}'"#, "refused: no a"),
        (
            r#"answer 2 '{"resultType":"input_required","inputRequests":{},"requestState":"x"}'"#,
            "wants to go on in a way that is not understood here",
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
async fn noise_between_messages_is_passed_over() {
    let servers = scripted(
        r#"read call; say 'not json'; say '[]'; say '{"jsonrpc":"2.0","method":"notifications/new","params":{"a":1}}'
        say '{"jsonrpc":"2.0","id":99,"result":{}}'; say '{"jsonrpc":"2.0","id":"x","method":"ping"}'; text 2 fine; cat"#,
    );
    assert_eq!(call(&servers).await, Ok("fine".into()));
}

#[tokio::test]
async fn much_is_cut_and_too_much_is_a_failure() {
    let servers = scripted("read call; text 2 $(head -c 100000 /dev/zero | tr '\\0' x); cat");
    let told = call(&servers).await.unwrap();
    assert!(told.as_str().unwrap().ends_with("x\n[cut off here: the whole has 100000 bytes]"));
    let flood = format!("read call; head -c {} /dev/zero | tr '\\0' x; cat", MCP_MESSAGE_MAX_BYTES + 1);
    let error = call(&scripted(&flood)).await.unwrap_err().to_string();
    assert!(error.contains("was lost before it answered"), "{error}");
}

#[tokio::test]
async fn a_server_that_dies_is_the_failure_of_one_call_and_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let rest = "read call; [ -e died ] || { touch died; exit 1; }; text 2 again; cat";
    let servers = start(program(&format!("{BEGIN}\n{rest}"), Some(directory.path())), patience());
    let error = call(&servers).await.unwrap_err().to_string();
    assert_eq!(error, "tool.failed: the MCP server \"s\" was lost before it answered");
    assert_eq!(call(&servers).await, Ok("again".into()));
}

#[tokio::test]
async fn a_server_that_does_not_start_is_told_once_and_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("echo first >&2; [ -e may-start ] || exit 1; {BEGIN} read call; text 2 there; cat");
    let servers = start(program(&script, Some(directory.path())), patience());
    assert!(servers.tools().await.is_empty());
    let told = servers.troubles();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].message, "The tools of the MCP server \u{201c}s\u{201d} are not there: it ended.");
    std::fs::write(directory.path().join("may-start"), "").unwrap();
    let tools = eventually(async || Some(servers.tools().await).filter(|tools| !tools.is_empty())).await;
    assert_eq!(tools[0].call(&json!({})).await, Ok("there".into()));
    assert!(servers.troubles().is_empty(), "it is there");

    let missing = Way::Program(Program {
        command: "/no/such/program".to_owned(),
        args: Vec::new(),
        env: [].into(),
        cwd: None,
    });
    let servers = start(missing, patience());
    assert!(servers.tools().await.is_empty());
    assert!(servers.troubles()[0].message.ends_with("it cannot be started."));
}

#[tokio::test]
async fn a_server_that_does_not_know_the_handshake_is_asked_without_it() {
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
    let servers = start(program(&script, None), patience());
    assert_eq!(call(&servers).await, Ok("modern".into()));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_at_its_start_is_not_waited_for() {
    let servers = start(program("while read more; do :; done", None), Patience::default());
    assert!(servers.tools().await.is_empty());
    assert!(servers.troubles()[0].message.ends_with("it did not answer within 10 s."));
    assert!(servers.tools().await.is_empty(), "nor a second time");
}

#[tokio::test]
async fn a_call_that_hangs_is_given_up_and_its_server_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let rest = "[ -e hung ] || { touch hung; sleep 1000; }; read call; text 2 again; cat";
    let script = format!("echo $$ >>starts; {BEGIN}\n{rest}");
    let patience = Patience { ping: Duration::from_millis(100), ..patience() };
    let servers = start(program(&script, Some(directory.path())), patience);
    let tool = only_tool(&servers).await;
    // It reads nothing, and this is more than a pipe takes.
    let input = json!({ "a": "x".repeat(200_000) });
    // Nothing comes, so that it is over at once.
    tokio::time::pause();
    let error = tool.call(&input).await.unwrap_err();
    tokio::time::resume();
    assert_eq!(error.to_string(), "tool.timeout: no answer within 60 s");
    // There is no answer to the ping either.
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
async fn a_call_that_is_dropped_is_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let rest = r#"read call; touch called; read next; say "$next" >cancelled.part; mv cancelled.part cancelled; cat"#;
    let servers = start(program(&format!("{BEGIN}\n{rest}"), Some(directory.path())), patience());
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
async fn a_list_that_changes_is_read_again() {
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
async fn programs_end_with_all_that_they_started() {
    let directory = tempfile::tempdir().unwrap();
    let stubborn =
        r#"trap '' TERM HUP; sleep 1000 & say $! >child; say $$ >self.part; mv self.part self; wait"#;
    let servers = start(program(&format!("{BEGIN}\n{stubborn}"), Some(directory.path())), patience());
    let read = |name| std::fs::read_to_string(directory.path().join(name)).ok();
    let own = eventually(async || read("self")).await;
    let ids = [own, read("child").unwrap()];
    servers.close().await;
    for id in ids {
        is_gone(&id).await;
    }
}
