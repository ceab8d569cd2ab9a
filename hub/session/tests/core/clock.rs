//! Ten thousand sessions in one simulated time: each is woken when it asks for it, and none ends early or late.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use mayfly_protocol::hub::Status;
use mayfly_session::{Activity, Settings};

use crate::harness::{FINISH, QUIET, Rig};

const SESSIONS: u64 = 10_000;

const SETTINGS: Settings = Settings {
    idle_ttl: Duration::from_secs(300),
    max_ttl: Duration::from_secs(1_800),
    warning: Duration::from_secs(30),
    grace: Duration::from_secs(20),
    linger: Duration::from_secs(40),
    heartbeat: Duration::from_secs(15),
    ..QUIET
};

/// The client's behaviour, with the time since the session began.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Answers Pings, and nothing else.
    Watches,
    /// Says something for the last time here.
    Talks(Duration),
    /// Is lost here.
    IsLost(Duration),
    /// Is lost here while an answer is under way that never ends.
    IsLostInMidAnswer(Duration),
    /// Answers no Ping from here on.
    FallsSilent(Duration),
}

impl Fate {
    fn of(index: u64) -> Self {
        // Spread over the session's life, and never twice the same.
        let at = Duration::from_millis(1_000 + index.wrapping_mul(7_919) % 1_200_000);
        match index % 5 {
            0 => Self::Watches,
            1 => Self::Talks(at),
            2 => Self::IsLost(at),
            3 => Self::IsLostInMidAnswer(at),
            _ => Self::FallsSilent(at),
        }
    }

    fn acts_after(self) -> Option<Duration> {
        match self {
            Self::Watches => None,
            Self::Talks(at) | Self::IsLost(at) | Self::IsLostInMidAnswer(at) | Self::FallsSilent(at) => {
                Some(at)
            }
        }
    }
}

struct Simulated {
    rig: Rig,
    born: Instant,
    fate: Fate,
    activity: Activity,
    acted: bool,
    /// Time of the last activity, where only messages count.
    active: Duration,
}

impl Simulated {
    fn new(index: u64) -> Self {
        let fate = Fate::of(index);
        let activity = if (index / 5).is_multiple_of(2) { Activity::Message } else { Activity::Heartbeat };
        let rig = Rig::active_with(Settings { activity, ..SETTINGS });
        Self { born: rig.now, rig, fate, activity, acted: false, active: Duration::ZERO }
    }

    /// Returns the time at which the session must end.
    fn ends_after(&self) -> Duration {
        let Settings { idle_ttl, max_ttl, grace, linger, heartbeat, .. } = SETTINGS;
        let left = match self.fate {
            Fate::Watches | Fate::Talks(_) => max_ttl,
            Fate::IsLost(at) => at + grace,
            // A turn that runs is activity.
            Fate::IsLostInMidAnswer(at) => return at + grace + linger,
            Fate::FallsSilent(last) => last + 3 * heartbeat + grace,
        };
        match self.activity {
            Activity::Message => left.min(self.active + idle_ttl),
            Activity::Heartbeat => left,
        }
    }

    /// Returns the time of the next timeout or action of the client.
    fn next(&self) -> Option<Duration> {
        let due = self.rig.session.poll_timeout().map(|at| at - self.born);
        let act = self.fate.acts_after();
        [due, act.filter(|_| !self.acted)].into_iter().flatten().min()
    }

    fn happen(&mut self, at: Duration) {
        self.rig.now = self.born + at;
        // An answer that gets on and never ends.
        if let Some(turn) = self.rig.session.running_turn() {
            self.rig.chunk(turn.0, r#"{"type":"data-alive"}"#);
        }
        self.rig.advance(Duration::ZERO);
        self.rig.commands();
        let is_asked = self.rig.received(1).contains(&"ping".to_owned());
        if self.fate.acts_after() == Some(at) && !self.acted {
            self.acted = true;
            if matches!(self.fate, Fate::Talks(_) | Fate::IsLostInMidAnswer(_)) {
                self.active = at;
            }
            match self.fate {
                Fate::Watches => {}
                Fate::Talks(_) => {
                    self.rig.send(1, "hello");
                    self.rig.chunk(1, FINISH);
                }
                Fate::IsLost(_) => self.rig.lose(1),
                Fate::IsLostInMidAnswer(_) => {
                    self.rig.send(1, "hello");
                    self.rig.lose(1);
                }
                Fate::FallsSilent(_) => self.rig.send_pong(1),
            }
        } else if is_asked && !(self.acted && matches!(self.fate, Fate::FallsSilent(_))) {
            self.rig.send_pong(1);
        }
        // Whoever has something to do yet stays.
        if self.rig.status() == Status::Idle && !self.acted && !matches!(self.fate, Fate::Watches) {
            self.rig.send(1, "/extend");
            self.active = at;
        }
    }
}

#[test]
fn ten_thousand_sessions_end_on_time() {
    let mut sessions: Vec<Simulated> = (0..SESSIONS).map(Simulated::new).collect();
    let mut queue: BinaryHeap<_> =
        sessions.iter().enumerate().filter_map(|(index, one)| Some(Reverse((one.next()?, index)))).collect();
    let mut wakes = 0;
    while let Some(Reverse((at, index))) = queue.pop() {
        let one = &mut sessions[index];
        // The deadline was postponed after this wake was queued: the new deadline is queued instead.
        let Some(next) = one.next() else { continue };
        if next > at {
            queue.push(Reverse((next, index)));
            continue;
        }
        wakes += 1;
        one.happen(at);
        match one.next().filter(|_| one.rig.status() != Status::Terminating) {
            Some(next) => {
                assert!(next > at || !one.acted, "{:?} is woken for nothing at {at:?}", one.fate);
                queue.push(Reverse((next, index)));
            }
            None => assert_eq!(at, one.ends_after(), "{:?} by {:?}", one.fate, one.activity),
        }
    }
    assert!(sessions.iter().all(|one| one.rig.status() == Status::Terminating), "a session never ends");
    let seconds = SESSIONS * SETTINGS.max_ttl.as_secs();
    assert!(wakes < seconds / 5, "{wakes} wakes: more than one each five seconds");
}
