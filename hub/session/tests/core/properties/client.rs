//! A client of the session: what it receives must be in order, whole and followed by the right close code.

use mayfly_protocol::code::{CloseCode, ErrorCode};
use mayfly_protocol::hub::{EndReason, HubFrame};
use mayfly_protocol::refusal::Close;
use mayfly_session::SocketId;
use mayfly_transcript::Fold;
use serde_json::Value;

use crate::properties::EPOCH;

/// A client and its current socket.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: Option<Wire>,
    /// True if it takes frames as soon as they are there.
    pub(super) reads: bool,
    pub(super) fold: Fold,
    pub(super) has_any: bool,
}

/// A caller over REST and the frames of its answer.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) id: SocketId,
    heard: Vec<Value>,
}

/// A socket and the last thing that its client received.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) id: SocketId,
    pub(super) last: Last,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Last {
    Nothing,
    Frame,
    /// An error; a close may follow.
    Error(ErrorCode),
    Ended(EndReason),
}

impl Client {
    /// Takes a frame. Returns `true` if the frame is numbered.
    pub(super) fn hear(&mut self, frame: &[u8]) -> bool {
        let wire = self.socket.as_mut().expect("a socket hears");
        assert!(
            matches!(wire.last, Last::Nothing | Last::Frame | Last::Error(_)),
            "a frame after {:?}",
            wire.last
        );
        let json: Value = serde_json::from_slice(frame).expect("a frame is JSON");
        let frame = serde_json::from_slice::<HubFrame>(frame).ok();
        let is_first = wire.last == Last::Nothing;
        wire.last = match frame {
            Some(HubFrame::Ready { resumed, token, epoch, .. }) => {
                assert_eq!((is_first, epoch), (true, EPOCH));
                assert_eq!(token.is_some(), wire.id == SocketId(0));
                assert!(!resumed || self.has_any, "nothing to resume");
                self.has_any = true;
                Last::Frame
            }
            Some(HubFrame::Ended { reason }) => Last::Ended(reason),
            Some(HubFrame::Error { code, .. }) => Last::Error(code),
            _ => {
                assert!(!is_first, "session.ready comes first: {json}");
                Last::Frame
            }
        };
        self.fold.receive(&json);
        json["seq"].is_u64()
    }

    pub(super) fn close(&mut self, close: Close) {
        let wire = self.socket.take().expect("a socket is closed once");
        let code = close.code();
        match wire.last {
            _ if matches!(code, CloseCode::TooSlow | CloseCode::Silent | CloseCode::Replaced) => {}
            Last::Error(error) => {
                assert_eq!(close.reason(), error.name());
                let expected =
                    if error.is_bad_frame() { Some(CloseCode::BadFrames) } else { error.rule().close };
                assert_eq!(Some(code), expected);
            }
            Last::Ended(reason) => assert_eq!(code, code_of(reason)),
            Last::Nothing | Last::Frame => panic!("no farewell: {wire:?}"),
        }
    }
}

fn code_of(reason: EndReason) -> CloseCode {
    match reason {
        EndReason::Bye => CloseCode::Normal,
        EndReason::Disconnected | EndReason::Deleted | EndReason::Drained => CloseCode::Ended,
        EndReason::Idle | EndReason::Max => CloseCode::Expired,
        EndReason::AgentLost => CloseCode::AgentLost,
        EndReason::SpawnFailed => CloseCode::SpawnFailed,
    }
}

impl Asker {
    pub(super) fn new(id: SocketId) -> Self {
        Self { id, heard: Vec::new() }
    }

    /// Takes an output: a frame of one turn, or an error.
    pub(super) fn hear(&mut self, frame: &[u8], seq: Option<u64>) {
        let frame: Value = serde_json::from_slice(frame).expect("a frame is JSON");
        assert_eq!(seq, frame["seq"].as_u64());
        let is_same = self.heard.iter().all(|before| before["turn"] == frame["turn"]);
        assert!(is_same || frame["type"] == "error", "another turn's");
        self.heard.push(frame);
    }

    /// Checks that the answer is whole, or ends with an error.
    pub(super) fn close(&self, code: CloseCode) {
        if code == CloseCode::TooSlow {
            return;
        }
        let (first, last) = (&self.heard[0]["type"], &self.heard[self.heard.len() - 1]["type"]);
        let is_whole = first == "turn.accepted" && last == "turn.done";
        assert!(is_whole || last == "error", "{:?}", self.heard);
    }
}
