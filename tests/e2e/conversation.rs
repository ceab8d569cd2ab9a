//! Conversations: an answer token by token, a second one that builds on it, a stop, an end.

use anyhow::Result;
use mayfly_tests::harness::{Hub, text_of};
use serde_json::json;

use crate::support::{agents, ask, connect, in_mid_answer, is_contiguous, no_agent_is_left};

#[tokio::test]
async fn each_session_has_its_own_agent() -> Result<()> {
    let mut hub = Hub::start(&[])?;
    let mut client = connect(&hub).await?;
    let ready = client.next_frame().await?;
    assert_eq!((&ready["type"], &ready["status"]), (&json!("session.ready"), &json!("creating")));

    client.send(&json!({"type": "message", "id": "c1", "text": "What is the weather in London?"})).await?;
    let frames = client.until_turn_done().await?;
    let accepted = frames.iter().find(|frame| frame["type"] == "turn.accepted").unwrap();
    assert_eq!((&accepted["message"], &accepted["turn"]), (&json!("c1"), &json!("t1")));
    assert_eq!(frames.last().unwrap()["reason"], "complete");
    let kinds: Vec<_> = frames.iter().filter_map(|frame| frame["type"].as_str()).collect();
    assert!(kinds.contains(&"tool-input-available") && kinds.contains(&"tool-output-available"), "{kinds:?}");
    assert!(kinds.iter().filter(|kind| **kind == "text-delta").count() > 5, "{kinds:?}");
    assert!(text_of(&frames).contains("London"), "{}", text_of(&frames));
    assert!(is_contiguous(&frames), "{frames:?}");

    let again = ask(&mut client, "And tomorrow?").await?;
    assert!(text_of(&again).contains("London"), "{}", text_of(&again));

    assert_eq!(agents(&hub)?.len(), 1);
    client.send_text("/bye").await?;
    let (frames, code, reason) = client.until_closed().await?;
    assert_eq!(frames.last().unwrap()["reason"], "bye");
    assert_eq!((code, reason.as_str()), (1000, "bye"));
    no_agent_is_left(&hub).await?;
    assert!(hub.stop()?.success());
    Ok(())
}

#[tokio::test]
async fn stop_ends_the_answer_and_the_next_message_is_answered() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut client = in_mid_answer(&hub).await?;
    client.send_text("/stop").await?;
    let done = client.until_turn_done().await?.pop().unwrap();
    assert_eq!((&done["turn"], &done["reason"]), (&json!("t1"), &json!("stopped")));
    let next = ask(&mut client, "Hello").await?;
    assert_eq!(next.last().unwrap()["reason"], "complete");
    client.close().await?;
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn early_messages_are_answered_in_order() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut client = connect(&hub).await?;
    for text in ["Hello", "Help", "Hello again"] {
        client.send_text(text).await?;
    }
    let mut ended = Vec::new();
    for _ in 0..3 {
        let done = client.until_turn_done().await?.pop().unwrap();
        assert_eq!(done["reason"], "complete", "{done}");
        ended.push(done["turn"].clone());
    }
    assert_eq!(ended, ["t1", "t2", "t3"]);
    Ok(())
}

#[tokio::test]
async fn a_lost_client_ends_its_agent() -> Result<()> {
    let hub = Hub::start(&[])?;
    drop(in_mid_answer(&hub).await?);
    no_agent_is_left(&hub).await
}
