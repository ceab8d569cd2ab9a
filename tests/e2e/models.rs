//! The same conversation with a model of each provider, which the test plays behind the hub's egress proxy.

use std::path::Path;

use anyhow::{Context, Result};
use mayfly_tests::engine::{self, AGENT_IMAGE};
use mayfly_tests::harness::{Client, Hub, text_of};
use mayfly_tests::provider::{Provider, Reply};
use serde_json::{Value, json};

use crate::support::{ask, connect, is_contiguous, no_agent_is_left, until};

const KEY: &str = "sk-hush-0123456789";

/// The wire of a provider.
struct Wire {
    model: &'static str,
    key_variable: &'static str,
    url_variable: &'static str,
    url_path: &'static str,
    request_line: &'static str,
    calls: &'static str,
    answer: &'static str,
    /// Stream up to the first token.
    begun: &'static str,
    /// Tokens that are reported for an answer that is stopped there, if known.
    begun_usage: Option<u32>,
    overloaded: Reply,
}

const ANTHROPIC: Wire = Wire {
    model: "anthropic:claude-9",
    key_variable: "ANTHROPIC_API_KEY",
    url_variable: "ANTHROPIC_BASE_URL",
    url_path: "",
    request_line: "POST /v1/messages HTTP/1.1",
    calls: include_str!("../../agent/tests/streams/anthropic-calls.sse"),
    answer: include_str!("../../agent/tests/streams/anthropic-answer.sse"),
    begun: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"It is \"}}\n\n",
    begun_usage: Some(10),
    overloaded: Reply::Status("529 Overloaded\r\nretry-after: 0", r#"{"error":{"type":"overloaded_error"}}"#),
};
const OPENAI: Wire = Wire {
    model: "openai:gpt-9",
    key_variable: "OPENAI_API_KEY",
    url_variable: "OPENAI_BASE_URL",
    url_path: "/v1",
    request_line: "POST /v1/chat/completions HTTP/1.1",
    calls: include_str!("../../agent/tests/streams/openai-calls.sse"),
    answer: include_str!("../../agent/tests/streams/openai-answer.sse"),
    begun: "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"It is \"}}]}\n\n",
    begun_usage: None,
    overloaded: Reply::Status("503 Busy\r\nretry-after: 0", r#"{"error":{"message":"busy"}}"#),
};

#[tokio::test]
async fn a_conversation_with_a_model_of_anthropics() -> Result<()> {
    converse(&ANTHROPIC).await
}

#[tokio::test]
async fn a_conversation_with_a_model_of_openais_or_one_like_it() -> Result<()> {
    converse(&OPENAI).await
}

#[tokio::test]
async fn a_model_of_anthropics_goes_on_when_the_hub_is_started_again() -> Result<()> {
    outlive_the_hub(&ANTHROPIC).await
}

#[tokio::test]
async fn a_model_of_openais_goes_on_when_the_hub_is_started_again() -> Result<()> {
    outlive_the_hub(&OPENAI).await
}

/// Starts a hub with these arguments and those that the provider needs. Returns all arguments, too.
fn start(wire: &Wire, provider: &Provider, more: &[&str]) -> Result<(Hub, Vec<String>)> {
    let names = format!("MODEL,{},{}", wire.key_variable, wire.url_variable);
    let url = format!("http://{}{}", provider.authority, wire.url_path);
    let environment = [("MODEL", wire.model), (wire.key_variable, KEY), (wire.url_variable, &url)];
    let args = [&["--agent-env", &names, "--egress-allow", &provider.authority], more].concat();
    Ok((Hub::start_with(&args, &environment)?, args.into_iter().map(str::to_owned).collect()))
}

async fn converse(wire: &Wire) -> Result<()> {
    let refused = r#"{"error":{"message":"Incorrect API key provided: sk-hush-0123456789"}}"#;
    let replies = vec![
        wire.overloaded.clone(),
        Reply::Stream(wire.calls),
        Reply::Stream(wire.answer),
        Reply::Stream(wire.answer),
        Reply::Begun(wire.begun),
        Reply::Status("401 Unauthorized", refused),
    ];
    let mut provider = Provider::start(replies).await?;
    let (hub, _) = start(wire, &provider, &[])?;
    let mut client = connect(&hub).await?;
    let ready = client.next_frame().await?;

    // Tools, after an attempt that failed in passing.
    let mut said = ask(&mut client, "Weather in Tokyo and S\u{e3}o Paulo?").await?;
    let done = said.last().context("turn.done")?.clone();
    assert_eq!(done["reason"], "complete", "{said:?}\n{}", hub.log());
    assert_eq!(
        (&done["usage"]["totalTokens"], &done["usage"]["cachedInputTokens"]),
        (&json!(1406 + extra(wire)), &json!(772))
    );
    let count = |kind: &str| said.iter().filter(|frame| frame["type"] == kind).count();
    assert_eq!(
        (count("tool-input-available"), count("tool-output-available") + count("tool-output-error")),
        (2, 2)
    );
    assert!(text_of(&said).ends_with("\u{1f324}"), "{}", text_of(&said));
    assert!(is_contiguous(&said), "{said:?}");
    let asked = provider.asked();
    assert_eq!(asked.len(), 3);
    for request in &asked {
        assert!(request.head.starts_with(wire.request_line), "{}", request.head);
        assert!(request.head.contains("authorization: Bearer sk-hush-0123456789"), "{}", request.head);
        assert_eq!(request.body["model"], wire.model.split_once(':').unwrap().1);
    }
    assert_eq!(asked[0].body, asked[1].body, "asked again in the same words");
    assert!(asked[2].body.to_string().contains("climate normals"), "the tool's answer goes to the model");

    // Regenerate: the question again, without its answer.
    client.send(&json!({"type": "regenerate"})).await?;
    said.extend(client.until_turn_done().await?);
    assert_eq!(provider.asked()[3].body["messages"], asked[0].body["messages"]);

    // Stop: the provider's connection goes with it.
    client.send_text("And now?").await?;
    said.extend(until(&mut client, "text-delta").await?);
    client.send_text("/stop").await?;
    let stopped = client.until_turn_done().await?;
    let done = stopped.last().context("turn.done")?;
    assert_eq!(
        (&done["reason"], &done["usage"]["totalTokens"]),
        (&json!("stopped"), &json!(wire.begun_usage))
    );
    provider.until_left().await?;

    // A failure is told by its code.
    let failed = ask(&mut client, "Well?").await?;
    let error = &failed.last().unwrap()["error"];
    assert_eq!(error["code"], "model.auth");
    let told = format!("the model's provider does not accept the key in {}", wire.key_variable);
    assert_eq!(error["message"], told);
    said.extend(failed);

    // A resumed client receives the full transcript.
    let query = format!("epoch={}&after=0", ready["epoch"].as_str().context("an epoch")?);
    let mut back = Client::join(&hub, &ready, &query).await?;
    let again = back.until(|frame| frame.to_string().contains("model.auth")).await?;
    assert!(text_of(&again).contains("Tokyo"), "{again:?}");
    said.extend(again);

    assert!(!Value::from(said).to_string().contains("hush"), "the key is in a frame");
    assert!(!hub.log().contains("hush"), "the key is in the log: {}", hub.log());
    assert_eq!(files_with(hub.data_dir(), b"hush")?, [""; 0], "the key is in a file");
    Ok(())
}

/// Agents outlive their hub only in containers.
async fn outlive_the_hub(wire: &Wire) -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let replies = vec![Reply::Stream(wire.calls), Reply::Stream(wire.answer), Reply::Stream(wire.answer)];
    let provider = Provider::start(replies).await?;
    let docker = ["--platform", "docker", "--docker-host", &host, "--agent-image", AGENT_IMAGE];
    let (mut hub, args) = start(wire, &provider, &docker)?;
    let mut client = connect(&hub).await?;
    let ready = client.next_frame().await?;
    let said = ask(&mut client, "Weather in Tokyo and S\u{e3}o Paulo?").await?;
    assert_eq!(said.last().context("turn.done")?["reason"], "complete", "{said:?}\n{}", hub.log());
    hub.kill()?;
    hub.start_again(&args.iter().map(String::as_str).collect::<Vec<_>>())?;

    let query = format!("epoch={}&after=0", ready["epoch"].as_str().context("an epoch")?);
    let mut client = Client::join(&hub, &ready, &query).await?;
    let again = until(&mut client, "session.snapshot").await?;
    let snapshot = again.last().context("a snapshot")?["frames"].as_array().context("frames")?;
    assert!(text_of(snapshot).ends_with(&text_of(&said)), "{snapshot:?}");
    let said = ask(&mut client, "And now?").await?;
    assert_eq!(said.last().context("turn.done")?["reason"], "complete", "{said:?}\n{}", hub.log());
    let asked = provider.asked();
    let read = asked.last().context("asked")?.body.to_string();
    for before in ["Weather in Tokyo", "climate normals", "\u{1f324}", "And now?"] {
        assert!(read.contains(before), "{before} is not in what the model read: {read}");
    }
    client.close().await?;
    no_agent_is_left(&hub).await
}

/// Tokens that thoughts and cache entries of the first answer add.
fn extra(wire: &Wire) -> u32 {
    if wire.model.starts_with("anthropic") { 300 } else { 0 }
}

/// Returns the files below a directory that contain these bytes.
fn files_with(directory: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes)?);
        } else if path.is_file() && std::fs::read(&path)?.windows(bytes.len()).any(|window| window == bytes) {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}
