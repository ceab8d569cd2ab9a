//! A socket that waits for a session to be free: it is told its place in line, and what it says is kept for its session.
//! Who is let in, and when, is `admission.rs`'s.

use std::time::Duration;

use mayfly_protocol::client::ClientFrame;
use mayfly_protocol::hub::{HubFrame, Status, Step};
use mayfly_protocol::refusal::Close;
use mayfly_session::limits::{MESSAGE_RATE, PINGS_MISSED_MAX};
use mayfly_session::rate::Rate;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::limits::POSITION_INTERVAL;
use crate::sessions::Sessions;
use crate::sessions::admission::Pass;
use crate::socket::{Inbound, Socket};

/// Why a socket waits no longer, when it is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// It has waited as long as anybody may.
    Waited,
    /// The hub shuts down.
    Draining,
    /// It said more than is kept.
    TooMuch,
    /// It is gone, or to be closed like this.
    Gone(Option<Close>),
}

/// Waits until there is a place, and leaves what the client said meanwhile to the socket.
///
/// # Errors
/// [`Over`] when there will be none.
pub(crate) async fn until_let_in(sessions: &Sessions, socket: &mut Socket, pass: &Pass) -> Result<(), Over> {
    let began = Instant::now();
    let heartbeat = sessions.settings.heartbeat;
    let mut wait = Wait { began, heard: began, told: None, rate: Rate::new(began.into()) };
    let mut beats = interval(heartbeat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut moves = pass.moves();
    let (mut has_moved, mut tell_at) = (true, began);
    loop {
        tokio::select! {
            biased;
            () = sessions.ops.shutdown.cancelled() => return Err(Over::Draining),
            () = pass.is_let_in() => return Ok(()),
            inbound = socket.next() => wait.hear(socket, pass, inbound)?,
            () = sleep_until(tell_at), if has_moved => {
                wait.tell(socket, pass);
                (has_moved, tell_at) = (false, Instant::now() + POSITION_INTERVAL);
            }
            Ok(()) = moves.changed(), if !has_moved => has_moved = true,
            () = sleep_until(began + sessions.wait) => return Err(Over::Waited),
            _ = beats.tick() => wait.feel(socket, heartbeat)?,
        }
    }
}

/// What is known of one that waits.
struct Wait {
    began: Instant,
    /// When it last gave a sign.
    heard: Instant,
    /// The place in line that it was told last.
    told: Option<usize>,
    rate: Rate,
}

impl Wait {
    fn hear(&mut self, socket: &mut Socket, pass: &Pass, inbound: Inbound) -> Result<(), Over> {
        let now = Instant::now();
        self.heard = now;
        let frame = match inbound {
            Inbound::Gone(_, close) => return Err(Over::Gone(close)),
            Inbound::Frame(_) | Inbound::Heartbeat if !self.rate.allows(MESSAGE_RATE, now.into()) => {
                return Err(Over::TooMuch);
            }
            Inbound::Heartbeat => return Ok(()),
            Inbound::Frame(frame) => frame,
        };
        match frame {
            Ok(ClientFrame::Ping { t }) => socket.send(HubFrame::Pong { t }.to_json().into()),
            Ok(ClientFrame::Status) => {
                self.told = None;
                self.tell(socket, pass);
            }
            Ok(ClientFrame::Bye) => return Err(Over::Gone(Some(Close::BYE))),
            frame => socket.keep(frame).map_err(|_| Over::TooMuch)?,
        }
        Ok(())
    }

    /// Tells the place in line, where that is another than before.
    fn tell(&mut self, socket: &mut Socket, pass: &Pass) {
        let Some(position) = pass.position().filter(|position| self.told != Some(*position)) else { return };
        self.told = Some(position);
        let frame = HubFrame::Status {
            status: Status::Creating,
            step: Some(Step::Queued),
            position: u32::try_from(position).ok(),
            elapsed_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            turn: None,
            queued: None,
            seq: None,
        };
        socket.send(frame.to_json().into());
    }

    /// Asks for a sign; one that gave none for too long is dead.
    fn feel(&self, socket: &mut Socket, heartbeat: Duration) -> Result<(), Over> {
        if self.heard.elapsed() > heartbeat * (PINGS_MISSED_MAX + 1) {
            return Err(Over::Gone(Some(Close::HEARTBEAT)));
        }
        socket.ping();
        Ok(())
    }
}
