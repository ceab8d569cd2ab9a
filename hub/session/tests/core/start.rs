//! The agent's start and its signs of life.

use std::time::Duration;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{Status, Step};
use mayfly_protocol::ids::TurnId;
use mayfly_session::lifecycle::{LifecycleChange, Stage};
use mayfly_session::{Attach, SocketId};

use crate::harness::Rig;

fn failed(code: ErrorCode, message: &str, stage: Stage) -> LifecycleChange {
    LifecycleChange::Failed { code, message: message.to_owned(), stage }
}

#[test]
fn session_requests_one_agent_at_once() {
    let mut rig = Rig::new();
    assert_eq!(rig.commands(), ["spawn"]);
    assert_eq!(rig.session.id().to_string(), format!("s_{:032x}", 7));
    rig.session.handle_attach(SocketId(1), Attach::Create, rig.now);
    assert_eq!(rig.received(1), ["ready creating, head 0, token"]);
    rig.lifecycle(LifecycleChange::Ready);
    assert!(rig.commands().is_empty());
}

#[test]
fn steps_of_the_start_are_told() {
    let mut rig = Rig::creating();
    rig.advance(Duration::from_millis(3));
    rig.lifecycle(LifecycleChange::Step(Step::Starting));
    rig.lifecycle(LifecycleChange::Step(Step::Probing));
    rig.send(1, "/status");
    rig.advance(Duration::from_millis(4));
    rig.lifecycle(LifecycleChange::Ready);
    assert_eq!(
        rig.received(1),
        [
            "status creating probing 3 ms, 0 queued",
            "#1 status creating starting 3 ms",
            "#2 status creating probing 3 ms",
            "#3 status active 7 ms",
        ]
    );
}

#[test]
fn message_waits_for_the_agent() {
    let mut rig = Rig::creating();
    rig.send(1, "hello");
    assert!(rig.commands().is_empty());
    assert_eq!(rig.received(1), ["#1 t1 accepted at 0: hello"]);
    rig.lifecycle(LifecycleChange::Ready);
    assert_eq!(rig.commands(), ["start t1 hello"]);
    assert_eq!(rig.session.running_turn(), Some(TurnId(1)));
}

#[test]
fn agent_that_is_not_healthy_in_time_is_stopped() {
    let mut rig = Rig::creating();
    rig.lifecycle(failed(
        ErrorCode::SpawnTimeout,
        "the agent did not become healthy in time",
        Stage::Stopping,
    ));
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.due(), None);
    assert_eq!(
        rig.received(1),
        [
            "error spawn.timeout of the session: the agent did not become healthy in time",
            "ended spawn_failed",
            "close 4508 spawn.timeout",
        ]
    );
    rig.gone();
    assert_eq!(rig.status(), Status::Terminated);
}

#[test]
fn failed_start_leaves_nothing_to_stop() {
    for (error, code, message) in [
        (ErrorCode::SpawnImage, "spawn.image", "no such image"),
        (ErrorCode::SpawnFailed, "spawn.failed", "no room"),
    ] {
        let mut rig = Rig::creating();
        rig.send(1, "hello");
        rig.lifecycle(failed(error, message, Stage::Gone));
        assert_eq!((rig.status(), rig.commands(), rig.due()), (Status::Terminated, vec![], None));
        assert_eq!(
            rig.received(1),
            [
                "#1 t1 accepted at 0: hello".to_owned(),
                format!("#2 t1 done error {code}: {message}"),
                format!("error {code} of the session: {message}"),
                "ended spawn_failed".to_owned(),
                format!("close 4508 {code}"),
            ]
        );
    }
}

#[test]
fn stop_during_the_start_waits_until_the_agent_is_gone() {
    let mut rig = Rig::creating();
    rig.detach(1);
    assert_eq!(rig.commands(), ["stop"]);
    rig.lifecycle(LifecycleChange::Step(Step::Probing));
    rig.lifecycle(LifecycleChange::Ready);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec![]));
    rig.gone();
    assert_eq!((rig.status(), rig.commands()), (Status::Terminated, vec![]));
}

#[test]
fn agent_that_does_not_answer_is_lost_and_stopped() {
    let mut rig = Rig::active();
    rig.send(1, "hello");
    rig.discard();
    let (code, message) = (ErrorCode::AgentUnreachable, "the agent does not answer".to_owned());
    rig.lifecycle(LifecycleChange::Lost { code, message, stage: Stage::Stopping });
    assert_eq!((rig.commands(), rig.due()), (vec!["stop".to_owned()], None));
    assert_eq!(
        rig.received(1),
        [
            "#3 t1 done error agent.unreachable: the agent does not answer",
            "error agent.unreachable of the session: the agent does not answer",
            "ended agent_lost",
            "close 4509 agent.unreachable",
        ]
    );
    rig.gone();
    assert_eq!(rig.status(), Status::Terminated);
}
