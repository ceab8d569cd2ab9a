//! The bytes of both wires as a snapshot. A change of the protocol shows as a changed line.

use std::time::Duration;

use mayfly_protocol::agent::{
    BindRequest, ChatRequest, ChatResponse, Health, HealthStatus, History, PastTurn,
};
use mayfly_protocol::chunk::{Chunk, FinishReason, MessageMetadata, Notice};
use mayfly_protocol::client::{COMMANDS, ClientFrame, Credential};
use mayfly_protocol::code::{ErrorCode, Retry, Scope};
use mayfly_protocol::hub::{
    Clock, Command, Deadline, EndReason, HubFrame, SnapshotReason, Status, Step, TurnError, TurnReason,
    Usage, snapshot_json,
};
use mayfly_protocol::ids::{Epoch, SessionId, TurnId};
use mayfly_protocol::refusal::{Close, Refusal};
use mayfly_protocol::{VERSION, rest, text, typescript};
use serde_json::json;

const USAGE: Usage = Usage {
    input_tokens: Some(3),
    cached_input_tokens: Some(1),
    output_tokens: Some(2),
    total_tokens: Some(5),
};

fn hub_frames() -> Vec<HubFrame> {
    let error = TurnError { code: ErrorCode::AgentFailed, message: "out of luck".to_owned() };
    let done = |reason, error| HubFrame::TurnDone {
        turn: TurnId(1),
        reason,
        error,
        ttft_ms: None,
        took_ms: None,
        usage: None,
        seq: 5,
    };
    let ended = |reason| HubFrame::Ended { reason };
    let status = |status, step, seq| HubFrame::Status {
        status,
        step,
        position: None,
        elapsed_ms: 42,
        turn: None,
        queued: None,
        seq: Some(seq),
    };
    let refused = |scope, retry_after_ms: Option<u64>| HubFrame::Error {
        id: retry_after_ms.map(|_| "c1".to_owned()),
        code: ErrorCode::QuotaQueue,
        scope,
        retryable: retry_after_ms.is_some(),
        retry_after_ms,
        message: "too many messages are waiting".to_owned(),
    };
    let accepted = |message: Option<&str>, position| HubFrame::TurnAccepted {
        turn: TurnId(1),
        message: message.map(str::to_owned),
        position,
        text: "Weather in \"Oslo\"?".to_owned(),
        replaces: None,
        seq: 4,
    };
    let ready = |token: Option<&str>, resumed, idle_ms| HubFrame::Ready {
        v: VERSION,
        session: SessionId::from_u128(7),
        token: token.map(str::to_owned),
        epoch: Epoch(10),
        head: 0,
        resumed,
        ping_ms: 15_000,
        grace_ms: 20_000,
        status: Status::Creating,
        deadline: Deadline { idle_ms, max_ms: 7_200_000 },
    };
    let command = |(name, does): (&str, &str)| Command { name: name.to_owned(), does: does.to_owned() };
    vec![
        ready(Some("token"), false, None),
        ready(None, true, Some(1_800_000)),
        HubFrame::Status {
            status: Status::Creating,
            step: Some(Step::Queued),
            position: Some(3),
            elapsed_ms: 42,
            turn: None,
            queued: None,
            seq: None,
        },
        status(Status::Creating, Some(Step::Queued), 1),
        status(Status::Creating, Some(Step::Claiming), 1),
        status(Status::Creating, Some(Step::Starting), 1),
        status(Status::Creating, Some(Step::Probing), 2),
        status(Status::Active, None, 3),
        status(Status::Idle, None, 4),
        status(Status::Terminating, None, 4),
        status(Status::Terminated, None, 5),
        HubFrame::Status {
            status: Status::Active,
            step: None,
            position: None,
            elapsed_ms: 42,
            turn: Some(TurnId(1)),
            queued: Some(2),
            seq: None,
        },
        accepted(None, 0),
        accepted(Some("m1"), 2),
        HubFrame::TurnAccepted {
            turn: TurnId(2),
            message: None,
            position: 0,
            text: "again".to_owned(),
            replaces: Some(TurnId(1)),
            seq: 4,
        },
        HubFrame::TurnDone {
            turn: TurnId(1),
            reason: TurnReason::Complete,
            error: None,
            ttft_ms: Some(310),
            took_ms: Some(2_400),
            usage: Some(USAGE),
            seq: 5,
        },
        done(TurnReason::Complete, None),
        done(TurnReason::Stopped, None),
        done(TurnReason::Error, Some(error)),
        done(TurnReason::Expired, None),
        done(TurnReason::Length, None),
        ended(EndReason::Bye),
        ended(EndReason::Disconnected),
        ended(EndReason::Idle),
        ended(EndReason::Max),
        ended(EndReason::Deleted),
        ended(EndReason::AgentLost),
        ended(EndReason::SpawnFailed),
        ended(EndReason::Drained),
        refused(Scope::Frame, Some(1000)),
        refused(Scope::Turn, None),
        refused(Scope::Session, None),
        refused(Scope::Hub, None),
        HubFrame::Expiring { cause: Clock::Idle, remaining_ms: 30_000, can_extend: true },
        HubFrame::Expiring { cause: Clock::Max, remaining_ms: 30_000, can_extend: false },
        HubFrame::Expiring { cause: Clock::Drain, remaining_ms: 18_000, can_extend: false },
        HubFrame::Extended { deadline: Deadline { idle_ms: Some(1_800_000), max_ms: 7_200_000 } },
        HubFrame::Pong { t: 1712 },
        HubFrame::Help { commands: COMMANDS.map(command).to_vec() },
    ]
}

/// A snapshot for each reason, each with one frame fewer.
fn snapshots() -> Vec<Vec<u8>> {
    let frames = [
        r#"{"seq":1,"turn":"t1","type":"text-start","id":"p1"}"#,
        r#"{"from":2,"seq":4,"turn":"t1","type":"text-delta","id":"p1","delta":"It is mild"}"#,
        r#"{"type":"turn.done","turn":"t1","reason":"complete","seq":5}"#,
    ];
    let reasons =
        [SnapshotReason::New, SnapshotReason::Epoch, SnapshotReason::Gap, SnapshotReason::Gone].into_iter();
    let snapshot = |(index, why)| {
        let frames = frames.iter().skip(index).map(|frame| frame.as_bytes());
        snapshot_json(frames, why == SnapshotReason::Gone, why)
    };
    reasons.enumerate().map(snapshot).collect()
}

fn client_frames() -> Vec<ClientFrame> {
    vec![
        ClientFrame::Message { id: None, text: "hello".to_owned() },
        ClientFrame::Message { id: Some("m1".to_owned()), text: "hello".to_owned() },
        ClientFrame::Stop { turn: None },
        ClientFrame::Stop { turn: Some(TurnId(1)) },
        ClientFrame::Hello { client: None, client_id: None, token: None },
        ClientFrame::Hello {
            client: Some("web/1.0".to_owned()),
            client_id: Some("tab-7".to_owned()),
            token: Some(Credential::new("token".to_owned())),
        },
        ClientFrame::Regenerate { turn: Some(TurnId(3)) },
        ClientFrame::Ping { t: 1712 },
        ClientFrame::Extend,
        ClientFrame::Status,
        ClientFrame::Help,
        ClientFrame::Bye,
    ]
}

fn chunks() -> Vec<Chunk> {
    let (id, call) = (|| "p1".to_owned(), || "c1".to_owned());
    let finish = |finish_reason| Chunk::Finish { finish_reason, message_metadata: None };
    let error = |code| Chunk::Error { error_text: "out of luck".to_owned(), code, message_metadata: None };
    vec![
        Chunk::Start,
        Chunk::StartStep,
        Chunk::FinishStep,
        Chunk::TextStart { id: id() },
        Chunk::TextDelta { id: id(), delta: "It is ".to_owned() },
        Chunk::TextEnd { id: id() },
        Chunk::ReasoningStart { id: id() },
        Chunk::ReasoningDelta { id: id(), delta: "Oslo lies in ".to_owned() },
        Chunk::ReasoningEnd { id: id() },
        Chunk::ToolInputStart { tool_call_id: call(), tool_name: "weather".to_owned() },
        Chunk::ToolInputDelta { tool_call_id: call(), input_text_delta: "{\"city\":".to_owned() },
        Chunk::ToolInputError {
            tool_call_id: call(),
            tool_name: "weather".to_owned(),
            input: json!("{\"city\":"),
            error_text: "it is cut off".to_owned(),
        },
        Chunk::ToolInputAvailable {
            tool_call_id: call(),
            tool_name: "weather".to_owned(),
            input: json!({"city": "Oslo"}),
        },
        Chunk::ToolOutputAvailable { tool_call_id: call(), output: json!({"celsius": 7}) },
        Chunk::ToolOutputError { tool_call_id: call(), error_text: "no such city".to_owned() },
        Chunk::DataNotice {
            data: Notice {
                code: ErrorCode::ModelContextLength,
                message: "the oldest is left out".to_owned(),
            },
        },
        Chunk::Finish {
            finish_reason: FinishReason::Stop,
            message_metadata: Some(MessageMetadata { usage: Some(USAGE) }),
        },
        finish(FinishReason::Stop),
        finish(FinishReason::ToolCalls),
        finish(FinishReason::Length),
        finish(FinishReason::ContentFilter),
        finish(FinishReason::Error),
        finish(FinishReason::Other),
        Chunk::Abort { message_metadata: None },
        Chunk::Abort { message_metadata: Some(MessageMetadata { usage: Some(USAGE) }) },
        error(None),
        error(Some(ErrorCode::ModelOverloaded)),
    ]
}

/// Bodies of the hub's calls and of the agent's answers.
fn calls() -> Vec<String> {
    let session_id = SessionId::from_u128(7);
    let bind = |owner: Option<&str>, env: &[(&str, &str)]| BindRequest {
        session_id,
        deadline: 1_800_000_000,
        owner: owner.map(str::to_owned),
        env: env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
    };
    let chat = |replaces: Option<TurnId>| ChatRequest {
        session_id,
        turn: TurnId(2),
        message: "Weather in Oslo?".to_owned(),
        message_id: replaces.map(|_| "c1".to_owned()),
        replaces,
    };
    let raw = |chunk: &Chunk| serde_json::value::to_raw_value(chunk).expect("a chunk is JSON");
    let past = |end: Option<&Chunk>, replaces: Option<TurnId>, chunks: &[Chunk]| PastTurn {
        turn: TurnId(2),
        message: "Weather in Oslo?".to_owned(),
        message_id: replaces.map(|_| "c1".to_owned()),
        replaces,
        chunks: chunks.iter().map(raw).collect(),
        end: end.map(raw),
    };
    let said = [Chunk::Start, Chunk::TextDelta { id: "p1".to_owned(), delta: "It is mild".to_owned() }];
    let history = History {
        truncated: false,
        turns: vec![
            past(
                Some(&Chunk::Finish { finish_reason: FinishReason::Stop, message_metadata: None }),
                None,
                &said,
            ),
            past(None, Some(TurnId(1)), &[]),
        ],
    };
    let json = |value: serde_json::Result<String>| value.expect("a call is JSON");
    vec![
        json(serde_json::to_string(&bind(None, &[]))),
        json(serde_json::to_string(&bind(Some("ada"), &[("MODEL", "builtin")]))),
        json(serde_json::to_string(&chat(None))),
        json(serde_json::to_string(&chat(Some(TurnId(1))))),
        json(serde_json::to_string(&ChatResponse { response: "It is mild".to_owned(), session_id })),
        json(serde_json::to_string(&Health {
            status: HealthStatus::Healthy,
            session_id: Some(session_id),
            turn: None,
        })),
        json(serde_json::to_string(&history)),
    ]
}

/// Bodies of REST calls and of their answers.
fn rest_bodies() -> Vec<String> {
    let session_id = SessionId::from_u128(7);
    let at = || "2026-11-28T01:00:00.000Z".to_owned();
    let health = |status, error: Option<&str>| {
        json!(rest::SessionHealth {
            status,
            last_check: at(),
            response_time_ms: 3,
            error: error.map(str::to_owned)
        })
    };
    let over = rest::SessionView {
        session_id,
        status: Status::Terminated,
        step: None,
        reason: Some(EndReason::Deleted),
        owner: Some("ada".to_owned()),
        created_at: at(),
        uptime_ms: 60_000,
        deadline: None,
        turn: None,
        queued: 0,
        sockets: 0,
        epoch: None,
        head: None,
    };
    let live = rest::SessionView {
        status: Status::Active,
        reason: None,
        owner: None,
        deadline: Some(Deadline { idle_ms: Some(1_000), max_ms: 2_000 }),
        turn: Some(TurnId(2)),
        queued: 1,
        sockets: 1,
        epoch: Some(Epoch(7)),
        head: Some(9),
        ..over.clone()
    };
    let refusal =
        Refusal::new(ErrorCode::QuotaSessions, "all sessions are taken").after(Duration::from_secs(5));
    let bodies = [
        json!(rest::NewSession { owner: None }),
        json!(rest::NewSession { owner: Some("ada".to_owned()) }),
        json!(rest::CreatedSession {
            session_id,
            status: Status::Creating,
            token: "0f".to_owned(),
            endpoint: format!("/ws/{session_id}"),
            expires_at: at(),
        }),
        json!(rest::SessionList { sessions: vec![live, over] }),
        json!(rest::NewMessage { message: "Weather in Oslo?".to_owned() }),
        json!(rest::Reply {
            response: "It is mild".to_owned(),
            session_id,
            turn: TurnId(2),
            reason: TurnReason::Complete
        }),
        json!(rest::Deleted { session_id, status: Status::Terminated }),
        health(rest::Health::Healthy, None),
        health(rest::Health::Unhealthy, Some("the agent is being started")),
        health(rest::Health::Terminated, None),
        json!(rest::SessionMetrics {
            messages_processed: 2,
            average_response_time_ms: Some(400),
            memory_usage_bytes: None,
            uptime_ms: 60_000,
        }),
        json!(rest::NewTicket { owner: Some("ada".to_owned()) }),
        json!(rest::MintedTicket { ticket: Credential::new("0a".to_owned()), expires_at: at() }),
        json!(refusal.to_problem("Service Unavailable")),
    ];
    bodies.iter().map(ToString::to_string).collect()
}

#[test]
fn typescript_is_generated() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/client/src/protocol.ts");
    let committed = std::fs::read_to_string(file).unwrap();
    assert!(committed == typescript::generate(), "web/client/src/protocol.ts is old; run `make generate`");
}

/// Returns a code's row of the table, as clients see it.
fn rule(code: ErrorCode) -> String {
    let refusal = Refusal::new(code, "why");
    let (frame, problem) = (json!(refusal.to_frame()), json!(refusal.to_problem("")));
    let close = code.rule().close.map(|_| json!([refusal.close().code().number(), refusal.close().reason()]));
    json!([frame["code"], problem["status"], close, frame["scope"], frame["retryable"]]).to_string()
}

fn samples() -> String {
    let mut lines = vec!["hub -> client".to_owned()];
    lines.extend(hub_frames().iter().map(|frame| String::from_utf8(frame.to_json()).expect("JSON is UTF-8")));
    lines.extend(snapshots().into_iter().map(|frame| String::from_utf8(frame).expect("JSON is UTF-8")));
    lines.push("\nclient -> hub".to_owned());
    lines.extend(client_frames().iter().map(|frame| serde_json::to_string(frame).expect("an enum is JSON")));
    lines.push("\nagent -> hub".to_owned());
    lines.extend(chunks().iter().map(Chunk::to_json));
    lines.push("\nhub <-> agent".to_owned());
    lines.extend(calls());
    lines.push("\nREST".to_owned());
    lines.extend(rest_bodies());
    lines.push("\nerror codes".to_owned());
    lines.extend(ErrorCode::ALL.iter().map(|code| rule(*code)));
    lines.push("\nother closes".to_owned());
    let closes = [
        Close::BYE,
        Close::HEARTBEAT,
        Close::REPLACED,
        Close::PROTOCOL_ERROR,
        Close::INVALID_UTF8,
        Close::bad_frames(ErrorCode::ProtoTooLarge),
    ];
    lines.extend(closes.map(|close| json!([close.code().number(), close.reason()]).to_string()));
    lines.push("\nas a person reads them".to_owned());
    let frames = hub_frames().into_iter().map(|frame| frame.to_json()).chain(snapshots());
    let chunks = chunks().into_iter().map(|chunk| chunk.to_json().into_bytes());
    lines.extend(frames.chain(chunks).map(|frame| json!(text::render(&frame)).to_string()));
    lines.join("\n")
}

#[test]
fn samples_equal_the_snapshot() {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("wire", samples());
    });
}

#[test]
fn every_name_on_the_wire_has_a_sample() {
    let (samples, typescript) = (samples(), typescript::generate());
    let (declarations, _) = typescript.split_once("/** An agent's chunk").unwrap();
    for name in declarations.split('"').skip(1).step_by(2) {
        assert!(samples.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn frames_round_trip() {
    for frame in hub_frames() {
        assert_eq!(serde_json::from_slice::<HubFrame>(&frame.to_json()).unwrap(), frame);
    }
    for chunk in chunks() {
        assert_eq!(serde_json::from_str::<Chunk>(&chunk.to_json()).unwrap(), chunk);
    }
    for frame in client_frames() {
        assert_eq!(ClientFrame::parse(&serde_json::to_string(&frame).unwrap()).unwrap(), frame);
    }
    for code in ErrorCode::ALL {
        let wire = serde_json::to_string(code).unwrap();
        assert_eq!(wire, format!("\"{code}\""));
        assert_eq!(serde_json::from_str::<ErrorCode>(&wire).unwrap(), *code);
    }
}

#[test]
fn calls_round_trip() {
    let calls = calls();
    for call in &calls[..2] {
        assert_eq!(
            serde_json::to_string(&serde_json::from_str::<BindRequest>(call).unwrap()).unwrap(),
            *call
        );
    }
    for call in &calls[2..4] {
        assert_eq!(
            serde_json::to_string(&serde_json::from_str::<ChatRequest>(call).unwrap()).unwrap(),
            *call
        );
    }
    let history = serde_json::from_str::<History>(&calls[6]).unwrap();
    assert_eq!(serde_json::to_string(&history).unwrap(), calls[6]);
}

#[test]
fn chunk_ignores_the_hubs_keys() {
    let frame = r#"{"seq":4,"turn":"t1","type":"text-delta","id":"p1","delta":"hi","more":true}"#;
    let chunk = Chunk::TextDelta { id: "p1".to_owned(), delta: "hi".to_owned() };
    assert_eq!(serde_json::from_str::<Chunk>(frame).unwrap(), chunk);
    assert_eq!(text::render(frame.as_bytes()).as_deref(), Some("hi"));
}

#[test]
fn snapshot_is_json() {
    for (index, json) in snapshots().iter().enumerate() {
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["frames"].as_array().unwrap().len(), 3 - index);
    }
}

#[test]
fn unknown_finish_reason_is_other() {
    let chunk: Chunk = serde_json::from_str(r#"{"type":"finish","finishReason":"boredom"}"#).unwrap();
    assert_eq!(chunk, Chunk::Finish { finish_reason: FinishReason::Other, message_metadata: None });
}

#[test]
fn only_finish_abort_and_error_are_terminal() {
    let terminal: Vec<_> = chunks().into_iter().filter(Chunk::is_terminal).collect();
    assert_eq!(terminal, chunks().into_iter().skip_while(|chunk| !chunk.is_terminal()).collect::<Vec<_>>());
    assert_eq!(terminal.len(), 11);
}

#[test]
fn agents_report_codes_of_models_tools_and_memory() {
    for code in ErrorCode::ALL {
        let area = code.name().split_once('.').unwrap().0;
        assert_eq!(code.is_from_agent(), ["model", "tool", "memory"].contains(&area), "{code}");
    }
}

#[test]
fn close_frame_names_the_code_of_the_error_frame() {
    for code in ErrorCode::ALL {
        let refusal = Refusal::new(*code, "why");
        assert_eq!(json!(refusal.to_frame())["code"], refusal.close().reason());
    }
}

#[test]
fn client_may_reconnect_exactly_when_it_may_retry() {
    for code in ErrorCode::ALL {
        let rule = code.rule();
        if let Some(close) = rule.close {
            assert_eq!(close.may_reconnect(), rule.retry == Retry::Later, "{code}");
        }
    }
}

#[test]
fn refused_frame_reaches_no_further_than_the_frame() {
    for code in ErrorCode::ALL {
        let frame = Refusal::new(*code, "why").of_frame(Some("c1".to_owned())).to_frame();
        assert!(
            matches!(&frame, HubFrame::Error { id: Some(id), scope: Scope::Frame, .. } if id == "c1"),
            "{frame:?}"
        );
    }
}

#[test]
fn time_to_retry_is_rounded_up() {
    for (micros, millis) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
        let refusal = Refusal::new(ErrorCode::QuotaRate, "why").after(Duration::from_micros(micros));
        assert_eq!(json!(refusal.to_frame())["retry_after_ms"], millis);
        assert_eq!(json!(refusal.to_problem(""))["retry_after_ms"], millis);
    }
}

#[test]
fn unknown_frame_has_no_text() {
    for frame in ["", "{}", r#"{"type":"dance"}"#] {
        assert_eq!(text::render(frame.as_bytes()), None);
    }
}
