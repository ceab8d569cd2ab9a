//! Tools of an MCP server on the official SDK, which an agent starts in its sandbox.

use anyhow::{Context, Result};
use mayfly_tests::harness::{Hub, program};
use mayfly_tests::provider::{Provider, Reply};
use serde_json::{Value, json};

use crate::support::{ask, connect};

const KEY: &str = "sk-hush-0123456789";

/// A step that calls a tool of the server named `real`.
macro_rules! call {
    ($tool:literal, $input:literal) => {
        Reply::Stream(concat!(
            r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"real__"#,
            $tool,
            r#"","arguments":""#,
            $input,
            "\"}}]}}]}\n\n",
            r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
            "\n\ndata: [DONE]\n\n"
        ))
    };
}

fn output<'a>(frames: &'a [Value], kind: &str) -> Result<&'a Value> {
    frames.iter().find(|frame| frame["type"] == kind).with_context(|| format!("no {kind} in {frames:?}"))
}

#[tokio::test]
async fn tool_calls_reach_an_mcp_server_and_survive_its_exit() -> Result<()> {
    let done = Reply::Stream(include_str!("../../agent/tests/streams/openai-answer.sse"));
    let replies = vec![
        call!("repeat", r#"{\"text\":\"hello\"}"#),
        done.clone(),
        call!("environment", "{}"),
        done.clone(),
        call!("exit", "{}"),
        call!("repeat", r#"{\"text\":\"again\"}"#),
        done,
    ];
    let provider = Provider::start(replies).await?;
    let server = program("mcp-server")?;
    let path = server.to_str().context("a path in UTF-8")?;
    let servers = json!({ "mcpServers": {
        "gone": { "command": "/no/such/program" },
        "real": { "command": path, "env": { "GREETING": "sk-own-secret" } },
    } });
    let url = format!("http://{}/v1", provider.authority);
    let hub = Hub::start_with(
        &[
            "--agent-env",
            "MODEL,OPENAI_API_KEY,OPENAI_BASE_URL,MCP_SERVERS",
            "--egress-allow",
            &provider.authority,
            "--agent-paths",
            path,
        ],
        &[
            ("MODEL", "openai:gpt-9"),
            ("OPENAI_API_KEY", KEY),
            ("OPENAI_BASE_URL", &url),
            ("MCP_SERVERS", &servers.to_string()),
        ],
    )?;
    let mut client = connect(&hub).await?;

    let frames = ask(&mut client, "Repeat it").await?;
    let told = output(&frames, "data-notice")?;
    assert_eq!(told["data"]["code"], "tool.failed");
    let message = "The tools of the MCP server \u{201c}gone\u{201d} are not available: it cannot be started.";
    assert_eq!(told["data"]["message"], message);
    assert_eq!(output(&frames, "tool-output-available")?["output"], "hello", "{}", hub.log());
    let listed: Vec<_> = provider.asked()[0].body["tools"]
        .as_array()
        .context("tools")?
        .iter()
        .map(|tool| tool["function"]["name"].as_str().unwrap_or_default().to_owned())
        .filter(|name| name.contains("__"))
        .collect();
    assert_eq!(listed, ["real__repeat", "real__environment", "real__exit"]);

    let frames = ask(&mut client, "Tell your environment").await?;
    assert_eq!(output(&frames, "tool-output-available")?["output"], "GREETING PATH");
    assert!(output(&frames, "data-notice").is_err(), "what people know is not told again");

    let frames = ask(&mut client, "End").await?;
    let error = "tool.failed: the MCP server \"real\" was lost before it answered";
    assert_eq!(output(&frames, "tool-output-error")?["errorText"], error);
    assert_eq!(output(&frames, "tool-output-available")?["output"], "again");
    assert_eq!(frames.last().context("turn.done")?["reason"], "complete");
    for secret in ["sk-hush", "sk-own-secret"] {
        assert!(!hub.log().contains(secret), "{}", hub.log());
    }
    Ok(())
}
