//! Traces that a collector receives, and the fields of the log.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use mayfly_tests::harness::{Client, FRAME_TIMEOUT, Hub};
use mayfly_tests::scripted::{HEALTHY, ScriptedAgent};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::{ask, connect, eventually, until};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
    data: {\"type\":\"start\"}\n\ndata: {\"type\":\"text-start\",\"id\":\"a\"}\n\n\
    data: {\"type\":\"text-delta\",\"id\":\"a\",\"delta\":\"Hi\"}\n\ndata: {\"type\":\"text-end\",\"id\":\"a\"}\n\n\
    data: {\"type\":\"finish\",\"finishReason\":\"stop\"}\n\ndata: [DONE]\n\n";
/// The trace context that a client sends (W3C Trace Context).
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// An OpenTelemetry collector with the functions that these tests need.
struct Collector {
    listener: TcpListener,
    spans: Vec<Span>,
    services: Vec<String>,
}

impl Collector {
    async fn start() -> Result<(Self, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        Ok((Self { listener, spans: Vec::new(), services: Vec::new() }, url))
    }

    /// Receives exports until there is a span with each of these names.
    async fn hear(&mut self, names: &[&str]) -> Result<BTreeMap<String, Span>> {
        let heard = async {
            while !names.iter().all(|name| self.spans.iter().any(|span| span.name == *name)) {
                let (stream, _) = self.listener.accept().await?;
                let sent = receive(stream).await?;
                for of_hub in sent.resource_spans {
                    let attributes = of_hub.resource.map(|resource| resource.attributes).unwrap_or_default();
                    self.services.extend(attributes.iter().map(|one| format!("{}={:?}", one.key, one.value)));
                    self.spans.extend(of_hub.scope_spans.into_iter().flat_map(|scope| scope.spans));
                }
            }
            anyhow::Ok(())
        };
        let heard = timeout(FRAME_TIMEOUT, heard).await;
        let all: Vec<_> = self.spans.iter().map(|span| span.name.clone()).collect();
        heard.with_context(|| format!("{names:?} are not all in {all:?}"))??;
        Ok(self.spans.iter().map(|span| (span.name.clone(), span.clone())).collect())
    }
}

/// Receives one export and closes the connection, so that the next export opens another.
async fn receive(stream: TcpStream) -> Result<ExportTraceServiceRequest> {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let begin = head.len();
        ensure!(stream.read_line(&mut head).await? > 0, "the request broke off");
        let line = head[begin..].to_ascii_lowercase();
        length = line.strip_prefix("content-length: ").map_or(Ok(length), |text| text.trim().parse())?;
    }
    ensure!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    ensure!(head.to_ascii_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).await?;
    Ok(ExportTraceServiceRequest::decode(&body[..])?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    found.map(|attribute| format!("{:?}", attribute.value)).unwrap_or_default()
}

#[tokio::test]
async fn a_session_is_one_trace_shared_with_its_agent() -> Result<()> {
    let (mut collector, endpoint) = Collector::start().await?;
    let mut agent = ScriptedAgent::start(HEALTHY).await?;
    let hub = Hub::start_with(
        &[
            "--platform",
            "static",
            "--static-agents",
            &agent.url,
            "--max-sessions",
            "1",
            "--otlp-endpoint",
            &endpoint,
        ],
        &[("OTEL_BSP_SCHEDULE_DELAY", "20")],
    )?;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let mut client = Client::connect_with(&hub.ws_url, &[("traceparent", &parent)]).await?;
    let ready = client.next_frame().await?;
    client.send_text("Hello").await?;
    let mut turn = agent.turn().await?;
    let told = turn.head.lines().find_map(|line| line.strip_prefix("traceparent: "));
    let told = told.context("the agent is told nothing of the trace")?.to_owned();
    turn.write(ANSWER).await?;
    client.until_turn_done().await?;
    let spans = collector.hear(&["connect", "starting", "probing", "turn"]).await?;

    let [connect, turn] = [&spans["connect"], &spans["turn"]];
    assert!(spans.values().all(|span| hex(&span.trace_id) == TRACE));
    assert_eq!(hex(&connect.parent_span_id), PARENT);
    for below in ["starting", "probing", "turn"] {
        assert_eq!(spans[below].parent_span_id, connect.span_id, "{below}");
        assert!(spans[below].start_time_unix_nano <= spans[below].end_time_unix_nano, "{below}");
    }
    assert_eq!(told, format!("00-{TRACE}-{}-01", hex(&turn.span_id)));
    assert!(attribute(connect, "session.id").contains(ready["session"].as_str().context("a session")?));
    assert!(attribute(turn, "turn.reason").contains("complete"), "{turn:?}");
    let [first] = &turn.events[..] else { panic!("{turn:?}") };
    assert_eq!(first.name, "first token");
    assert!((turn.start_time_unix_nano..=turn.end_time_unix_nano).contains(&first.time_unix_nano));
    assert!(collector.services.iter().any(|one| one.starts_with("service.name=") && one.contains("mayfly")));

    collector.spans.clear();
    crate::support::connect(&hub).await?.until_closed().await?;
    let refused = &collector.hear(&["connect"]).await?["connect"];
    assert_eq!(refused.status.as_ref().context("a status")?.code(), StatusCode::Error);
    assert!(attribute(refused, "error.type").contains("quota.sessions"), "{refused:?}");
    assert_ne!(hex(&refused.trace_id), TRACE);
    Ok(())
}

#[tokio::test]
async fn an_absent_collector_is_logged_once_and_delays_no_session() -> Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", nobody.local_addr()?);
    drop(nobody);
    let mut hub = Hub::start_with(&["--otlp-endpoint", &endpoint], &[("OTEL_BSP_SCHEDULE_DELAY", "20")])?;
    for _ in 0..3 {
        let mut client = connect(&hub).await?;
        assert_eq!(ask(&mut client, "Hello").await?.last().unwrap()["reason"], "complete");
        client.send_text("/bye").await?;
        client.until_closed().await?;
    }
    let told = r#""trace export failed""#;
    eventually(|| Ok(hub.log().contains(told).then_some(()))).await?;
    assert!(hub.stop()?.success());
    assert_eq!(hub.log().matches(told).count(), 1, "{}", hub.log());
    Ok(())
}

#[tokio::test]
async fn without_an_endpoint_agents_get_no_trace_context() -> Result<()> {
    let mut agent = ScriptedAgent::start(HEALTHY).await?;
    let hub = Hub::start(&["--platform", "static", "--static-agents", &agent.url])?;
    let mut client = connect(&hub).await?;
    client.send_text("Hello").await?;
    let turn = agent.turn().await?;
    assert!(!turn.head.to_ascii_lowercase().contains("traceparent"), "{}", turn.head);
    Ok(())
}

#[tokio::test]
async fn the_log_names_session_and_turn_but_no_messages() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut client = connect(&hub).await?;
    let ready = client.next_frame().await?;
    ask(&mut client, "A secret of mine").await?;
    client.send_text("/bye").await?;
    until(&mut client, "session.ended").await?;
    let log = eventually(|| Ok(Some(hub.log()).filter(|log| log.contains("terminated")))).await?;
    let lines: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let of_session = || lines.iter().filter(|line| line["session"] == ready["session"]);
    for said in ["session created", "agent ready", "turn ended", "session ended", "session terminated"] {
        assert!(of_session().any(|line| line["message"] == said), "{said} is not in\n{log}");
    }
    assert!(of_session().any(|line| line["turn"] == json!("t1")), "{log}");
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()), "{log}");
    assert!(!log.contains("secret of mine"), "{log}");
    Ok(())
}
