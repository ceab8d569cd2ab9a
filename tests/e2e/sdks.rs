//! The providers' official SDKs and our models read the same streams and send the same requests.
//!
//! We wrote the streams of `agent/tests/streams` ourselves. These tests confirm that a provider would send them and
//! would accept our requests. Streams that the SDKs cannot read are not compared: calls without an index, and several
//! calls under one index.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use mayfly_agent::conversation::{Message, ToolCall};
use mayfly_agent::http::Http;
use mayfly_agent::model::anthropic::Anthropic;
use mayfly_agent::model::openai::OpenAi;
use mayfly_agent::model::settings::{Reasoning, Settings};
use mayfly_agent::model::{Model, ModelError, ModelEvent, Prompt};
use mayfly_agent::secret::Secret;
use mayfly_agent::tool::ToolSpec;
use mayfly_protocol::chunk::FinishReason;
use mayfly_tests::provider::{Asked, Provider, Reply};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const KEY: &str = "sk-hush-0123456789";

/// The name of a provider in `sdks.py`.
type Name = &'static str;

/// A stream, and the name of its end on each side.
struct Case {
    stream: &'static str,
    ends: Option<(&'static str, FinishReason)>,
}

const ANTHROPIC: &[Case] = &[
    Case {
        stream: include_str!("../../agent/tests/streams/anthropic-calls.sse"),
        ends: Some(("tool_use", FinishReason::ToolCalls)),
    },
    Case {
        stream: include_str!("../../agent/tests/streams/anthropic-answer.sse"),
        ends: Some(("end_turn", FinishReason::Stop)),
    },
    Case { stream: include_str!("../../agent/tests/streams/anthropic-overloaded.sse"), ends: None },
];
const OPENAI: &[Case] = &[
    Case {
        stream: include_str!("../../agent/tests/streams/openai-calls.sse"),
        ends: Some(("tool_calls", FinishReason::ToolCalls)),
    },
    Case {
        stream: include_str!("../../agent/tests/streams/openai-answer.sse"),
        ends: Some(("stop", FinishReason::Stop)),
    },
    Case {
        stream: include_str!("../../agent/tests/streams/vllm-reasoning.sse"),
        ends: Some(("tool_calls", FinishReason::ToolCalls)),
    },
];

#[tokio::test]
async fn anthropics_sdk_reads_and_sends_the_same() -> Result<()> {
    let Some(told) = compare("anthropic", ANTHROPIC).await? else { return Ok(()) };
    let [calls, .., overloaded] = &told[..] else { panic!("{told:?}") };
    assert_eq!(overloaded["error"]["error"]["type"], "overloaded_error");
    assert!(calls["thoughts"].as_str().is_some_and(|thoughts| !thoughts.is_empty()), "{calls}");
    Ok(())
}

#[tokio::test]
async fn openais_sdk_reads_and_sends_the_same() -> Result<()> {
    let Some(told) = compare("openai", OPENAI).await? else { return Ok(()) };
    assert_eq!(told.last().context("three answers")?["thoughts"], "Two cities, so two calls.");
    Ok(())
}

/// Reads each stream with our model and with the SDK, and returns what the SDK read, or `None` without the SDK.
async fn compare(provider: Name, cases: &[Case]) -> Result<Option<Vec<Value>>> {
    let Some(python) = std::env::var_os("SDK_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "no SDKs in CI: see tests/install");
        eprintln!("left out: SDK_PYTHON names no Python with the providers' SDKs");
        return Ok(None);
    };
    let mut asked = Vec::new();
    for case in cases {
        let server = Provider::start(vec![Reply::Stream(case.stream); 2]).await?;
        let path = if provider == "openai" { "/v1" } else { "" };
        let base_url = format!("http://{}{path}", server.authority);
        asked.push((ask(&*model(provider, &base_url)?).await, server, base_url));
    }
    let jobs = asked.iter().map(|(_, server, base_url)| {
        let request = &server.asked()[0].body;
        json!({ "provider": provider, "base_url": base_url, "key": KEY, "request": request })
    });
    let mut sdk = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/sdks.py"))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    sdk.stdin.take().context("no stdin")?.write_all(jobs.collect::<Value>().to_string().as_bytes()).await?;
    let output = sdk.wait_with_output().await?;
    ensure!(output.status.success(), "{}", output.status);
    let told: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    assert_eq!(told.len(), cases.len());
    for ((case, (ours, server, _)), theirs) in cases.iter().zip(asked).zip(&told) {
        same_request(&server.asked());
        match case.ends {
            Some(ends) => same_answer(ours, theirs, ends),
            None => assert!(matches!(ours.last(), Some(Err(ModelError::Overloaded { .. }))), "{ours:?}"),
        }
    }
    Ok(Some(told))
}

fn model(provider: Name, base_url: &str) -> Result<Box<dyn Model>> {
    let settings = Settings {
        model: "m-9".to_owned(),
        base_url: base_url.to_owned(),
        key: Secret::parse(KEY.to_owned()),
        max_tokens: Some(4096),
        reasoning: Reasoning::Effort("low"),
    };
    let http = Http::new(None)?;
    Ok(if provider == "openai" {
        Box::new(OpenAi::new(http, settings))
    } else {
        Box::new(Anthropic::new(http, settings))
    })
}

/// Returns a conversation with every kind of message.
async fn ask(model: &dyn Model) -> Vec<Result<ModelEvent, ModelError>> {
    let call = |id: &str| ToolCall {
        id: id.to_owned(),
        name: "weather".to_owned(),
        input: json!({ "place": "Oslo", "days": [1, 2] }),
    };
    let messages = [
        Message::User("Weather in Oslo, today and tomorrow?".to_owned()),
        Message::Assistant {
            text: "Let me see.".to_owned(),
            calls: vec![call("a"), call("b")],
            provider_state: None,
        },
        Message::Tool { call: "a".to_owned(), outcome: Ok(json!({ "celsius": 7 })) },
        Message::Tool {
            call: "b".to_owned(),
            outcome: Err("tool.timeout: no answer within 10 s".to_owned()),
        },
        Message::Assistant { text: "Mild.".to_owned(), calls: Vec::new(), provider_state: None },
        Message::User("And in Tokyo and S\u{e3}o Paulo?".to_owned()),
    ];
    let tools = [ToolSpec {
        name: "weather".to_owned(),
        description: "Weather".to_owned(),
        input_schema: json!({ "type": "object", "properties": { "place": { "type": "string" } } }),
    }];
    let prompt = Prompt { instructions: "Be brief.", messages: &messages, tools: &tools };
    model.answer(prompt).collect().await
}

/// Checks that path, key, version and body are the same. Other headers describe the SDK.
fn same_request(asked: &[Asked]) {
    let [ours, theirs] = asked else { panic!("{asked:?}") };
    let of = |asked: &Asked| {
        let mut lines = asked.head.lines();
        let target = lines.next().map(str::to_owned);
        let header = |name: &str| {
            let mut headers = asked.head.lines().filter_map(|line| line.split_once(": "));
            headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let names = ["content-type", "authorization", "x-api-key", "anthropic-version", "anthropic-beta"];
        (target, names.map(header))
    };
    assert_eq!(of(ours), of(theirs));
    assert_eq!(ours.body, theirs.body);
}

fn same_answer(ours: Vec<Result<ModelEvent, ModelError>>, theirs: &Value, ends: (&str, FinishReason)) {
    let (mut text, mut thoughts, mut calls) = (String::new(), String::new(), Vec::new());
    let (mut usage, mut finish) = (None, None);
    for event in ours {
        match event.unwrap() {
            ModelEvent::Text(token) => text.push_str(&token),
            ModelEvent::Reasoning(token) => thoughts.push_str(&token),
            ModelEvent::Call(call) => calls.push(json!([call.id, call.name, call.input])),
            // The provider state equals the blocks that a user of the SDK sends back during tool calls.
            ModelEvent::ProviderState(Value::Array(blocks)) => assert_eq!(theirs["blocks"], json!(blocks)),
            ModelEvent::Usage(tokens) => usage = Some(tokens),
            ModelEvent::Finish(reason) => finish = Some(reason),
            ModelEvent::ProviderState(_) | ModelEvent::CallStart { .. } | ModelEvent::CallInput { .. } => {}
            bad @ ModelEvent::InvalidCall { .. } => panic!("{bad:?}"),
        }
    }
    let usage = usage.unwrap();
    let ours = json!({
        "is_typed": true, "text": text, "thoughts": thoughts, "calls": calls, "stop": ends.0,
        "input": usage.input_tokens, "cached": usage.cached_input_tokens, "output": usage.output_tokens,
    });
    let mut theirs = theirs.clone();
    theirs.as_object_mut().unwrap().remove("blocks");
    assert_eq!(ours, theirs);
    assert_eq!(finish, Some(ends.1));
}
