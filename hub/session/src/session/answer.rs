//! What an agent's answer does to its turn.

use std::time::Instant;

use mayfly_protocol::chunk::FinishReason;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{TurnError, TurnReason};
use mayfly_protocol::ids::TurnId;

use crate::chunk::{self, Chunk, Kind};
use crate::command::AgentEvent;
use crate::session::Session;

impl Session {
    /// The agent's answer to a turn brought something.
    pub fn handle_agent(&mut self, turn: TurnId, event: AgentEvent<'_>, now: Instant) {
        if self.turns.running() != Some(turn) || self.is_left() {
            return;
        }
        match event {
            AgentEvent::Alive => self.turns.heard(now),
            AgentEvent::Chunk(data) => {
                self.turns.progressed(now);
                self.handle_chunk(turn, data, now);
            }
            AgentEvent::Failed { code, message } => self.fail_turn(code, message, now),
        }
    }

    fn handle_chunk(&mut self, turn: TurnId, data: &[u8], now: Instant) {
        match chunk::inspect(data) {
            Ok(Chunk { kind: kind @ (Kind::Content | Kind::Delta(_)), delta }) => {
                if kind != Kind::Content {
                    self.turns.answered(now);
                }
                self.log.push_chunk(turn, data, delta);
                self.tidy_log(now);
            }
            Ok(Chunk { kind: kind @ (Kind::Finish | Kind::Abort | Kind::Error), .. }) => {
                self.handle_terminal(turn, kind, data, now);
            }
            Err(fault) => self.break_turn(turn, fault, now),
        }
    }

    fn handle_terminal(&mut self, turn: TurnId, kind: Kind, data: &[u8], now: Instant) {
        let terminal = match chunk::terminal(data) {
            Ok(terminal) => terminal,
            Err(fault) => return self.break_turn(turn, fault, now),
        };
        self.turns.used(terminal.usage());
        match (kind, terminal.finish_reason) {
            (Kind::Abort, _) => self.finish_turn(TurnReason::Stopped, None, now),
            (Kind::Content | Kind::Delta(_) | Kind::Error, _) => {
                let code = terminal.code().unwrap_or(ErrorCode::AgentFailed);
                let message = terminal.error_text.unwrap_or_else(|| "the agent failed".to_owned());
                self.fail_turn(code, &message, now);
            }
            (Kind::Finish, None | Some(FinishReason::Stop | FinishReason::ToolCalls)) => {
                self.finish_turn(TurnReason::Complete, None, now);
            }
            (Kind::Finish, Some(FinishReason::Length)) => self.finish_turn(TurnReason::Length, None, now),
            (Kind::Finish, Some(FinishReason::ContentFilter)) => {
                self.fail_turn(ErrorCode::ModelRefused, "the model refused to answer", now);
            }
            (Kind::Finish, Some(FinishReason::Error | FinishReason::Other)) => {
                self.fail_turn(ErrorCode::AgentFailed, "the model did not finish its answer", now);
            }
        }
    }

    /// The agent broke the protocol: it is told to end the turn, and its stream is not read on.
    fn break_turn(&mut self, turn: TurnId, fault: chunk::Fault, now: Instant) {
        self.cancel_turn(turn);
        self.fail_turn(ErrorCode::AgentProtocol, &format!("the agent sent {}", fault.0), now);
    }

    /// A turn that fails while it is being stopped counts as stopped.
    pub(super) fn fail_turn(&mut self, code: ErrorCode, message: &str, now: Instant) {
        if self.turns.is_stopping() {
            return self.finish_turn(TurnReason::Stopped, None, now);
        }
        self.finish_turn(TurnReason::Error, Some(TurnError { code, message: message.to_owned() }), now);
    }
}
