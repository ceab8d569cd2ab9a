//! Many sessions at once.

use std::collections::HashSet;

use anyhow::Result;
use futures::future::try_join_all;
use mayfly_tests::harness::{Client, Hub, text_of};

use crate::support::{agents, ask, connect, is_contiguous, no_agent_is_left};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_sockets_get_an_agent_and_an_answer_each() -> Result<()> {
    let mut hub = Hub::start(&[])?;
    let mut clients = try_join_all((0..50).map(|_| connect(&hub))).await?;
    let answers = try_join_all(clients.iter_mut().map(|client| async {
        let ready = client.next_frame().await?;
        let frames = ask(client, "What is the weather in London?").await?;
        anyhow::Ok((ready["session"].as_str().unwrap_or_default().to_owned(), frames))
    }))
    .await?;
    assert_eq!(agents(&hub)?.len(), 50);
    let sessions: HashSet<_> = answers.iter().map(|(session, _)| session).collect();
    assert_eq!(sessions.len(), 50);
    for (_, frames) in &answers {
        assert_eq!(frames.last().unwrap()["reason"], "complete");
        assert!(is_contiguous(frames), "{frames:?}");
        let text = text_of(frames);
        assert!(text.contains("London") && text.contains("°C"), "{text}");
    }
    try_join_all(clients.into_iter().map(Client::close)).await?;
    no_agent_is_left(&hub).await?;
    assert!(hub.stop()?.success());
    Ok(())
}
