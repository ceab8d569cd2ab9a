//! The agent's start and its signs of life.

use std::time::Duration;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{Status, Step};
use mayfly_protocol::ids::TurnId;
use mayfly_session::{Attach, PlatformEvent, SocketId};

use crate::harness::{NANOSECOND, Rig, SIGN_OF_LIFE, SPAWN_TIMEOUT};

#[test]
fn session_requests_one_agent_at_once() {
    let mut rig = Rig::new();
    assert_eq!(rig.commands(), ["spawn"]);
    assert_eq!(rig.session.id().to_string(), format!("s_{:032x}", 7));
    rig.session.handle_attach(SocketId(1), Attach::Create, rig.now);
    assert_eq!(rig.received(1), ["ready creating, head 0, token"]);
    rig.platform(PlatformEvent::Ready);
    assert!(rig.commands().is_empty());
}

#[test]
fn steps_of_the_start_are_told() {
    let mut rig = Rig::creating();
    rig.advance(Duration::from_millis(3));
    rig.platform(PlatformEvent::Step(Step::Starting));
    rig.platform(PlatformEvent::Step(Step::Probing));
    rig.send(1, "/status");
    rig.advance(Duration::from_millis(4));
    rig.platform(PlatformEvent::Ready);
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
    rig.platform(PlatformEvent::Ready);
    assert_eq!(rig.commands(), ["start t1 hello"]);
    assert_eq!(rig.session.running_turn(), Some(TurnId(1)));
}

#[test]
fn start_fails_at_the_spawn_timeout() {
    let mut rig = Rig::creating();
    assert_eq!(rig.due(), Some(SPAWN_TIMEOUT));
    rig.advance(SPAWN_TIMEOUT - NANOSECOND);
    assert_eq!((rig.status(), rig.commands()), (Status::Creating, vec![]));
    rig.advance(NANOSECOND);
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
}

#[test]
fn spawn_timeout_excludes_the_wait_for_other_starts() {
    let mut rig = Rig::creating();
    rig.platform(PlatformEvent::Step(Step::Queued));
    rig.advance(SPAWN_TIMEOUT - NANOSECOND);
    rig.platform(PlatformEvent::Step(Step::Starting));
    assert_eq!(rig.due(), Some(SPAWN_TIMEOUT));
    rig.platform(PlatformEvent::Step(Step::Probing));
    assert_eq!(rig.due(), Some(SPAWN_TIMEOUT), "only the wait is given back");
    let mut rig = Rig::creating();
    rig.platform(PlatformEvent::Step(Step::Queued));
    rig.advance(SPAWN_TIMEOUT);
    assert_eq!(rig.status(), Status::Terminating, "the wait is bounded");
}

#[test]
fn failed_start_leaves_nothing_to_stop() {
    let failed = |code, message: &str| PlatformEvent::Failed { code, message: message.to_owned() };
    for (event, code, message) in [
        (failed(ErrorCode::SpawnImage, "no such image"), "spawn.image", "no such image"),
        (failed(ErrorCode::SpawnFailed, "no room"), "spawn.failed", "no room"),
        (PlatformEvent::Gone, "spawn.failed", "the agent ended before it was ready"),
    ] {
        let mut rig = Rig::creating();
        rig.send(1, "hello");
        rig.platform(event);
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
fn stop_during_the_start_waits_for_the_agent() {
    for last in [
        PlatformEvent::Gone,
        PlatformEvent::Failed { code: ErrorCode::SpawnFailed, message: "stopped".to_owned() },
    ] {
        let mut rig = Rig::creating();
        rig.detach(1);
        assert_eq!(rig.commands(), ["stop"]);
        rig.platform(PlatformEvent::Step(Step::Probing));
        rig.platform(PlatformEvent::Ready);
        assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec![]));
        rig.platform(last);
        assert_eq!((rig.status(), rig.commands()), (Status::Terminated, vec![]));
    }
}

#[test]
fn sign_of_life_is_due_every_30_seconds() {
    let mut rig = Rig::active();
    for _ in 0..3 {
        assert_eq!(rig.due(), Some(SIGN_OF_LIFE));
        rig.advance(SIGN_OF_LIFE - NANOSECOND);
        assert!(rig.commands().is_empty());
        rig.advance(NANOSECOND);
        assert_eq!((rig.commands(), rig.due()), (vec!["sign of life".to_owned()], None));
        rig.platform(PlatformEvent::Alive);
    }
}

#[test]
fn two_missed_signs_of_life_lose_the_agent() {
    let mut rig = Rig::active();
    for event in [PlatformEvent::Silent, PlatformEvent::Alive, PlatformEvent::Silent] {
        rig.advance(SIGN_OF_LIFE);
        assert_eq!(rig.commands(), ["sign of life"]);
        rig.platform(event);
        assert_eq!((rig.status(), rig.due()), (Status::Active, Some(SIGN_OF_LIFE)));
    }
    rig.advance(SIGN_OF_LIFE);
    rig.send(1, "hello");
    rig.discard();
    rig.platform(PlatformEvent::Silent);
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
    rig.platform(PlatformEvent::Gone);
    assert_eq!(rig.status(), Status::Terminated);
}
