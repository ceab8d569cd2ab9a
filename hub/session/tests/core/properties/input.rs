//! The inputs of a history, and the settings of its session.

use std::time::Duration;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Step;
use mayfly_session::lifecycle::{LifecycleChange, Stage};
use mayfly_session::{Activity, Detach, Fate, Settings};
use proptest::prelude::*;

use crate::properties::CLIENTS;

/// The state in which a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    Admitted,
    /// In the hub's line.
    Queued,
}

#[derive(Debug, Clone)]
pub(super) enum Input {
    Attach(usize),
    Leave(usize, Detach),
    Say(usize, Saying),
    Ask(Option<&'static str>),
    Hang(usize),
    Extend,
    Delete,
    Agent(Target, Answer),
    /// The session is admitted from the hub's line.
    Admit,
    Position(u32),
    Lifecycle(LifecycleChange),
    Drain(Fate),
    Shutdown(Fate),
    Cancelled,
    Timeout(Wake),
    Wait(u64),
    Read(usize, usize),
    Reads(usize, bool),
    Commands(bool),
}

#[derive(Debug, Clone)]
pub(super) enum Saying {
    Line(&'static str),
    /// More questions than answers may wait, or nearly; also more than a client may send.
    Flood(usize),
    Pings(usize),
}

/// The turn of an agent's event.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Running,
    Any(u32),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Alive,
    /// One of [`DELTAS`].
    Content(&'static str),
    Chunk(&'static str),
    Failed(ErrorCode),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Wake {
    Early,
    Exact,
    Late,
}

/// Pieces of an answer, but for their text. Those that come most often come next to each other.
const DELTAS: [&str; 8] = [
    r#""type":"text-delta","id":"p","delta""#,
    r#""type":"text-delta","id":"p","delta""#,
    r#""type":"text-delta","id":"p","delta""#,
    r#""type":"text-delta","id":"p","delta""#,
    r#""type":"text-delta","id":"p","delta""#,
    r#""type":"text-delta","id":"q","delta""#,
    r#""type":"reasoning-delta","id":"p","delta""#,
    r#""type":"tool-input-delta","toolCallId":"p","inputTextDelta""#,
];

fn saying() -> impl Strategy<Value = Saying> {
    let line = prop::sample::select(vec![
        r#"{"type":"stop","turn":"t1"}"#,
        r#"{"type":"stop","turn":"t3"}"#,
        r#"{"type":"stop","turn":"t99"}"#,
        r#"{"type":"hello","client_id":"tab"}"#,
        r#"{"type":"regenerate"}"#,
        r#"{"type":"regenerate","turn":"t1"}"#,
        r#"{"type":"ping","t":1}"#,
        "/stop",
        "/extend",
        "/status",
        "/help",
        "{",
        "/dance",
    ]);
    prop_oneof![
        40 => Just(Saying::Line("hello")),
        10 => Just(Saying::Line(r#"{"type":"message","id":"m","text":"hello"}"#)),
        40 => line.prop_map(Saying::Line),
        1 => Just(Saying::Line("/bye")),
        1 => (30..110_usize).prop_map(Saying::Flood),
        1 => (1..60_usize).prop_map(Saying::Pings),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let terminal = prop::sample::select(vec![
        r#"{"type":"finish"}"#,
        r#"{"type":"finish","finishReason":"length"}"#,
        r#"{"type":"finish","finishReason":"content-filter"}"#,
        r#"{"type":"finish","finishReason":[]}"#,
        r#"{"type":"abort"}"#,
        r#"{"type":"error","errorText":"no"}"#,
    ]);
    let invalid = prop::sample::select(vec!["", "{}", "[DONE]", r#"{"type":"text-delta","seq":1}"#]);
    let code = prop::sample::select(vec![ErrorCode::AgentStreamTruncated, ErrorCode::AgentHttp]);
    prop_oneof![
        12 => prop::sample::select(DELTAS.as_slice()).prop_map(Answer::Content),
        1 => Just(Answer::Alive),
        1 => Just(Answer::Chunk(r#"{"type":"text-start","id":"p"}"#)),
        4 => terminal.prop_map(Answer::Chunk),
        1 => invalid.prop_map(Answer::Chunk),
        1 => code.prop_map(Answer::Failed),
    ]
}

fn lifecycle() -> impl Strategy<Value = LifecycleChange> {
    let failed = |stage| {
        let (code, message) = (ErrorCode::SpawnFailed, "failed".to_owned());
        LifecycleChange::Failed { code, message, stage }
    };
    let lost = |stage| {
        let (code, message) = (ErrorCode::AgentUnreachable, "lost".to_owned());
        LifecycleChange::Lost { code, message, stage }
    };
    prop_oneof![
        2 => Just(LifecycleChange::Step(Step::Starting)),
        2 => Just(LifecycleChange::Step(Step::Probing)),
        16 => Just(LifecycleChange::Ready),
        1 => prop::sample::select(vec![Stage::Gone, Stage::Stopping]).prop_map(failed),
        2 => prop::sample::select(vec![Stage::Gone, Stage::Stopping]).prop_map(lost),
        1 => Just(LifecycleChange::Gone),
    ]
}

pub(super) fn input() -> impl Strategy<Value = Input> {
    let target = prop_oneof![8 => Just(Target::Running), 1 => (0..12_u32).prop_map(Target::Any)];
    let wake = prop::sample::select(vec![Wake::Early, Wake::Exact, Wake::Late]);
    let client = || 0..CLIENTS;
    let fate = || prop::sample::select(vec![Fate::Ends, Fate::LivesOn]);
    let detach = prop_oneof![1 => Just(Detach::Closed), 6 => Just(Detach::Lost)];
    prop_oneof![
        8 => client().prop_map(Input::Attach),
        3 => (client(), detach).prop_map(|(client, how)| Input::Leave(client, how)),
        30 => (client(), saying()).prop_map(|(client, saying)| Input::Say(client, saying)),
        40 => (target, answer()).prop_map(|(target, answer)| Input::Agent(target, answer)),
        6 => prop::sample::select(vec![None, Some("m"), Some("n")]).prop_map(Input::Ask),
        2 => (0..8_usize).prop_map(Input::Hang),
        1 => Just(Input::Extend),
        1 => Just(Input::Delete),
        8 => Just(Input::Admit),
        2 => (1..9_u32).prop_map(Input::Position),
        14 => lifecycle().prop_map(Input::Lifecycle),
        1 => fate().prop_map(Input::Drain),
        1 => fate().prop_map(Input::Shutdown),
        8 => Just(Input::Cancelled),
        6 => wake.prop_map(Input::Timeout),
        4 => (0..3_000_u64).prop_map(Input::Wait),
        6 => (client(), 1..5_usize).prop_map(|(client, frames)| Input::Read(client, frames)),
        2 => (client(), any::<bool>()).prop_map(|(client, reads)| Input::Reads(client, reads)),
        3 => any::<bool>().prop_map(Input::Commands),
    ]
}

pub(super) fn settings() -> impl Strategy<Value = Settings> {
    let seconds = |choices: &[u64]| {
        prop::sample::select(choices.iter().map(|seconds| Duration::from_secs(*seconds)).collect::<Vec<_>>())
    };
    let activity = prop::sample::select(vec![Activity::Heartbeat, Activity::Message]);
    let ends = (seconds(&[10, 60, 3_600]), seconds(&[20, 90, 7_200]), seconds(&[1, 8, 30]));
    let waits = (seconds(&[0, 5, 20]), seconds(&[0, 7]), seconds(&[3, 15, 600]));
    (ends, waits, activity).prop_map(|(ends, waits, activity)| {
        let ((idle_ttl, max_ttl, warning), (grace, linger, heartbeat)) = (ends, waits);
        let spawn_timeout = Duration::from_secs(40);
        Settings { spawn_timeout, idle_ttl, max_ttl, warning, grace, linger, heartbeat, activity }
    })
}
