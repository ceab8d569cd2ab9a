//! Answers without an end or a beginning, in very small and very large pieces. They cost the hub little, and a stop
//! ends each of them.

use std::time::{Duration, Instant};

use anyhow::Result;
use mayfly_tests::harness::text_of;
use serde_json::json;

use super::{FINISH, HEAD, HI, Scene, outcome};
use crate::support::{is_contiguous, until};

/// Time that an agent has to end a stopped turn. Nothing else would end the turn within `FRAME_TIMEOUT`.
const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// Largest growth of the hub's memory during a turn.
const GROWTH_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes that the kernel may hold between agent and hub: two socket buffers of some MiB each (tcp(7)).
const IN_FLIGHT_MAX_BYTES: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn stop_ends_an_unanswered_turn() -> Result<()> {
    an_agent_that_goes_silent_is_stopped("").await
}

#[tokio::test]
async fn stop_ends_an_endless_answer() -> Result<()> {
    an_agent_that_goes_silent_is_stopped(&[HEAD, HI].concat()).await
}

/// Stops the turn of an agent that accepts the cancel and ignores it.
async fn an_agent_that_goes_silent_is_stopped(answer: &str) -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut turn = scene.turn().await?;
    turn.write(answer).await?;
    scene.client.send_text("/status").await?;
    let status = until(&mut scene.client, "session.status").await?.pop();
    assert_eq!(status.map(|status| status["turn"].clone()), Some(json!("t1")));
    let since = Instant::now();
    scene.client.send_text("/stop").await?;
    let frames = scene.client.until_turn_done().await?;
    assert_eq!(outcome(&frames), "stopped");
    assert!(since.elapsed() >= CANCEL_GRACE, "{:?}", since.elapsed());
    turn.until_left().await?;
    assert_eq!(scene.agent.calls(), ["GET /health", "POST /chat", "POST /turns/t1/cancel"]);
    scene.all_is_well().await
}

#[tokio::test]
async fn a_line_without_end_is_cut_at_its_bound() -> Result<()> {
    endless(&[HEAD, "data: "].concat(), "agent.protocol").await
}

#[tokio::test]
async fn a_header_without_end_is_cut_at_its_bound() -> Result<()> {
    endless("HTTP/1.1 200 OK\r\nx: ", "agent.http").await
}

/// Runs a turn whose agent sends a beginning and then tries to send 1 GiB.
async fn endless(beginning: &str, code: &str) -> Result<()> {
    let mut scene = Scene::start().await?;
    let before = scene.hub.usage().allocated_bytes()?;
    let mut turn = scene.turn().await?;
    turn.write(beginning).await?;
    let written = turn.flood(&[b'x'; 64 * 1024], 1 << 30).await;
    let frames = scene.client.until_turn_done().await?;
    let growth = scene.hub.usage().allocated_bytes()?.saturating_sub(before);
    assert_eq!(outcome(&frames), code, "{frames:?}");
    assert!(written < IN_FLIGHT_MAX_BYTES, "{written} bytes");
    assert!(growth < GROWTH_MAX_BYTES, "{growth} bytes");
    scene.all_is_well().await
}

#[tokio::test]
async fn endless_comments_cost_nothing_and_can_be_stopped() -> Result<()> {
    without_content(HEAD, &format!(": {}\n\n", "x".repeat(1000)), 50_000_000).await
}

#[tokio::test]
async fn endless_done_events_cost_nothing_and_can_be_stopped() -> Result<()> {
    without_content(HEAD, "data: [DONE]\n\n", 5_000_000).await
}

#[tokio::test]
async fn endless_interim_responses_cost_nothing_and_can_be_stopped() -> Result<()> {
    without_content("", "HTTP/1.1 100 Continue\r\n\r\n", 5_000_000).await
}

/// Runs a turn whose agent sends pieces without content, at least this many bytes, until the turn is stopped.
async fn without_content(beginning: &str, piece: &str, bytes: usize) -> Result<()> {
    let mut scene = Scene::start().await?;
    let before = scene.hub.usage().allocated_bytes()?;
    let mut turn = scene.turn().await?;
    turn.write(beginning).await?;
    let pieces = piece.repeat(64 * 1024 / piece.len());
    let written = turn.flood(pieces.as_bytes(), bytes).await;
    assert!(written >= bytes, "the hub left after {written} bytes");
    let growth = scene.hub.usage().allocated_bytes()?.saturating_sub(before);
    assert!(growth < GROWTH_MAX_BYTES, "{growth} bytes");
    let stop = async {
        scene.neighbour_hears_on().await?;
        let since = Instant::now();
        scene.client.send_text("/stop").await?;
        let frames = scene.client.until_turn_done().await?;
        anyhow::Ok((frames, since.elapsed()))
    };
    let (_, stopped) = tokio::join!(turn.flood(pieces.as_bytes(), usize::MAX), stop);
    let (frames, elapsed) = stopped?;
    assert_eq!(outcome(&frames), "stopped");
    assert!(elapsed >= CANCEL_GRACE, "{elapsed:?}");
    scene.all_is_well().await
}

#[tokio::test]
async fn an_answer_in_single_bytes_is_an_answer() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut turn = scene.turn().await?;
    for byte in [HEAD, HI, FINISH].concat().bytes() {
        // At the `finish` the hub has heard all it wants, and leaves.
        if turn.write([byte]).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let frames = scene.client.until_turn_done().await?;
    assert_eq!((text_of(&frames).as_str(), outcome(&frames)), ("Hi", "complete"));
    scene.all_is_well().await
}

#[tokio::test]
async fn twenty_thousand_events_arrive_in_order() -> Result<()> {
    const EVENTS: u32 = 20_000;
    let mut scene = Scene::start().await?;
    let mut turn = scene.turn().await?;
    let event = |number| {
        format!("data: {}\n\n", json!({"type": "text-delta", "id": "a", "delta": format!("{number} ")}))
    };
    let answer = [HEAD.to_owned(), (0..EVENTS).map(event).collect(), FINISH.to_owned()].concat();
    assert!(answer.len() > 1_000_000);
    let (written, frames) = tokio::join!(turn.write(answer), scene.client.until_turn_done());
    written?;
    let frames = frames?;
    assert_eq!(outcome(&frames), "complete");
    assert!(is_contiguous(&frames));
    assert!(text_of(&frames) == (0..EVENTS).map(|number| format!("{number} ")).collect::<String>());
    scene.all_is_well().await
}
