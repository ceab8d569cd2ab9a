//! Faulty agents. The client gets one error with a code, the next message is answered, and other sessions continue.
//!
//! - `answers.rs`: invalid responses and their error codes
//! - `streams.rs`: answers without an end or a beginning, in very small and very large pieces
//! - `starts.rs`: agents that do not start, and agents that end

use anyhow::Result;
use mayfly_tests::harness::{Client, Hub, text_of};
use mayfly_tests::scripted::{HEALTHY, ScriptedAgent, Turn};
use serde_json::Value;

use crate::support::{connect, until};

mod answers;
mod starts;
mod streams;

/// The head of a good answer.
pub(crate) const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
/// A piece of an answer.
pub(crate) const HI: &str = "data: {\"type\":\"text-delta\",\"id\":\"a\",\"delta\":\"Hi\"}\n\n";
/// The end of a good answer.
pub(crate) const FINISH: &str = "data: {\"type\":\"finish\",\"finishReason\":\"stop\"}\n\ndata: [DONE]\n\n";

/// A session whose agent the test plays, and a neighbouring session during a valid answer.
struct Scene {
    hub: Hub,
    agent: ScriptedAgent,
    client: Client,
    neighbour: Client,
    neighbours_agent: ScriptedAgent,
    neighbours_turn: Turn,
}

impl Scene {
    async fn start() -> Result<Self> {
        let agent = ScriptedAgent::start(HEALTHY).await?;
        let mut neighbours_agent = ScriptedAgent::start(HEALTHY).await?;
        let addresses = format!("{},{}", agent.url, neighbours_agent.url);
        let hub = Hub::start(&["--platform", "static", "--static-agents", &addresses])?;
        let mut client = connect(&hub).await?;
        // The agents are handed out in turn.
        client.until(|frame| frame["status"] == "active").await?;
        let mut neighbour = connect(&hub).await?;
        neighbour.say("Hello").await?;
        let mut neighbours_turn = neighbours_agent.turn().await?;
        neighbours_turn.write([HEAD, HI].concat()).await?;
        until(&mut neighbour, "text-delta").await?;
        Ok(Self { hub, agent, client, neighbour, neighbours_agent, neighbours_turn })
    }

    /// Sends a message and returns the turn that the test must answer.
    async fn turn(&mut self) -> Result<Turn> {
        self.client.say("Hello").await?;
        self.agent.turn().await
    }

    /// Runs a turn with this answer and returns its frames, of which the last is `turn.done`.
    async fn answer(&mut self, bytes: &[u8]) -> Result<Vec<Value>> {
        let mut turn = self.turn().await?;
        // The hub may have heard enough before all of it is written.
        let _ = turn.write(bytes).await;
        drop(turn);
        self.client.until_turn_done().await
    }

    /// Checks that a valid answer arrives as written, without other frames.
    async fn next_turn_is_answered(&mut self) -> Result<()> {
        let frames = self.answer([HEAD, HI, FINISH].concat().as_bytes()).await?;
        let kinds: Vec<_> = frames.iter().filter_map(|frame| frame["type"].as_str()).collect();
        assert_eq!(kinds, ["turn.accepted", "text-delta", "turn.done"], "{frames:?}");
        assert_eq!(outcome(&frames), "complete");
        Ok(())
    }

    /// Checks that the neighbour's answer continues.
    async fn neighbour_hears_on(&mut self) -> Result<()> {
        self.neighbours_turn.write(HI).await?;
        let frames = until(&mut self.neighbour, "text-delta").await?;
        assert_eq!((frames.len(), text_of(&frames).as_str()), (1, "Hi"), "{frames:?}");
        Ok(())
    }

    /// Checks that the next answer and the rest of the neighbour's arrive, and that the hub ends without an error.
    async fn all_is_well(mut self) -> Result<()> {
        self.next_turn_is_answered().await?;
        self.neighbours_turn.write([HI, FINISH].concat()).await?;
        let frames = self.neighbour.until_turn_done().await?;
        assert_eq!((text_of(&frames).as_str(), outcome(&frames)), ("Hi", "complete"));
        assert_eq!(self.neighbours_agent.calls(), ["GET /health", "POST /chat"]);
        let stopped = tokio::task::spawn_blocking(move || self.hub.stop().map(|status| (self.hub, status)));
        drop((self.client, self.neighbour));
        let (hub, status) = stopped.await??;
        assert!(status.success() && !hub.log().contains("panicked"), "{}", hub.log());
        Ok(())
    }
}

/// Returns the error code of the turn that ends with the last frame, or else its reason.
fn outcome(frames: &[Value]) -> &str {
    let done = frames.last().unwrap();
    done["error"]["code"].as_str().or(done["reason"].as_str()).unwrap()
}
