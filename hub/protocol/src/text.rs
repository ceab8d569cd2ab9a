//! Frames as text for people (`?format=text`).
//!
//! The text of an answer stays as it is, a newline ends a turn, and everything else is a line after `# `.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chunk::Chunk;
use crate::hub::{Clock, HubFrame, TurnReason};

/// The frames of a `session.snapshot`.
#[derive(Deserialize)]
struct Snapshot<'a> {
    #[serde(borrow)]
    frames: Vec<&'a RawValue>,
}

/// Returns the text of a JSON frame from the hub. `None` if the frame has nothing for a person.
pub fn render(frame: &[u8]) -> Option<String> {
    if let Ok(frame) = serde_json::from_slice::<HubFrame>(frame) {
        return render_hub(&frame);
    }
    if let Ok(Snapshot { frames }) = serde_json::from_slice(frame) {
        return Some(frames.iter().filter_map(|frame| render(frame.get().as_bytes())).collect());
    }
    match serde_json::from_slice::<Chunk>(frame).ok()? {
        Chunk::TextDelta { delta, .. } => Some(delta),
        Chunk::TextEnd { .. } => Some("\n".to_owned()),
        Chunk::ToolInputAvailable { tool_name, input, .. } => Some(format!("# {tool_name} {input}\n")),
        Chunk::ToolOutputAvailable { output, .. } => Some(format!("# -> {output}\n")),
        Chunk::ToolOutputError { error_text, .. } => Some(format!("# -> failed: {error_text}\n")),
        Chunk::ToolInputError { tool_name, error_text, .. } => Some(format!("# {tool_name}: {error_text}\n")),
        Chunk::DataNotice { data } => Some(format!("# {} ({})\n", data.message, data.code)),
        Chunk::Start
        | Chunk::StartStep
        | Chunk::FinishStep
        | Chunk::TextStart { .. }
        | Chunk::ReasoningStart { .. }
        | Chunk::ReasoningDelta { .. }
        | Chunk::ReasoningEnd { .. }
        | Chunk::ToolInputStart { .. }
        | Chunk::ToolInputDelta { .. }
        | Chunk::Finish { .. }
        | Chunk::Abort { .. }
        | Chunk::Error { .. } => None,
    }
}

fn render_hub(frame: &HubFrame) -> Option<String> {
    let line = match frame {
        HubFrame::Ready { session, .. } => format!("session {session}, /help for help"),
        HubFrame::Expiring { cause, remaining_ms, .. } => {
            let seconds = remaining_ms.div_ceil(1000);
            match cause {
                Clock::Idle => format!("ends in {seconds} s: nobody says anything; /extend to stay"),
                Clock::Max => format!("ends in {seconds} s: its time is up"),
                Clock::Drain => format!("ends in {seconds} s, or with its answer: the hub shuts down"),
            }
        }
        HubFrame::Extended { .. } => "there is more time".to_owned(),
        HubFrame::Pong { .. } => return None,
        HubFrame::Status { position: Some(position), .. } => {
            format!("all sessions are taken: number {position} in line")
        }
        HubFrame::Status { status, step, elapsed_ms, turn, queued, .. } => {
            let mut line = plain(status);
            if let Some(step) = step {
                line += &format!(", {}", plain(step));
            }
            line += &format!(" ({elapsed_ms} ms)");
            if let Some(turn) = turn {
                line += &format!(", {turn} runs");
            }
            if let Some(queued) = queued.filter(|queued| *queued > 0) {
                line += &format!(", {queued} waiting");
            }
            line
        }
        HubFrame::TurnAccepted { position: 0, .. } => return None,
        HubFrame::TurnAccepted { position, .. } => format!("queued, {position} before it"),
        HubFrame::TurnDone { reason: TurnReason::Complete, .. } => return Some("\n".to_owned()),
        HubFrame::TurnDone { reason, error, .. } => match error {
            Some(error) => format!("{}: {} ({})\n", plain(reason), error.message, error.code),
            None => format!("{}\n", plain(reason)),
        },
        HubFrame::Ended { reason } => format!("session ended: {}", plain(reason)),
        HubFrame::Error { code, message, .. } => format!("{code}: {message}"),
        HubFrame::Help { commands } => {
            let lines: Vec<_> = commands.iter().map(|c| format!("{}  {}", c.name, c.does)).collect();
            lines.join("\n# ")
        }
    };
    Some(format!("# {line}\n"))
}

/// Returns an enum's name on the wire, with spaces instead of underscores.
fn plain<T: serde::Serialize>(name: &T) -> String {
    serde_json::to_string(name).unwrap_or_default().trim_matches('"').replace('_', " ")
}
