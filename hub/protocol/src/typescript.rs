//! Generates the TypeScript of the browser wire and of the REST bodies, for `web/client/src/protocol.ts`.

use std::fmt::Write;

use ts_rs::{Config, TS};

use crate::{chunk, client, code, hub, rest};

/// Returns the generated file.
pub fn generate() -> String {
    let config = Config::default();
    let mut file = String::from("// Generated from hub/protocol by `make generate`; do not edit.\n\n");
    let declarations = [
        client::ClientFrame::decl(&config),
        hub::HubFrame::decl(&config),
        hub::Command::decl(&config),
        hub::Deadline::decl(&config),
        hub::Clock::decl(&config),
        hub::Usage::decl(&config),
        hub::SnapshotReason::decl(&config),
        hub::Status::decl(&config),
        hub::Step::decl(&config),
        hub::TurnReason::decl(&config),
        hub::TurnError::decl(&config),
        hub::EndReason::decl(&config),
        code::ErrorCode::decl(&config),
        code::Scope::decl(&config),
        rest::Problem::decl(&config),
        rest::NewSession::decl(&config),
        rest::CreatedSession::decl(&config),
        rest::SessionView::decl(&config),
        rest::SessionList::decl(&config),
        rest::NewMessage::decl(&config),
        rest::Reply::decl(&config),
        rest::Deleted::decl(&config),
        rest::SessionHealth::decl(&config),
        rest::Health::decl(&config),
        rest::SessionMetrics::decl(&config),
        rest::NewTicket::decl(&config),
        rest::MintedTicket::decl(&config),
        chunk::Chunk::decl(&config),
        chunk::FinishReason::decl(&config),
        chunk::Notice::decl(&config),
        chunk::MessageMetadata::decl(&config),
    ];
    for declaration in declarations {
        // Writing to a String cannot fail.
        let _ = writeln!(file, "export {declaration}\n");
    }
    file += "/** An agent's chunk with its number in the session's log. With `from`, it covers the numbers `from` to `seq`. */\n";
    file += "export type ContentFrame = Exclude<Chunk, { type: \"finish\" | \"abort\" | \"error\" }> & { from?: number; seq: number; turn: string };\n\n";
    file += "/** Replaces everything that a client has. It follows `session.ready` and covers every frame up to its `head`. */\n";
    file += "export type SnapshotFrame = { type: \"session.snapshot\"; why: SnapshotReason; truncated: boolean; frames: Array<HubFrame | ContentFrame> };\n\n";
    file += "/** Any frame from the hub. */\n";
    file += "export type Frame = HubFrame | ContentFrame | SnapshotFrame;\n\n";
    let _ = writeln!(file, "export const SUBPROTOCOL = \"{}\";", crate::SUBPROTOCOL);
    file
}
