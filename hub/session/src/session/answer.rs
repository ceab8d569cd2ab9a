//! The agent's answer to the running turn: each event's effect.

use std::time::Instant;

use mayfly_protocol::chunk::FinishReason;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{TurnError, TurnReason};
use mayfly_protocol::ids::TurnId;

use crate::chunk::{self, Chunk, Kind};
use crate::command::AgentEvent;
use crate::limits::{AGENT_SILENCE_MAX, CHUNK_SILENCE_MAX, TURN_MAX};
use crate::session::Session;
use crate::timers::Timer;

impl Session {
    /// Handles an event of the agent's answer to a turn. Ignored if that turn does not run.
    pub fn handle_agent(&mut self, turn: TurnId, event: AgentEvent<'_>, now: Instant) {
        if self.turns.running() != Some(turn) || self.is_left() {
            return;
        }
        match event {
            AgentEvent::Alive => self.timers.postpone(Timer::AgentSilence, now + AGENT_SILENCE_MAX),
            AgentEvent::Chunk(data) => {
                self.timers.postpone(Timer::AgentSilence, now + AGENT_SILENCE_MAX);
                self.timers.postpone(Timer::ChunkSilence, now + CHUNK_SILENCE_MAX);
                self.handle_chunk(turn, data, now);
            }
            AgentEvent::Failed { code, message } => self.fail_turn(code, message, now),
        }
    }

    /// Starts the timers within which the agent must make progress with the running turn.
    pub(super) fn await_answer(&mut self, now: Instant) {
        self.timers.set(Timer::AgentSilence, now + AGENT_SILENCE_MAX);
        self.timers.set(Timer::ChunkSilence, now + CHUNK_SILENCE_MAX);
        self.timers.set(Timer::TurnMax, now + TURN_MAX);
    }

    fn handle_chunk(&mut self, turn: TurnId, data: &[u8], now: Instant) {
        match chunk::inspect(data) {
            Ok(Chunk { kind: kind @ (Kind::Content | Kind::Delta(_)), delta }) => {
                if kind != Kind::Content {
                    self.turns.record_first_token(now);
                }
                self.log.push_chunk(turn, data, delta);
                self.compact_log(now);
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
        self.turns.set_usage(terminal.usage());
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

    /// Fails the running turn of an agent that violated the protocol, and asks the agent to end it.
    fn break_turn(&mut self, turn: TurnId, fault: chunk::Fault, now: Instant) {
        self.cancel_turn(turn);
        self.fail_turn(ErrorCode::AgentProtocol, &format!("the agent sent {}", fault.0), now);
    }

    /// Fails the running turn of an agent that does not make progress, and asks the agent to end it.
    pub(super) fn fail_stalled_turn(&mut self, message: &str, now: Instant) {
        if let Some(turn) = self.turns.running() {
            self.cancel_turn(turn);
            self.fail_turn(ErrorCode::AgentStalled, message, now);
        }
    }

    /// Ends the running turn with an error, or as stopped if it is being stopped.
    pub(super) fn fail_turn(&mut self, code: ErrorCode, message: &str, now: Instant) {
        if self.is_stopping() {
            return self.finish_turn(TurnReason::Stopped, None, now);
        }
        self.finish_turn(TurnReason::Error, Some(TurnError { code, message: message.to_owned() }), now);
    }
}
